"""`study.yaml`: what a study searches, and by what code and command it was begun."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from results.study_folder import StudyError, StudyFolder
from search_spaces import Space, SpaceError, dump_yaml, read_objective, read_yaml, space_from_mapping
from search_spaces.space import DIRECTIONS, Objective
from trainables.trial_folder import write_atomically

PACKAGES = ("ray", "optuna", "torch", "transformers", "numpy")
MAY_CHANGE = ("budget.trials", "budget.time", "budget.retries", "budget.keep", "resources")


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """What `study.yaml` says.

    Attributes:
        space: Resolved: nothing is inherited any more.
        objective: The task's, or the space's for a bare function.
        import_paths: Folders that the task's module may be imported from.
        origin: Command, time, commit, versions: for people to read.
    """

    space: Space
    objective: Objective
    import_paths: tuple[str, ...]
    origin: Mapping[str, Any]

    def write(self, folder: StudyFolder) -> None:
        """Write the file, or renew it."""
        content = {
            "name": self.space.name,
            "objective": self.objective.to_yaml(),
            "import_paths": list(self.import_paths),
            "origin": dict(self.origin),
            "space": self.space.to_dict(),
        }
        text = "# The resolved space of this study. The journal knows it too: an edit here is refused.\n"
        text += dump_yaml(content)
        folder.path.mkdir(parents=True, exist_ok=True)
        write_atomically(folder.description, lambda path: path.write_text(text, encoding="utf-8"))


def read_description(folder: StudyFolder) -> Description:
    """Read a study's `study.yaml`.

    Raises:
        StudyError: when there is no study, or the file lacks something.
        SpaceError: when its space was edited into a wrong one.
    """
    if not folder.description.exists():
        raise StudyError(f"{folder.path} is no study: it has no {folder.description.name}")
    content = read_yaml(folder.description)
    wrong = [f"{key} must be {words}" for key, (holds, words) in _SECTIONS.items() if not holds(content.get(key))]
    wrong += [f"{key} is not known" for key in content if key not in _SECTIONS]
    if wrong:
        raise StudyError(f"{folder.description} is damaged: {'; '.join(wrong)}")
    objective = read_objective(content["objective"])
    space = space_from_mapping(content["space"], name=content["name"], file=folder.description)
    if space.objective not in (None, objective):
        raise StudyError(f"{folder.description} is damaged: objective must be the space's, got {objective.text}")
    return Description(
        space=space, objective=objective, import_paths=tuple(content["import_paths"]), origin=content["origin"]
    )


def _is_objective(value: object) -> bool:
    try:
        read_objective(value)
    except SpaceError:
        return False
    return True


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


_SECTIONS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (_is_text, "a text"),
    "objective": (_is_objective, f"{' or '.join(DIRECTIONS)} with a metric's name"),
    "import_paths": (lambda value: isinstance(value, list) and all(map(_is_text, value)), "a list of folders"),
    "origin": (lambda value: isinstance(value, dict), "a mapping"),
    "space": (lambda value: isinstance(value, dict), "a mapping"),
}


def origin() -> dict[str, Any]:
    """Where a study comes from: command, time, commit and versions."""
    return {
        "command": " ".join(["python", Path(sys.argv[0]).name, *sys.argv[1:]]),
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
    }


def first_origin(folder: StudyFolder, new: Description) -> Mapping[str, Any]:
    """Where a study that lies in the folder came from, if that can be read; else where the new description does."""
    try:
        return read_description(folder).origin
    except (StudyError, SpaceError):
        return new.origin


def identity(space: Space) -> dict[str, Any]:
    """What makes a space this one and no other, as flat names; budgets that may be raised are left out."""
    flat = _flat(json.loads(json.dumps(space.to_dict())))
    return {name: value for name, value in flat.items() if not name.startswith(MAY_CHANGE)}


def differences(kept: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One line for each name whose value differs."""
    names = [name for name in sorted({*kept, *new}) if _shown(kept, name) != _shown(new, name)]
    return [f"{name}: the study has {_shown(kept, name)}, now {_shown(new, name)}" for name in names]


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _shown(values: Mapping[str, Any], name: str) -> str:
    return json.dumps(values[name], ensure_ascii=False) if name in values else "nothing"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None

"""`study.yaml`: what a study searches, and by what code and command it was begun."""

import json
import platform
import secrets
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from results.mlflow.tracking import Tracking
from results.study.database import Database
from results.study.folder import StudyError, StudyFolder
from results.study.journal_fields import MAPPING, OBJECTIVE, Kind, list_of, or_null, wrong_fields
from results.study.moves import moved_folders
from results.text import program
from search_spaces import (
    Space,
    SpaceError,
    dump_yaml,
    read_objective,
    read_yaml,
    space_from_mapping,
)
from search_spaces.auto import choose_search
from search_spaces.problems import is_whole
from search_spaces.space import Objective
from trainables.machine import usable_cpus
from trainables.mirror import Mirror, inside
from trainables.task import BUILTIN_TASKS
from trainables.trial_folder import write_text_atomically
from trainables.user_code.importing import task_files
from trainables.user_code.reserved import ROOT

PACKAGES = ("ray", "optuna", "torch", "torchvision", "transformers", "timm", "numpy")


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """What `study.yaml` says.

    Attributes:
        space: Resolved: nothing is inherited any more.
        objective: The task's, or the space's for a bare function.
        import_paths: Folders that the task's module may be imported from.
        origin: Command, time, commit, versions: for people to read.
        database: Where the trials are kept; None: in the folder's journal.
        checkpoints: URI of a copy of the trials' files; None: all machines reach the folder.
        mlflow: Where the trials are shown as MLflow's runs; None: nowhere.
        split_seed: Of the data's splits; None: the space's seed.
        begun_in: Where the study lay when it began; None: that isn't known.
    """

    space: Space
    objective: Objective
    import_paths: tuple[str, ...]
    origin: Mapping[str, Any]
    database: Database | None = None
    checkpoints: str | None = None
    mlflow: Tracking | None = None
    split_seed: int | None = None
    begun_in: str | None = None

    def __post_init__(self) -> None:
        """A study's search is never open: what isn't chosen yet is what any task can do."""
        space, _ = choose_search(self.space, self.objective, resumes=False)
        object.__setattr__(self, "space", space)

    def write(self, folder: StudyFolder) -> None:
        """Write the file, or renew it."""
        content = {
            "name": self.space.name,
            "objective": self.objective.to_yaml(),
            "import_paths": list(self.import_paths),
            "folder": self.begun_in,
            "origin": dict(self.origin),
            "split_seed": self.split_seed,
            "checkpoints": self.checkpoints,
            "database": asdict(self.database) if self.database else None,
            "mlflow": asdict(self.mlflow) if self.mlflow else None,
            "space": self.space.to_dict(),
        }
        text = (
            "# The resolved space of this study. The journal knows it too: an edit here is "
            "refused.\n"
        )
        text += dump_yaml(content)
        folder.path.mkdir(parents=True, exist_ok=True)
        write_text_atomically(folder.description, text)


def read_description(folder: StudyFolder) -> Description:
    """Read a study's `study.yaml`; if it was moved, its import folders are as they lie now.

    Raises:
        StudyError: when there is no study, or the file lacks something.
        SpaceError: when its space was edited into a wrong one.
    """
    content = _read_content(folder)
    objective = read_objective(content["objective"])
    space = space_from_mapping(content["space"], name=content["name"], file=folder.description)
    if space.objective not in (None, objective):
        raise StudyError(
            f"{folder.description} is damaged: objective must be the space's, got {objective.text}"
        )
    database, mlflow, begun_in = (
        content.get("database"),
        content.get("mlflow"),
        content.get("folder"),
    )
    return Description(
        space=space,
        objective=objective,
        import_paths=moved_folders(
            tuple(content["import_paths"]), written_in=begun_in, lies_in=folder.path
        ),
        origin=content["origin"],
        database=Database(**database) if database else None,
        checkpoints=content.get("checkpoints"),
        mlflow=Tracking(**mlflow) if mlflow else None,
        split_seed=content.get("split_seed"),
        begun_in=begun_in,
    )


def as_begun(folder: StudyFolder, new: Description) -> Description:
    """The description to keep: of a study that exists, origin and places stay as they were."""
    try:
        content = _read_content(folder)
    except (StudyError, SpaceError):
        return replace(new, begun_in=new.begun_in or str(folder.path.resolve()))
    return replace(
        new,
        origin=content["origin"],
        import_paths=tuple(content["import_paths"]),
        begun_in=content.get("folder") or str(folder.path.resolve()),
    )


def with_first_paths(space: Space, folder: StudyFolder) -> Space:
    """The space with the paths that a study began with, where the same files were just moved.

    So a study that was moved is not taken for another space's.
    """
    try:
        begun = read_description(folder)
    except (StudyError, SpaceError):
        return space
    now = replace(folder, begun_in=begun.begun_in).here(begun.space.fixed)
    same = {
        name: begun.space.fixed[name]
        for name, value in space.fixed.items()
        if now.get(name) == value
    }
    return replace(space, fixed={**space.fixed, **same})


def lying_here(space: Space, folder: StudyFolder) -> Space:
    """The space with paths as they are now, if the study was moved together with its files."""
    return replace(space, fixed=folder.here(space.fixed))


def _read_content(folder: StudyFolder) -> dict[str, Any]:
    if not (folder.exists() and folder.description.exists()):
        raise StudyError(f"{folder.path} is no study: it has no {folder.description.name}")
    content = read_yaml(folder.description)
    wrong = wrong_fields(content, _SECTIONS)
    wrong += [f"{key} is not known" for key in content if key not in _SECTIONS]
    if wrong:
        raise StudyError(f"{folder.description} is damaged: {'; '.join(wrong)}")
    return content


def _texts(*keys: str) -> Kind:
    """A mapping of texts by these keys."""
    return Kind(
        lambda value: (
            isinstance(value, dict) and {*value} == {*keys} and all(map(_is_text, value.values()))
        ),
        f"a mapping of {', '.join(keys)}",
    )


def _are_changes(value: object) -> bool:
    """Whether it is a list of what was noted to have changed, if it is there."""
    return value is None or (
        isinstance(value, list)
        and all(
            isinstance(entry, dict) and isinstance(entry.get("changed"), list) for entry in value
        )
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


_NAME = Kind(_is_text, "a text")
_SECTIONS = {
    "name": _NAME,
    "objective": OBJECTIVE,
    "import_paths": list_of(_NAME, "a list of folders"),
    "folder": or_null(_NAME),
    "origin": Kind(
        lambda value: isinstance(value, dict) and _are_changes(value.get("changes")),
        "a mapping",
    ),
    "split_seed": or_null(Kind(is_whole, "a whole number")),
    "checkpoints": or_null(Kind(_is_text, "a URI")),
    "database": or_null(_texts("url", "study")),
    "mlflow": or_null(_texts("uri", "experiment", "study")),
    "space": MAPPING,
}


def origin(task: str) -> dict[str, Any]:
    """Where a study comes from: command, time, commit, versions, the task's code, the machine."""
    return {
        "command": " ".join([program(), *sys.argv[1:]]),
        "begun": _now(),
        "commit": _commit(),
        "versions": {"python": platform.python_version()}
        | {n: found for n in PACKAGES if (found := _version(n))},
        "code": code_digests(task),
        "hardware": _hardware(),
    }


def code_digests(task: str) -> dict[str, str]:
    """A digest of each file of a task's code, by which a change of it is noticed."""
    module = BUILTIN_TASKS.get(task, task).partition(":")[0]
    files = task_files(module)
    if task in BUILTIN_TASKS:
        files = {
            str(file.relative_to(ROOT)): file
            for file in (ROOT / module.replace(".", "/")).parent.glob("*.py")
        }
    return {
        path: sha256(file.read_bytes()).hexdigest()[:12] for path, file in sorted(files.items())
    }


def code_digest(task: str) -> str:
    """One short text for all of a task's code, which differs if any file of it does."""
    return sha256(json.dumps(code_digests(task), sort_keys=True).encode()).hexdigest()[:12]


def changes(begun: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What has changed since a study began and may change what trials reach, a text for each."""
    pairs = [("commit of Rungs", begun.get("commit"), now.get("commit"))]
    for key, text in (("versions", "{}"), ("code", "the code of the task, {}")):
        before, after = begun.get(key), now.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            pairs += [(text.format(name), before[name], after.get(name)) for name in before]
    return [
        f"{name} was {before}, now {after or 'gone'}"
        for name, before, after in pairs
        if before and before != after
    ]


def with_changes(begun: Description, changed: list[str]) -> Description:
    """The description with what has changed, unless that is what was noted last."""
    noted = begun.origin.get("changes") or []
    if changed == (noted[-1]["changed"] if noted else []):
        return begun
    return replace(
        begun, origin={**begun.origin, "changes": [*noted, {"at": _now(), "changed": changed}]}
    )


def noted_changes(origin: Mapping[str, Any]) -> list[str]:
    """All that was ever noted to have changed since a study began, each once."""
    return list(
        dict.fromkeys(
            str(text) for entry in origin.get("changes") or [] for text in entry["changed"]
        )
    )


def database_of(folder: StudyFolder, url: str | None, space: Space) -> Database | None:
    """The database that holds a study's trials: the one it was begun with.

    For a new study the one at `url`, if any.

    Raises:
        StudyError: when the study was begun with another one, or with none.
    """
    if not folder.exists():
        return Database.new(url, space) if url else None
    database = read_description(folder).database if folder.description.exists() else None
    if url and (database is None or database.url != url):
        kept = database.url if database else folder.journal
        raise StudyError(
            f"{folder.path} keeps its trials in {kept}, got --storage {url}; give this one "
            "another --name"
        )
    return database


def checkpoints_of(folder: StudyFolder, uri: str | None) -> str | None:
    """The URI of the copy of a study's files: the one it was begun with.

    For a new study a new one at `uri`, if any.

    Raises:
        StudyError: when it is no URI, or the study was begun with another one, or with none.
    """
    try:
        if uri:
            Mirror(uri)
    except ValueError as error:
        raise StudyError(f"--checkpoints {error}") from error
    if not folder.exists():
        return inside(uri, f"{folder.path.name}-{secrets.token_hex(4)}") if uri else None
    kept = read_description(folder).checkpoints if folder.description.exists() else None
    if uri and (
        kept is None or not kept.startswith(inside(uri, folder.path.name).partition("?")[0])
    ):
        raise StudyError(
            f"{folder.path} keeps its checkpoints in {kept or folder.path}, got --checkpoints "
            f"{uri}; give this one another --name"
        )
    return kept


def mlflow_of(folder: StudyFolder, uri: str | None, space: Space) -> Tracking | None:
    """Where a study is shown in MLflow: where it was from its beginning.

    For a new study at `uri`, if any.

    Raises:
        StudyError: when the URI holds a password, or the study was begun with another one, or with
            none.
    """
    new = Tracking.new(uri, space) if uri else None
    if not folder.exists():
        return new
    kept = read_description(folder).mlflow if folder.description.exists() else None
    if new and (kept is None or kept.uri != new.uri):
        shown = f"shown in MLflow at {kept.uri}" if kept else "not shown in MLflow"
        raise StudyError(
            f"{folder.path} is {shown}, got --mlflow {new.uri}; give this one another --name"
        )
    return kept


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _hardware() -> dict[str, str]:
    import torch

    found = {"cpu": f"{usable_cpus()} cores, {_cpu_model() or platform.machine()}"}
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {**found, "gpu": ", ".join(gpus) or "none"}


def _cpu_model() -> str | None:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None

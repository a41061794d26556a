"""Finding a space's file, and reading it with what it extends and what the command line changes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from search_spaces.extend import apply_override, extend, put, section_of
from search_spaces.problems import SpaceError, show, unknown
from search_spaces.reader import build_space
from search_spaces.space import Space
from search_spaces.strict_yaml import Mapping as YamlMapping
from search_spaces.strict_yaml import scan_yaml

BUILTIN = Path(__file__).parent


def load_space(
    where: str | Path,
    *,
    overrides: Sequence[str] = (),
    budget: Mapping[str, int | str | None] | None = None,
) -> Space:
    """Read a space by path or by name.

    Args:
        where: a path, or the name of a built-in space.
        overrides: `key=value` texts. A key of `search.`, `budget.` or `resources.`, `seed` and
            `task` set that; any other fixes a task value, which is then searched no longer.
        budget: the keys of the section `budget`, as written there (`{"trials": 8, "time": "30m"}`);
            None leaves one as it is. They win over the overrides.

    Raises:
        SpaceError: with every mistake, each with its place.
    """
    file = find_space(where)
    root, problems = _resolve(file, ())
    for text in overrides:
        try:
            apply_override(root, text)
        except SpaceError as error:
            problems += error.problems
    for key, value in (budget or {}).items():
        if value is not None:
            put(root, "budget", key, value, f"--{key.replace('_', '-')}")
    return build_space(root, name=file.stem, file=file, problems=problems)


def find_space(where: str | Path, *, folder: Path = Path()) -> Path:
    """The file of a space: a path, seen from the folder, or a built-in name.

    Both with or without `.yaml`. A built-in space in a folder needs its name alone.

    Raises:
        SpaceError: if there is none, with every valid name.
    """
    for base in (folder, BUILTIN):
        for file in (base / where, base / f"{where}.yaml"):
            if _is_file(file):
                return file
    builtin = {file.stem: file for file in builtin_spaces()}
    name = str(where).removesuffix(".yaml")
    if name in builtin:
        return builtin[name]
    raise SpaceError(
        [unknown("a space", str(where), list(builtin)) + "; or the path of a YAML file"]
    )


def builtin_spaces() -> list[Path]:
    """The files of the spaces that come with the project, those in folders behind the others."""
    return sorted(BUILTIN.rglob("*.yaml"), key=lambda file: (file.parent, file.name))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long a name, or one with a NUL
        return False


def _resolve(file: Path, children: tuple[Path, ...]) -> tuple[YamlMapping, list[str]]:
    """The mapping of a file laid over those that it extends, and the mistakes found on the way."""
    root, problems = scan_yaml(file)
    problems += _given_twice(root)
    above = root.pop("extends", None)
    if above is None:
        return root, problems
    try:
        parent, found = _parent(above, file, (*children, file.resolve()))
    except SpaceError as error:
        raise SpaceError(
            [*problems, *(f"{root.where['extends']}: extends: {text}" for text in error.problems)]
        ) from None
    return extend(parent, root), [*found, *problems]


def _parent(name: object, file: Path, children: tuple[Path, ...]) -> tuple[YamlMapping, list[str]]:
    if not isinstance(name, str) or not name:
        raise SpaceError([f"must be the name of a space, got {show(name)}"])
    parent = find_space(name, folder=file.parent)
    if parent.resolve() in children:
        chain = " -> ".join(path.name for path in (*children, parent))
        raise SpaceError([f"must not lead in a circle, got {chain}"])
    return _resolve(parent, children)


def _given_twice(root: YamlMapping) -> list[str]:
    """The names that one file both searches and fixes."""
    fixed = section_of(root, "fixed")
    twice = [name for name in section_of(root, "parameters") if name in fixed]
    return [
        f"{fixed.where[name]}: {name} must be in parameters or in fixed, got both; remove one"
        for name in twice
    ]

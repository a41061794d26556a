"""Names of modules that a user's own can't have.

They are those of Rungs, of Python, and of the packages that Rungs needs.

A user's folders come before installed packages on Python's path. So a file `click.py` there would
be taken for the package of that name by Ray, which needs it. For names that such files share with
what Rungs needs, and for those alone, a finder comes before the path and leads to what is
installed.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from types import ModuleType

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
OWN_NAMES = ("launch", "search_spaces", "trainables", "cluster", "results")

_protected: dict[str, list[str]] = {}  # Each name with the folders that it is found in.


class _Protector:
    """Finds what is protected where it is installed."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A protected module; nothing for any other."""
        return (
            PathFinder.find_spec(name, _protected[name], target)
            if path is None and name in _protected
            else None
        )


def protect(folders: Iterable[str]) -> None:
    """Have the modules that Rungs needs found where they are installed.

    Python would else take files of their names in these folders for them.

    Args:
        folders: A user's, which lie on Python's path.
    """
    theirs = [folder for folder in folders if Path(folder).resolve() != ROOT]
    installed = [path for path in sys.path if path not in theirs]
    shared = {
        name
        for name in _names_in(theirs)
        if name in OWN_NAMES or PathFinder.find_spec(name, installed)
    }
    _protected.clear()
    _protected.update({name: [str(ROOT)] for name in shared.intersection(OWN_NAMES)})
    if others := shared.difference(OWN_NAMES, sys.stdlib_module_names):
        _protected.update(dict.fromkeys(others & needed_names(), installed))
    if _Protector not in sys.meta_path:
        sys.meta_path.insert(0, _Protector)


def holder_of(name: str, file: Path) -> str:
    """Who has taken the name of a user's module; empty if nobody has."""
    if name in OWN_NAMES:
        return "Rungs itself"
    if name in sys.stdlib_module_names:
        return "Python's own library"
    loaded = getattr(sys.modules.get(name), "__file__", None)
    if name in sys.modules and (loaded is None or Path(loaded).resolve() != file.resolve()):
        return f"an installed package that Rungs uses ({loaded})"
    return "an installed package that Rungs needs" if name in _protected else ""


@cache
def needed_names() -> frozenset[str]:
    """The top-level modules of all packages that Rungs needs, directly or through others."""
    needed = _needed_packages()
    found = packages_distributions().items()
    return frozenset(
        name
        for name, packages in found
        if needed & {canonicalize_name(package) for package in packages}
    )


def _needed_packages() -> set[str]:
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [("rungs", frozenset[str]())]
    while waiting:
        package = waiting.pop()
        if package not in seen:
            seen.add(package)
            waiting += _requirements(*package)
    return {name for name, _ in seen} - {"rungs"}


def _requirements(package: str, extras: frozenset[str]) -> list[tuple[str, frozenset[str]]]:
    """What a package with these extras asks for, each with the extras that it wants of it."""
    try:
        lines = requires(package) or []
    except (
        PackageNotFoundError
    ):  # It is not for this machine, or Rungs runs without being installed.
        return []
    asked = [
        line
        for line in map(Requirement, lines)
        if line.marker is None
        or any(line.marker.evaluate({"extra": extra}) for extra in extras or {""})
    ]
    return [(canonicalize_name(line.name), frozenset(line.extras)) for line in asked]


def _names_in(folders: Iterable[str]) -> set[str]:
    """The names of the modules and packages that lie in folders."""
    entries = [entry for folder in folders if Path(folder).is_dir() for entry in os.scandir(folder)]
    packages = [
        entry for entry in entries if entry.is_dir() and Path(entry.path, "__init__.py").is_file()
    ]
    modules = [Path(entry.path).stem for entry in entries if entry.name.endswith(".py")]
    return {*modules, *(entry.name for entry in packages)}

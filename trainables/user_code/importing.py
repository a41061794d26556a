"""Anyone's modules: where they are looked for, which names are taken, and what importing them did.

One order holds everywhere, in the launcher, in workers and in `train`: Python's own library, the
space's folder, the current one, then installed packages and Rungs' own. So nobody's `random.py` can
break Python, and a `docker.py` beside the space is found before an installed package of that name.
A name that can't be had is refused, with the reason.
"""

import contextlib
import importlib
import inspect
import linecache
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from modulefinder import ModuleFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from trainables.config import TaskError
from trainables.user_code.reserved import OWN_NAMES, ROOT, holder_of, protect

PYTHONS = {
    sysconfig.get_path("stdlib"),
    sysconfig.get_path("platstdlib"),
    sysconfig.get_config_var("DESTSHARED"),
}
MOST_FOLLOWED = 500
INSTALLED = ("site-packages", "dist-packages")

_folders: list[str] = []
_brought_in: set[str] = set()  # The names of the modules that importing tasks has brought in.
_wanted_folder: list[Path] = []  # At most one.


def import_from(paths: Iterable[str]) -> None:
    """Let the task's modules be imported from these folders and the current one.

    They come before installed packages. The first folder is the space's, the current one the
    second. Modules of other folders that were imported as somebody's task before are forgotten:
    another study may have modules of the same names.
    """
    first, *rest = (str(Path(path).absolute()) for path in (*paths, "."))
    folders = list(dict.fromkeys([first, str(Path.cwd()), *rest]))
    if folders != _folders:
        for name in _users_modules():
            del sys.modules[name]
        _brought_in.clear()
        _wanted_folder.clear()
    _folders[:] = folders
    pythons = [path for path in sys.path if path in PYTHONS or path.endswith(".zip")]
    sys.path[:] = [
        *pythons,
        *folders,
        *(path for path in sys.path if path not in {*pythons, *folders}),
    ]
    protect(folders)
    importlib.invalidate_caches()


def import_attribute(module_name: str, attribute: str, task: str) -> Any:
    """What stands at `module:attribute`.

    A module that changes the current folder as it is imported has its way where its code runs: in
    `task_folder()`. What a command's relative paths mean doesn't change.

    Raises:
        TaskError: when the module isn't there, its name or that of a module that it imports is
            taken, importing it raises or exits, or it has no such attribute. The message begins
            with the task's name.
    """
    _check_names(module_name, tuple(_folders), task)
    try:
        with _staying_here(), _noting_modules():
            module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and module_name.split(".")[0] == error.name.split(".")[0]:
            raise TaskError(
                f"task {task!r}: there is no module {error.name!r} beside the space file, in the "
                "current folder or among the installed packages"
            ) from error
        raise TaskError(f"task {task!r}: importing {module_name} failed: {error}") from error
    except SystemExit as error:
        raise TaskError(
            f"task {task!r}: importing {module_name} called sys.exit({error.code!r}) "
            f"({place_of(error)}); does it read "
            "sys.argv? Guard what a script does with: if __name__ == '__main__':"
        ) from error
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and not _is_raised_by_name(error):
            raise  # It was the user's Ctrl-C.
        raise TaskError(
            f"task {task!r}: importing {module_name} failed: {describe(error)}"
        ) from error
    if not hasattr(module, attribute):
        found = ", ".join(sorted(_defined_in(module))) or "nothing that could be one"
        raise TaskError(f"task {task!r}: {module_name} has no {attribute!r}; it has {found}")
    return getattr(module, attribute)


def task_folder() -> Path:
    """What the task's modules made the current folder as they were imported.

    Else the current one.
    """
    return _wanted_folder[0] if _wanted_folder else Path.cwd()


@contextlib.contextmanager
def _staying_here() -> Iterator[None]:
    here = Path.cwd()
    try:
        yield
    finally:
        if Path.cwd() != here:
            _wanted_folder[:] = [Path.cwd()]
            os.chdir(here)


@contextlib.contextmanager
def _noting_modules() -> Iterator[None]:
    before = set(sys.modules)
    try:
        yield
    finally:
        _brought_in.update(sys.modules.keys() - before)


def describe(error: BaseException) -> str:
    """An exception in one line, with the last place in the user's own code that led to it.

    A `TaskError` says by itself what is wrong, and where.
    """
    try:
        first_line = (str(error).splitlines() or [""])[0]
    except Exception:  # An exception's text is anyone's code, too.
        first_line = ""
    if isinstance(error, TaskError) and first_line:
        return first_line
    text = f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__
    place = place_of(error)
    return f"{text} ({place})" if place else text


def place_of(error: BaseException) -> str:
    """`mine.py:6`: the last line of the user's own code, else of Rungs', else the last one.

    Empty if there is none.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    cause = error.__cause__ or error.__context__
    causes = (
        traceback.extract_tb(cause.__traceback__) if cause else []
    )  # An end of a generator has no line of its own.
    for searched, is_wanted in (
        (frames, _is_users),
        (causes, _is_users),
        (frames, _is_own),
        (frames, bool),
    ):
        for frame in reversed(searched):
            if is_wanted(frame.filename):
                return f"{Path(frame.filename).name}:{frame.lineno}"
    return ""


def task_files(module_name: str) -> dict[str, Path]:
    """The user's own files behind a module and what it imports, by their paths as modules."""
    finder = _followed(module_name, tuple(_folders))
    files = {name: getattr(module, "__file__", None) for name, module in finder.modules.items()}
    found = {name: Path(file) for name, file in files.items() if file} | _users_modules()
    return {
        _path_of(name, file): file for name, file in sorted(found.items()) if _is_users(str(file))
    }


def _path_of(name: str, file: Path) -> str:
    path = name.replace(".", "/")
    return f"{path}/{file.name}" if file.stem == "__init__" else f"{path}{file.suffix}"


def _users_modules() -> dict[str, Path]:
    """Names and files of the modules that importing tasks has brought in from their folders."""
    files = {name: getattr(sys.modules.get(name), "__file__", None) for name in _brought_in}
    return {
        name: Path(file)
        for name, file in files.items()
        if file
        and _is_users(file)
        and any(Path(file).is_relative_to(folder) for folder in _folders)
    }


def _is_users(file: str) -> bool:
    path = Path(file)
    if file.startswith("<") or any(part in INSTALLED for part in path.parts) or _is_own(file):
        return False
    return not any(path.is_relative_to(folder) for folder in PYTHONS if folder)


def _is_own(file: str) -> bool:
    path = Path(file)
    return (
        path.is_relative_to(ROOT)
        and path.relative_to(ROOT).parts[0].removesuffix(".py") in OWN_NAMES
    )


def _is_raised_by_name(error: BaseException) -> bool:
    """Whether the line that raised it names it.

    An interrupt from outside comes at any other line.
    """
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return type(error).__name__ in linecache.getline(frame.filename, frame.lineno or 0)


def _defined_in(module: ModuleType) -> list[str]:
    members = vars(module).items()
    return [
        name for name, value in members if callable(value) and inspect.getmodule(value) is module
    ]


@lru_cache
def _check_names(module_name: str, folders: tuple[str, ...], task: str) -> None:
    """Refuse a user's module, or one that it imports, whose name leads Python to another one."""
    searched = [folder for folder in folders if Path(folder).resolve() != ROOT]
    if (
        module_name.partition(".")[0] in OWN_NAMES
        and _find(module_name.partition(".")[0], searched) is None
    ):
        return
    finder = _followed(module_name, tuple(searched))
    for name in [*finder.modules, module_name]:
        file = _find(name, searched) if "." not in name else None
        if file is not None and (holder := holder_of(name, file)):
            raise TaskError(f"task {task!r}: the name {name!r} is taken by {holder}; rename {file}")


@lru_cache
def _followed(module_name: str, folders: tuple[str, ...]) -> "_UsersModules":
    """The modules in these folders that a module leads to.

    At most `MOST_FOLLOWED`, as each must be compiled.
    """
    finder = _UsersModules(path=[folder for folder in folders if Path(folder).resolve() != ROOT])
    with contextlib.suppress(ImportError, SyntaxError, ValueError, UnicodeError, RecursionError):
        finder.import_hook(module_name)  # Importing it for real tells what is wrong.
    return finder


class _UsersModules(ModuleFinder):
    """Follows imports, without carrying them out, as long as they lead to the user's folders."""

    def find_module(self, name: str, path: Any, parent: Any = None) -> Any:
        if len(self.modules) >= MOST_FOLLOWED or _find(name, path or self.path) is None:
            raise ImportError(name)
        return super().find_module(name, path, parent)


def _find(name: str, folders: Iterable[str]) -> Path | None:
    """The file of a module in these folders.

    None for a mere folder, which any module of that name comes before.
    """
    spec: ModuleSpec | None = PathFinder.find_spec(name, list(folders))
    return Path(spec.origin) if spec and spec.origin else None

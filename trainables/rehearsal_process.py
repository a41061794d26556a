"""The rehearsal of a search's first configuration, in a process of its own and for a short time.

Not in the launcher, which lives as long as the search: the user's code may take long, hang, end its
process, start threads or occupy a GPU. Not in a fork of it: PyTorch's threads and CUDA don't
survive one. A fresh process has to import PyTorch, which takes as long as the launcher's import of
Ray, and they do it side by side.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from search_spaces import Space, SpaceError, space_from_mapping
from trainables.config import TaskError
from trainables.task import BUILTIN_TASKS, Task, load_task
from trainables.user_code.reserved import ROOT

LIMIT_S = 10.0
EXIT_MISTAKE = 2
START = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from trainables.rehearsal_process import main
sys.exit(main())
"""


def needs_rehearsal(space: Space) -> bool:
    """Whether a search rehearses: a task of the user's own, which has never been tried.

    Built-in tasks are tested with the project. A function's first report may take an hour.
    """
    return space.task not in BUILTIN_TASKS and isinstance(load_task(space.task), Task)


class Rehearsal:
    """A rehearsal beside what else the launcher does; it is over when its `with` block is left."""

    def __init__(self, space: Space, import_paths: Sequence[str]):
        content = {
            "space": space.to_dict(),
            "name": space.name,
            "file": str(space.file.absolute()),
            "import_paths": [*import_paths],
        }
        self._deadline = time.monotonic() + LIMIT_S
        self._errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - see __exit__
        with tempfile.TemporaryFile("w+", encoding="utf-8") as asked:
            json.dump(content, asked)
            asked.seek(0)
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", START],
                stdin=asked,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                start_new_session=True,  # So that it can be ended with whatever it has started.
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._errors.close()

    def mistake(self) -> str | None:
        """What it says of a mistake in the task, the traceback included.

        None when all went well, or the time was over, or it was killed: the search then tells.
        """
        try:
            code = self._process.wait(max(0.0, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return None
        if code != EXIT_MISTAKE:
            return None
        self._errors.seek(0)
        return self._errors.read()


def main() -> int:
    """Rehearse the space on standard input; a mistake goes to standard error."""
    # Not before: the launcher has no need of the training loop.
    from trainables.accepting import accept_at
    from trainables.rehearsal import rehearse

    content: dict[str, Any] = json.load(sys.stdin)
    space = space_from_mapping(content["space"], name=content["name"], file=Path(content["file"]))
    try:
        space, objective = accept_at(space, content["import_paths"])
        for _ in rehearse(space, objective, content["import_paths"], first_only=True):
            pass
    except (SpaceError, TaskError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_MISTAKE
    return 0

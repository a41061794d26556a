"""The paths of a study, and the lock that lets one launcher at a time write it."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from results.study.moves import moved
from trainables.mirror import Mirror, inside
from trainables.trial_folder import TrialFolder

LOCK_TRIES, LOCK_WAIT_S = 5, 0.05
ELSEWHERE = "choose another --out, or copy the study and work on the copy"


class StudyError(Exception):
    """A study that can't be opened or changed as asked; the message says why and what to do."""


@dataclass(frozen=True)
class StudyFolder:
    """Where everything of a study lies; `runs/v6`, say.

    Attributes:
        path: The folder.
        mirror: URI of a copy of the trials' files, where machines share no file system.
        begun_in: Where it lay when the study began; None: that isn't known.
    """

    path: Path
    mirror: str | None = None
    begun_in: str | None = None

    @property
    def description(self) -> Path:
        """The resolved space, seed, versions, git commit and command."""
        return self.path / "study.yaml"

    @property
    def journal(self) -> Path:
        """The Optuna journal: the only truth about the trials."""
        return self.path / "journal.log"

    @property
    def best(self) -> Path:
        """The best configuration so far, ready to be trained again."""
        return self.path / "best.yaml"

    @property
    def exports(self) -> Path:
        """Where `export` writes unless told otherwise."""
        return self.path / "exports"

    @property
    def pictures(self) -> Path:
        """Where `pictures` draws."""
        return self.path / "pictures"

    @property
    def confirmation(self) -> Path:
        """Where the best configurations are trained again, on fresh seeds."""
        return self.path / "confirm"

    @property
    def confirmed(self) -> Path:
        """What came of that."""
        return self.path / "confirm.json"

    @property
    def scratch(self) -> Path:
        """For what Ray notes of itself while a search runs."""
        return self.path / ".scratch"

    @property
    def lock(self) -> Path:
        """Held by the launcher that runs the study."""
        return self.path / "launcher.lock"

    def here(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """A configuration with its paths as they are now, if they were moved with the study."""
        return {
            name: moved(value, written_in=self.begun_in, lies_in=self.path)
            for name, value in values.items()
        }

    def trial(self, number: int) -> TrialFolder:
        """A trial's folder."""
        return TrialFolder(self.path / "trials" / f"{number:04d}")

    def trial_mirror(self, number: int) -> str | None:
        """URI of the copy of a trial's folder, if there is one."""
        return inside(self.mirror, f"trials/{number:04d}") if self.mirror else None

    def fetch(self) -> None:
        """Bring the trials' files here, if others wrote them and share no file system."""
        if self.mirror:
            Mirror(inside(self.mirror, "trials")).add_to(self.path / "trials")

    def checkpoints(self) -> set[int]:
        """The numbers of the trials that have a checkpoint."""
        paths = list((self.path / "trials").glob("*/checkpoint"))
        if self.mirror:
            paths += [file.parent for file in Mirror(inside(self.mirror, "trials")).files()]
        return {
            int(path.parent.name)
            for path in paths
            if path.name == "checkpoint" and path.parent.name.isdecimal()
        }

    def delete_checkpoint(self, number: int) -> None:
        """Free the disk, and the copy's; metrics and events stay."""
        self.trial(number).delete_checkpoint()
        uri = self.trial_mirror(number)
        if uri:
            Mirror(uri).delete("checkpoint")

    def exists(self) -> bool:
        """Whether a study was ever begun here.

        Raises:
            StudyError: when this user may not look.
        """
        try:
            return self.description.exists() or self.journal.exists()
        except PermissionError as error:
            raise StudyError(
                f"{self.path} can't be read by this user: {error.strerror}; ask its owner",
            ) from error


class StudyLock:
    """The exclusive right to write a study, for as long as the process lives.

    The system frees it when it dies.

    Raises:
        StudyError: on entering, when another launcher holds it; names its process and host.
    """

    def __init__(self, folder: StudyFolder):
        self._folder = folder
        self._file: Any = None

    def __enter__(self) -> Self:
        try:
            self._folder.path.mkdir(parents=True, exist_ok=True)
            self._file = self._folder.lock.open("a+")
        except OSError as error:
            raise StudyError(
                f"{self._folder.path} can't be written: {error.strerror}; {ELSEWHERE}",
            ) from error
        for _ in range(LOCK_TRIES):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(LOCK_WAIT_S)  # It may be a `status` that looks whether the study runs.
        else:
            self._file.close()
            holder = lock_holder(self._folder) or {}
            raise StudyError(
                f"{self._folder.path} is being run by process {holder.get('pid', '?')} on "
                f"{holder.get('host', '?')}; one launcher at a time: wait for it, or end it"
            )
        self._file.truncate(0)
        self._file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
        self._file.flush()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.truncate(0)
        self._file.close()


def lock_holder(folder: StudyFolder) -> dict[str, Any] | None:
    """Process and host of the launcher that runs the study now; None when none does."""
    try:
        file = folder.lock.open()
    except OSError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _holder(file.read())
    return None


def _holder(text: str) -> dict[str, Any]:
    try:
        holder = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return holder if isinstance(holder, dict) else {}

"""Copies of trials' files in an object store, for machines that share no file system."""

import shutil
from pathlib import Path
from urllib.parse import urlsplit

from pyarrow import ArrowInvalid
from pyarrow.fs import FileSelector, FileSystem, FileType, LocalFileSystem, copy_files

SCHEMES = ("s3", "gs", "file")
LEFT_OUT = (
    "previous.pt"  # For a `last.pt` that a crash damaged: a store takes a whole file or none.
)


class NoMirror:
    """For folders that all machines reach: nothing is copied."""

    def pull(self, folder: Path) -> None:
        """Nothing."""

    def push(self, folder: Path) -> None:
        """Nothing."""


class Mirror(NoMirror):
    """A folder's copy at a URI that PyArrow knows: `s3://bucket/folder`, `gs://...`, `file:///...`.

    Credentials are those of the machine (for S3 `AWS_ACCESS_KEY_ID` and so on, or its role).

    Args:
        uri: Of the copy.

    Raises:
        ValueError: when it is no such URI, or holds a secret.
    """

    def __init__(self, uri: str):
        parts = urlsplit(uri)
        if parts.scheme not in SCHEMES or not parts.netloc + parts.path:
            raise ValueError(
                f"must be s3://bucket/folder or gs://bucket/folder, got {parts.scheme}:..."
            )
        if parts.password:
            raise ValueError("must hold no secret: a store's credentials are the machine's")
        try:
            self._store, self._path = FileSystem.from_uri(uri)
        except ArrowInvalid as error:
            raise ValueError(
                f"must be s3://bucket/folder or gs://bucket/folder: {error}"
            ) from error
        self._sent: dict[Path, int] = {}

    def pull(self, folder: Path) -> None:
        """Make the folder what its copy is: what lay there before is removed."""
        shutil.rmtree(folder, ignore_errors=True)
        self.add_to(folder)

    def add_to(self, folder: Path) -> None:
        """Bring what the copy has to the folder.

        Raises:
            OSError: when the store can't be read.
        """
        if self._store.get_file_info(self._path).type == FileType.Directory:
            folder.mkdir(parents=True, exist_ok=True)
            copy_files(
                self._path, str(folder), source_filesystem=self._store, destination_filesystem=_HERE
            )

    def push(self, folder: Path) -> None:
        """Send the files that have changed since they were sent.

        Metrics before the checkpoints that presuppose them.

        Raises:
            OSError: when the store can't be written.
        """
        for file in sorted(folder.rglob("*"), key=lambda file: (file.suffix == ".pt", file)):
            if file.is_file() and file.name != LEFT_OUT and not file.name.endswith(".tmp"):
                changed_ns = file.stat().st_mtime_ns
                if self._sent.get(file) != changed_ns:
                    self._send(file, file.relative_to(folder))
                    self._sent[file] = changed_ns

    def delete(self, name: str = "") -> None:
        """Remove a folder of the copy, or all of it, if it is there."""
        path = f"{self._path}/{name}".rstrip("/")
        if self._store.get_file_info(path).type == FileType.Directory:
            self._store.delete_dir(path)

    def files(self) -> list[Path]:
        """The paths of all files, as they lie in the copy."""
        found = self._store.get_file_info(
            FileSelector(self._path, allow_not_found=True, recursive=True)
        )
        return [Path(info.path).relative_to(self._path) for info in found if info.is_file]

    def _send(self, file: Path, name: Path) -> None:
        target = f"{self._path}/{name.as_posix()}"
        if isinstance(self._store, LocalFileSystem):
            Path(target).parent.mkdir(parents=True, exist_ok=True)
        copy_files(str(file), target, source_filesystem=_HERE, destination_filesystem=self._store)


_HERE = LocalFileSystem()


def mirror_at(uri: str | None) -> NoMirror:
    """The copy at a URI, if there is one."""
    return Mirror(uri) if uri else NoMirror()


def inside(uri: str, name: str) -> str:
    """The URI of what lies in a folder; options stay behind their question mark."""
    folder, mark, options = uri.partition("?")
    return f"{folder.rstrip('/')}/{name}{mark}{options}"

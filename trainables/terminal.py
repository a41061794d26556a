"""What to do so that a terminal which goes away, or can't show a character, ends nothing."""

import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO


class LastingFile(io.FileIO):
    """An open descriptor to write to; what can't be written, as the reader has gone, is lost."""

    def write(self, data: Any) -> int:
        """Write what can be written."""
        try:
            return super().write(data)
        except OSError:
            return len(data)


def keep_output() -> None:
    """Have standard output and error take everything, closed or not, with a reader or without.

    Characters that they can't encode are written with backslashes.
    """
    fill_descriptors()
    if sys.stdout is sys.__stdout__:
        sys.stdout = lasting(1, sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = lasting(2, sys.stderr)


def lasting(descriptor: int, stream: Any) -> TextIO:
    """A stream to a descriptor like one that there is already; None: like none."""
    return io.TextIOWrapper(
        io.BufferedWriter(LastingFile(descriptor, "w", closefd=False)),
        encoding=getattr(stream, "encoding", "utf-8"),
        errors="backslashreplace",
        line_buffering=getattr(stream, "line_buffering", False),
        write_through=getattr(stream, "write_through", False),
    )


def fill_descriptors() -> None:
    """Open descriptors 0 to 2, so that no other file gets such a number, and what is printed."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


@contextmanager
def outliving_terminal() -> Iterator[None]:
    """Meanwhile this process, and those that it starts, go on when the terminal is closed."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def be_utf8() -> None:
    """Begin this process anew if its file names aren't UTF-8, as what it writes, and Ray's, are.

    Its output keeps its encoding.
    """
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        output = getattr(sys.stdout, "encoding", "ascii")
        settings = {"PYTHONUTF8": "1", "PYTHONIOENCODING": output}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **settings})

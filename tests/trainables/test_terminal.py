"""Proves that no stream, however broken, raises: pytest tests/trainables/test_terminal.py."""

import os
import pty
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from results.console import Console
from trainables.terminal import lasting, outliving_terminal


class Ascii:
    """Stands for a stream that knows only ASCII."""

    encoding = "ascii"


@pytest.fixture(params=["pipe", "terminal", "full disk", "closed"])
def broken(request: pytest.FixtureRequest) -> Iterator[int]:
    """A descriptor that nobody takes anything from any more."""
    if request.param == "full disk":
        descriptor = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, descriptor = pty.openpty() if request.param == "terminal" else os.pipe()
        os.close(reader)
    if request.param == "closed":
        yield from without(descriptor)
    else:
        yield descriptor
        os.close(descriptor)


def without(descriptor: int) -> Iterator[int]:
    """A descriptor that is opened for reading alone, which is as good as closed to a writer."""
    os.close(descriptor)
    readable = os.open(os.devnull, os.O_RDONLY)
    os.dup2(readable, descriptor)
    os.close(readable)
    yield descriptor
    os.close(descriptor)


def test_a_broken_stream_takes_everything(broken: int) -> None:
    stream = lasting(broken, None)
    for _ in range(100):
        print("word " * 1000, file=stream, flush=True)
    stream.close()


def test_the_console_takes_no_notice_of_a_broken_stream(broken: int) -> None:
    console = Console(lasting(broken, None))
    console.say("it says")
    console.print("something")
    console.say("more than once")


def test_a_whole_stream_gets_all_in_its_own_encoding(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    stream = lasting(descriptor, Ascii())
    print("ü ✓ 日本 \udcff", file=stream, flush=True)
    assert not stream.isatty()
    assert stream.fileno() == descriptor
    os.close(descriptor)
    assert (tmp_path / "log").read_text() == "\\xfc \\u2713 \\u65e5\\u672c \\udcff\n"


def test_a_hangup_is_nothing_meanwhile_and_is_one_afterwards() -> None:
    before = signal.getsignal(signal.SIGHUP)
    with outliving_terminal():
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) == before

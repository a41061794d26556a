"""Proves that a process outlives what its jobs do to it: pytest tests/cluster/test_trainer.py."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from cluster.trainer import LocalTrainer, Outcome, is_out_of_memory
from search_spaces import Objective
from trainables.job import Job
from trainables.trial_folder import TrialFolder

LOSS = Objective(name="loss", direction="minimize")
SOURCE = """
import argparse, multiprocessing, os, signal, sys, threading
import torch
from pathlib import Path

{setup}

def train(config, folder):
    yield {{"loss": 1.0}}
    exec(config["code"])
    yield {{"loss": len(os.listdir())}}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that the search was started from; what a process is made of stays as it was."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setattr(sys, "path", list(sys.path))
    method, handlers = (
        multiprocessing.get_start_method(allow_none=True),
        signal.getsignal(signal.SIGTERM),
    )
    multiprocessing.set_start_method(None, force=True)
    before = Path.cwd()
    yield home
    os.chdir(before)
    multiprocessing.set_start_method(method, force=True)
    signal.signal(signal.SIGTERM, handlers)
    torch.set_default_dtype(torch.float32)


def write(home: Path, setup: str = "") -> str:
    name = f"surrounded_{len(sys.modules)}"
    (home / f"{name}.py").write_text(SOURCE.format(setup=setup), encoding="utf-8")
    return name


def job(home: Path, module: str, code: str, number: int = 0) -> Job:
    return Job(
        task=f"{module}:train",
        objective=LOSS,
        values={"code": code},
        seed=0,
        split_seed=0,
        max_epochs=2,
        folder=home.parent / f"{number:04d}",
        import_paths=(str(home),),
        working_folder=home,
    )


def outcomes(trainer: LocalTrainer, job: Job) -> list[Outcome]:
    """All that a job gives, to its end."""
    trainer.take(job)
    found = []
    while True:
        outcome = trainer.step()
        found.append(outcome)
        if outcome.report is None:
            return found


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("sys.exit('no data')", "SystemExit: no data"),
        ("sys.exit(3)", "SystemExit: 3"),
        ("argparse.ArgumentParser().parse_args(['--x'])", "SystemExit: 2"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise BaseException('mine')", "BaseException: mine"),
        ("torch.zeros(2) @ torch.zeros(3)", "RuntimeError: inconsistent tensor size"),
        ("raise ValueError('\\udc80')", "ValueError: \udc80"),
        ("raise StopIteration", "RuntimeError: generator raised StopIteration"),
    ],
)
def test_whatever_a_function_raises_is_a_failure_with_its_line_and_traceback(
    home: Path, code: str, reason: str
) -> None:
    module, trainer = write(home), LocalTrainer()
    first, last = outcomes(trainer, job(home, module, code))
    assert first.report is not None
    assert last.failed is not None
    assert last.failed.startswith(reason)
    assert last.failed.endswith(f"({module}.py:10)")
    error = TrialFolder(home.parent / "0000").error.read_text(encoding="utf-8")
    assert "Traceback" in error and f'{module}.py", line 10' in error
    assert len(outcomes(trainer, job(home, module, "pass", number=1))) == 3, "the process trains on"


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"), True),
        (torch.AcceleratorError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), True),
        (torch.AcceleratorError("CUDA error: device-side assert triggered"), False),
        (ValueError("CUDA error: out of memory"), False),
        (MemoryError(), False),
    ],
)
def test_a_gpu_without_memory_is_known_by_what_each_library_raises(
    error: BaseException, is_it: bool
) -> None:
    assert is_out_of_memory(error) is is_it


def test_what_a_training_held_is_free_before_the_gpus_cache_is_emptied(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, trainer = write(home, "import weakref; models = []"), LocalTrainer()
    code = (
        "model = torch.zeros(1); models.append(weakref.ref(model))\n"
        "raise torch.cuda.OutOfMemoryError('CUDA out of memory')"
    )
    trainer.take(job(home, module, code))
    trainer.step()
    held = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda, "empty_cache", lambda: held.append(sys.modules[module].models[0]())
    )
    outcome = trainer.step()
    assert outcome.out_of_memory and outcome.failed
    assert outcome.failed.startswith("OutOfMemoryError: CUDA out of memory")
    assert held == [None]


def test_a_trial_sees_the_folder_that_the_search_was_started_from(home: Path) -> None:
    module = write(home)
    found = outcomes(LocalTrainer(), job(home, module, "Path('notes.txt').write_text('hello')"))
    assert (home / "notes.txt").read_text() == "hello"
    assert found[1].report is not None
    assert found[1].report.metrics["loss"] == len(list(home.iterdir()))


@pytest.mark.parametrize(
    "code",
    [
        "os.chdir(folder)",
        "os.chdir(folder); Path('x').touch(); os.remove('x'); os.chdir('/'); import shutil; "
        "shutil.rmtree(folder)",
        "multiprocessing.set_start_method('spawn')",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "torch.set_default_dtype(torch.float64)",
        "torch.set_default_device('meta')",
        "import numpy; numpy.seterr(all='raise')",
        "import warnings; warnings.simplefilter('error')",
        "sys.stdout = open(os.devnull, 'w'); sys.stdout.close()",
        "os.umask(0o777)",
        "signal.signal(signal.SIGALRM, lambda *_: os._exit(9)); "
        "signal.setitimer(signal.ITIMER_REAL, 0.5)",
        "torch.set_num_threads(3)",
        "import logging; logging.disable(logging.CRITICAL); logging.basicConfig(force=True)",
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_one_trial_changes_of_the_process_the_next_does_not_see(home: Path, code: str) -> None:
    module, trainer = write(home), LocalTrainer()
    seen = (
        "assert Path.cwd().name == 'home', Path.cwd()\n"
        "multiprocessing.set_start_method('spawn')\n"
        "assert signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN\n"
        "assert torch.zeros(1).dtype == torch.float32 and torch.zeros(1).device.type == 'cpu'\n"
        "import numpy, warnings; numpy.log(numpy.zeros(1)); warnings.warn('x'); print('y')\n"
        "Path('new').write_text('x'); assert os.stat('new').st_mode & 0o600 == 0o600; "
        "os.remove('new')\n"
        "assert torch.get_num_threads() == 1\n"
    )
    for number, each in enumerate((seen, code, seen)):
        assert [
            outcome.failed for outcome in outcomes(trainer, job(home, module, each, number))
        ] == [None] * 3
    if "setitimer" in code:
        time.sleep(0.6)  # The alarm would have ended this process.


def test_what_the_import_set_up_stays_from_trial_to_trial(home: Path) -> None:
    (home / "code").mkdir()
    module, trainer = (
        write(home, "os.chdir('code'); multiprocessing.set_start_method('spawn')"),
        LocalTrainer(),
    )
    seen = "assert Path.cwd().name == 'code'; assert multiprocessing.get_start_method() == 'spawn'"
    for number, each in enumerate((seen, "os.chdir('/')", seen)):
        assert [
            outcome.failed for outcome in outcomes(trainer, job(home, module, each, number))
        ] == [None] * 3


def test_a_module_that_exits_is_told_by_each_trial(home: Path) -> None:
    module, trainer = write(home, "sys.exit(0)"), LocalTrainer()
    for number in range(2):
        (outcome,) = outcomes(trainer, job(home, module, "", number))
        assert outcome.failed is not None
        assert f"importing {module} called sys.exit(0) ({module}.py:6)" in outcome.failed


def test_a_folder_that_is_not_there_is_no_reason_to_fail(home: Path) -> None:
    module = write(home)
    elsewhere = Job(
        **{
            **{name: getattr(job(home, module, "pass"), name) for name in Job.__slots__},
            "working_folder": home / "not there",
        }
    )
    assert [outcome.failed for outcome in outcomes(LocalTrainer(), elsewhere)] == [None] * 3

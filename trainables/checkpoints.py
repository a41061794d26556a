"""How a trial's checkpoints are written: small ones at once, large ones beside the training."""

import contextlib
import copy
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

from torch import Tensor

from trainables.task import Report
from trainables.trial_folder import TrialFolder

Saves = list[tuple[Callable[..., None], dict[str, Any]]]

LARGE_BYTES = 256 * 2**20
"""Of a state that is written while the next epoch is trained; others take less than a second."""


class CheckpointWriter:
    """Writes the states of one trial, one after the other.

    A large state is copied, and a thread writes the copy. Until it is done, the folder holds the
    state before: whoever goes on from there trains one epoch once more, to the same value.

    Args:
        folder: Where they are written.
        written: Called when a state is on the disk.
    """

    def __init__(self, folder: TrialFolder, written: Callable[[], object]):
        self._folder, self._written = folder, written
        self._thread = ThreadPoolExecutor(1, "checkpoints")
        self._under_way: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        self._thread.shutdown()
        if error_type is None:
            self.wait()

    def wait(self) -> None:
        """Until the last state is on the disk.

        Raises:
            OSError: when it could not be written.
        """
        if self._under_way is not None:
            self._under_way.result()
        self._under_way = None

    def write(self, report: Report, *, reports: int, best: bool, at_once: bool) -> None:
        """Write the state after an epoch, if it has one.

        Args:
            report: Of the epoch.
            reports: How many the trial has made, this one included.
            best: Whether its model is the best so far.
            at_once: Return when it is on the disk, however large it is.
        """
        if report.state is None:
            self._written()
            return
        state = {**report.state(), "epoch": report.epoch, "reports": reports}
        saves: Saves = [(self._folder.save_last, state)]
        if best:
            model = {"epoch": report.epoch, "metrics": report.metrics, "model": state["evaluated"]}
            saves.insert(0, (self._folder.save_best, model))
        if at_once or sum(storage_sizes(state).values()) < LARGE_BYTES:
            self._save(saves)
        else:
            self._folder.checkpoint.mkdir(parents=True, exist_ok=True)
            self._under_way = self._thread.submit(self._save_beside, on_host(saves, {}))

    def _save(self, saves: Saves) -> None:
        for save, state in saves:
            save(state)
        self._written()

    def _save_beside(self, saves: Saves) -> None:
        # Who removes the folder meanwhile wants nothing in it.
        with contextlib.suppress(FileNotFoundError):
            for save, state in saves:
                save(state, make_folder=False)
        self._written()


def storage_sizes(state: Any) -> dict[int, int]:
    """The bytes of each piece of memory that the tensors of a state lie in, by its address."""
    return {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for tensor in tensors_of(state)
    }


def tensors_of(state: Any) -> Iterator[Tensor]:
    """All tensors in nested dicts, lists and tuples."""
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, dict | list | tuple):
        for part in state.values() if isinstance(state, dict) else state:
            yield from tensors_of(part)


def on_host(state: Any, copies: dict[Any, Tensor]) -> Any:
    """A copy of a state, its tensors in the CPU's memory; equal tensors of one place stay one.

    Args:
        state: Nested dicts, lists and tuples of tensors and plain values.
        copies: The tensors that were copied so far, by their places.
    """
    if isinstance(state, Tensor):
        place = (state.data_ptr(), state.dtype, state.shape, state.stride())
        if place not in copies:
            copies[place] = state.detach().to("cpu", copy=True)
        return copies[place]
    if isinstance(state, dict):
        copied = copy.copy(state)  # Of its own class, and with the versions of modules.
        for name, part in state.items():
            copied[name] = on_host(part, copies)
        return copied
    if isinstance(state, list | tuple):
        return type(state)(on_host(part, copies) for part in state)
    return state

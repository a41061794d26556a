"""Proves that a GPU is never waited for in a step: pytest tests/trainables/test_on_gpu.py.

Without a GPU nothing of this is collected.
"""

from collections.abc import Iterator

import pytest
import torch

from tests.trainables.conformance import EPOCHS, NAMES, tiny_config, tiny_task
from trainables.parts.tally import Mean
from trainables.training import new_learner, on_device, train_epoch

pytestmark = pytest.mark.gpu


@pytest.fixture
def gpu() -> Iterator[torch.device]:
    """A GPU; whoever waits for it raises."""
    yield torch.device("cuda")
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("resident", [True, False], ids=["data on the GPU", "data read ahead"])
def test_no_step_waits_for_the_gpu(
    name: str, resident: bool, gpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, config = tiny_task(name, monkeypatch), tiny_config(name, data__batch_size=16)
    splits = task.data(config, 0)
    train = on_device(splits, gpu).train if resident else splits.train
    learner = new_learner(task, config, splits, gpu)
    train_epoch(task, config, learner, train, EPOCHS)  # Constants go to the GPU once.

    def step_without_waiting(*_: object) -> None:
        torch.cuda.set_sync_debug_mode("error")

    learner.optimizer.register_step_pre_hook(step_without_waiting)
    original = Mean.compute

    def compute(mean: Mean) -> float:
        torch.cuda.set_sync_debug_mode("default")  # The epoch is over.
        return original(mean)

    monkeypatch.setattr(Mean, "compute", compute)
    train_epoch(task, config, learner, train, EPOCHS)

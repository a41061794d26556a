"""Proves that norms over a whole batch are PyTorch's, and sums those of all workers.

Two real workers are in tests/slow/test_team.py.

pytest tests/trainables/parts/test_whole_batch.py
"""

import copy

import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn

from trainables.parts.whole_batch import batch_mean, batch_sum, summed_by, with_whole_batch_norms

NORMS = {
    "plain": nn.BatchNorm2d(3),
    "of vectors": nn.BatchNorm1d(3),
    "cumulative": nn.BatchNorm2d(3, momentum=None),
    "not scaled": nn.BatchNorm2d(3, affine=False),
    "without running statistics": nn.BatchNorm2d(3, track_running_stats=False),
    "timm's": BatchNormAct2d(3),
}


def alone(own: Tensor) -> Tensor:
    return own


def with_a_twin(own: Tensor) -> Tensor:
    """As if another worker had the same rows."""
    return 2 * own


def normed(norm: nn.Module, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Two batches normalized one after the other, and the gradient of a sum over both."""
    rows = rows.clone().requires_grad_()
    outputs = torch.cat([norm(rows), norm(3 * rows - 1)])
    outputs.pow(3).sum().backward()
    assert rows.grad is not None
    return outputs.detach(), rows.grad


@pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS)
def test_a_norm_over_the_whole_batch_is_pytorchs(norm: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    shape = (5, 3) if isinstance(norm, nn.BatchNorm1d) else (5, 3, 4, 2)
    rows = 100 + torch.randn(shape, generator=generator)
    plain, whole = copy.deepcopy(norm), with_whole_batch_norms(copy.deepcopy(norm))
    expected = normed(plain, rows)
    with summed_by(alone):
        found = normed(whole, rows)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(whole.state_dict(), plain.state_dict())
    torch.testing.assert_close(whole.eval()(rows), plain.eval()(rows))


def test_running_statistics_are_of_all_rows() -> None:
    rows = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    plain, whole = nn.BatchNorm1d(3), with_whole_batch_norms(nn.BatchNorm1d(3))
    plain(torch.cat([rows, rows]))
    with summed_by(with_a_twin):
        whole(rows)
    torch.testing.assert_close(whole.state_dict(), plain.state_dict())


def test_the_norms_of_a_model_are_changed_where_they_are() -> None:
    norm = nn.BatchNorm1d(3)
    model = nn.Sequential(nn.Linear(2, 3), nn.Sequential(norm))
    names = [*model.state_dict()]
    assert any(module is norm for module in with_whole_batch_norms(model).modules())
    assert type(norm).__name__ == "WholeBatchNorm"
    assert [*model.state_dict()] == names


def test_sums_are_added_up_within_a_batch_alone() -> None:
    with summed_by(with_a_twin):
        assert batch_sum(torch.tensor(3.0)) == 6
        assert batch_mean(torch.tensor(3.0), torch.tensor(4)) == 0.75
    assert batch_sum(torch.tensor(3.0)) == 3
    assert batch_mean(torch.tensor(0.0), torch.tensor(0)) == 0

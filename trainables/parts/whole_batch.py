"""What is computed over a whole batch, however many workers share it out: sums, and batch norm.

The loop weighs the workers' losses by their rows, so a mean over rows comes out right by itself. A
mean over pixels or tokens, a ratio of sums, or a batch's own variance must see all of it.

Shapes: B batch, C channels.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Sum = Callable[[Tensor], Tensor]
ModelT = TypeVar("ModelT", bound=nn.Module)

_SUM: ContextVar[Sum | None] = ContextVar("sum", default=None)


@contextmanager
def summed_by(add_up: Sum) -> Iterator[None]:
    """Within it `add_up` adds the workers' tensors, of one shape each: all of them come to it."""
    token = _SUM.set(add_up)
    try:
        yield
    finally:
        _SUM.reset(token)


def batch_sum(own: Tensor) -> Tensor:
    """The sum over all workers of what each has of its own rows, with its gradient.

    In training only; in an evaluation, and for one worker alone, what it is given.
    """
    add_up = _SUM.get()
    return own if add_up is None else add_up(own)


def batch_mean(total: Tensor, count: Tensor) -> Tensor:
    """The whole batch's `total` divided by its `count`, of a worker's own; 0 where none counts."""
    total, count = batch_sum(torch.stack((total.float(), count.float())))
    return total / count.clamp(min=1)


class WholeBatchNorm(_BatchNorm):
    """Batch norm by the mean and variance of the whole batch, on any device.

    `nn.SyncBatchNorm` is the same, faster and on GPUs alone.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalize [B, C, ...]."""
        if not self.training or _SUM.get() is None:
            return super().forward(input)
        others = [dim for dim in range(input.ndim) if dim != 1]
        values, own_count = input.float(), input.numel() / input.shape[1]
        totals = batch_sum(F.pad(values.sum(others), (0, 1), value=own_count))
        mean_C, count = totals[:-1] / totals[-1], totals[-1].detach()
        centered = values - _along_channels(mean_C, input)
        variance_C = batch_sum(centered.square().sum(others)) / count
        self._follow(mean_C.detach(), variance_C.detach() * count / (count - 1))
        normed = centered * _along_channels((variance_C + self.eps).rsqrt(), input)
        return self._scaled(normed).to(input.dtype)

    def _scaled(self, normed: Tensor) -> Tensor:
        if self.weight is not None:
            normed = normed * _along_channels(self.weight, normed)
        return normed if self.bias is None else normed + _along_channels(self.bias, normed)

    def _follow(self, mean_C: Tensor, variance_C: Tensor) -> None:
        """Move the running statistics towards those of a batch."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        share = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        self.running_mean += share * (mean_C - self.running_mean)
        self.running_var += share * (variance_C - self.running_var)

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of dimensions will do."""


class WholeBatchNormAct(WholeBatchNorm):
    """The same for timm's `BatchNormAct2d`, which ends with an activation."""

    drop: nn.Module
    act: nn.Module

    def forward(self, input: Tensor) -> Tensor:
        """Normalize [B, C, H, W], then dropout and activation."""
        return self.act(self.drop(super().forward(input)))


def with_whole_batch_norms(model: ModelT) -> ModelT:
    """The model itself, its batch norms now over the whole batch.

    They change their class and nothing else, as PyTorch's `fully_shard` does it: whoever holds a
    module or a parameter holds the right one, and state dicts stay as they are.
    """
    from timm.layers import BatchNormAct2d  # a second that one worker has no need of

    for module in model.modules():
        if isinstance(module, _BatchNorm):
            is_timms = isinstance(module, BatchNormAct2d)
            module.__class__ = WholeBatchNormAct if is_timms else WholeBatchNorm
    return model


def _along_channels(values_C: Tensor, input: Tensor) -> Tensor:
    return values_C.reshape(-1, *[1] * (input.ndim - 2))

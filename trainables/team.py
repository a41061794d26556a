"""The workers that train one trial together: who does which rows, and how counts become one."""

import copy
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, Self, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from trainables.parts.whole_batch import summed_by, with_whole_batch_norms

T = TypeVar("T")


class Mergeable(Protocol):
    """Counts that can be added up."""

    def merge(self, other: Self) -> None:
        """Add another one's counts to this one."""


M = TypeVar("M", bound=Mergeable)


class Team:
    """One worker, alone. Everything that workers do together is nothing here.

    Attributes:
        rank: Which worker this is; 0 leads: it reports and writes.
        size: How many there are.
    """

    rank = 0
    size = 1

    def share(self, rows: Tensor) -> Tensor:
        """This worker's part of a batch's row numbers; may be empty."""
        return rows[self.rank :: self.size]

    def distributed(self, step: nn.Module, *, all_used: bool = False) -> nn.Module:
        """The step with gradients averaged over the workers.

        Args:
            step: A module that gives a batch's loss.
            all_used: Whether each loss depends on all that learns. Else the workers look, at every
                step, for what was left out.
        """
        return step

    def local(self, step: nn.Module) -> AbstractContextManager[Any]:
        """Within it gradients are not averaged yet: another batch is to be added first."""
        return step.no_sync() if isinstance(step, DistributedDataParallel) else nullcontext()

    def on_one_batch(self) -> AbstractContextManager[Any]:
        """Within it `batch_sum` adds up over the workers, who all must be in it together."""
        return nullcontext()

    def merged(self, counts: M) -> M:
        """All workers' counts, on every worker."""
        return counts

    def from_leader(self, value: T) -> T:
        """What the leader has, on every worker."""
        return value

    def sync_buffers(self, model: nn.Module) -> None:
        """Take over the leader's buffers (running statistics, say)."""

    def with_common_norms(self, model: nn.Module) -> nn.Module:
        """The model with batch norms over all workers' rows."""
        return model


ALONE = Team()


class ProcessTeam(Team):
    """The workers of `torch.distributed`'s default process group, which must be there, over gloo.

    Counts and objects travel over that group; gradients over NCCL where the workers have GPUs.
    """

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self._tensors: Any = dist.new_group(backend="nccl") if torch.cuda.is_available() else None

    def distributed(self, step: nn.Module, *, all_used: bool = False) -> nn.Module:
        """DistributedDataParallel, if anything in the step learns."""
        if not any(parameter.requires_grad for parameter in step.parameters()):
            return step
        return DistributedDataParallel(
            step, find_unused_parameters=not all_used, process_group=self._tensors
        )

    def on_one_batch(self) -> AbstractContextManager[Any]:
        """Within it `batch_sum` adds up over the workers."""
        return summed_by(lambda own: _SumOverWorkers.apply(own, self._tensors))

    def merged(self, counts: M) -> M:
        """All workers' counts, added up in the order of their ranks: every worker has one sum."""
        gathered: list[Any] = [None] * self.size
        dist.all_gather_object(gathered, counts)
        total = copy.deepcopy(gathered[0])
        for part in gathered[1:]:
            total.merge(part)
        return total

    def from_leader(self, value: T) -> T:
        """What the leader has, on every worker."""
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def sync_buffers(self, model: nn.Module) -> None:
        """Take over the leader's buffers."""
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0, group=self._tensors)

    def with_common_norms(self, model: nn.Module) -> nn.Module:
        """The model with batch norms over all workers' rows; on GPUs those that PyTorch has."""
        from timm.layers import convert_sync_batchnorm  # PyTorch's own forgets timm's activations

        if self._tensors is None:
            return with_whole_batch_norms(model)
        return convert_sync_batchnorm(model, self._tensors)


class _SumOverWorkers(torch.autograd.Function):
    """A sum over the workers, whose gradient is the sum of what each of them makes of it."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, group: Any) -> Tensor:
        ctx.group = group
        total = own.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return _SumOverWorkers.apply(gradients[0], ctx.group), None

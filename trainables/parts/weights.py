"""Weights that a model begins with: from a file or an export, loaded whole but for a head."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from torch import Tensor, nn

from trainables.config import TaskError

EXPORTED = "model.safetensors"
SHOWN_NAMES = 3

State = Mapping[str, Tensor]


def load_weights(
    model: nn.Module, path: Path, *, head: Collection[str] = (), fresh: Collection[str] = ()
) -> None:
    """`load_state` of what `read_weights` finds at a path.

    Raises:
        TaskError: when it can't be read, or doesn't fit.
    """
    load_state(model, read_weights(path), source=str(path), head=head, fresh=fresh)


def read_weights(path: Path) -> State:
    """The state dict in a file of safetensors or PyTorch, or in an export's folder; on the CPU.

    A PyTorch file may hold it among other things, as checkpoints of a trial and of timm do. No code
    in it is run. Prefixes that torch.compile and DistributedDataParallel give names are dropped.

    Raises:
        TaskError: when it can't be read without unpickling code, or holds no state dict.
    """
    from timm.models import load_state_dict

    file = path / EXPORTED if path.is_dir() else path
    if not file.is_file():
        inside = f": a folder must hold {EXPORTED}, as an export does" if path.is_dir() else ""
        raise TaskError(f"{path}: can't be read as weights{inside or ': no such file'}")
    try:
        state = load_state_dict(str(file), device="cpu", weights_only=True)
    except AttributeError:  # timm takes it for a map
        state = {}
    except Exception as error:  # a broken file raises whatever zip, pickle or torch meet first
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise TaskError(f"{path}: can't be read as weights: {reason}") from error
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise TaskError(f"{path}: holds no state dict (a map from names to tensors)")
    return state


def load_state(
    model: nn.Module,
    state: State,
    *,
    source: str,
    head: Collection[str] = (),
    fresh: Collection[str] = (),
) -> None:
    """Load a state dict that has a model's own names; all must fit but what is said here.

    Args:
        model: Where the tensors go.
        state: The tensors by name.
        source: Where they come from, for the message.
        head: What the names of the head begin with: it is loaded if all of it fits, else stays new.
        fresh: What the names begin with that stay new in any case, whatever the state dict has.

    Raises:
        TaskError: names what is missing, unknown or of another shape.
    """
    own = {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    kept_new = _beginning(own, fresh)
    found = {name: state[name] for name in state.keys() - _beginning(state, fresh)}
    fitting = {name for name in own.keys() & found.keys() if own[name].shape == found[name].shape}
    head_names = _beginning(own, head) - kept_new
    if not head_names <= fitting:
        kept_new |= head_names
    if problems := _misfits(own, found, own.keys() - kept_new, fitting):
        raise TaskError(f"{source}: doesn't fit this model: it {'; it '.join(problems)}")
    model.load_state_dict({name: found[name] for name in fitting - kept_new}, strict=False)


def some_names(names: Iterable[object]) -> str:
    """The first few names, and how many more there are."""
    ordered = sorted(map(str, names))
    more = len(ordered) - SHOWN_NAMES
    shown = ", ".join(ordered[:SHOWN_NAMES])
    return shown + (f" and {more} more" if more > 0 else "")


def _beginning(names: Iterable[str], prefixes: Collection[str]) -> set[str]:
    return {name for name in names if name.startswith(tuple(prefixes))}


def _misfits(own: State, found: State, needed: set[str], fitting: set[str]) -> list[str]:
    missing = needed - found.keys()
    shapes = [
        f"{name} {list(found[name].shape)} for {list(own[name].shape)}"
        for name in needed - missing - fitting
    ]
    kinds: dict[str, Collection[str]] = {
        "lacks": missing,
        "has unknown": found.keys() - own.keys(),
        "has other shapes:": shapes,
    }
    return [f"{what} {some_names(names)}" for what, names in kinds.items() if names]

"""Proves that weights are loaded whole or refused: pytest tests/trainables/parts/test_weights.py.

Shapes: B batch, C classes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from trainables.config import TaskError
from trainables.parts.weights import load_weights, read_weights, some_names

State = dict[str, Tensor]


def network(classes: int = 3, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, classes))


def exported(state: State, folder: Path) -> Path:
    inside = folder / "trial-0003 'Ω'"
    inside.mkdir()
    save_file(state, inside / "model.safetensors", {"format": "pt", "task": "t"})
    return inside


def safetensors(state: State, folder: Path) -> Path:
    save_file(state, folder / "w 'Ω'.safetensors")
    return folder / "w 'Ω'.safetensors"


def written(content: Any, folder: Path) -> Path:
    torch.save(content, folder / "w 'Ω'.pt")
    return folder / "w 'Ω'.pt"


FORMS: dict[str, Callable[[State, Path], Path]] = {
    "export": exported,
    "safetensors": safetensors,
    "state dict": written,
    "trial's best": lambda state, folder: written({"epoch": 3, "model": state}, folder),
    "timm's": lambda state, folder: written({"state_dict": state, "arch": "a"}, folder),
    "compiled": lambda state, folder: written(
        {f"_orig_mod.{name}": value for name, value in state.items()}, folder
    ),
    "distributed": lambda state, folder: written(
        {f"module.{name}": value for name, value in state.items()}, folder
    ),
}


def changed(model: nn.Module, path: Path, **settings: Any) -> set[str]:
    """Which tensors a loading changed; they are those of the path."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    load_weights(model, path, **settings)
    state, after = read_weights(path), model.state_dict()
    names = {name for name in before if not torch.equal(before[name], after[name])}
    assert all(torch.equal(after[name], state[name]) for name in names)
    return names


HEAD = {"2.weight", "2.bias"}
VARYING = {"0.weight", "0.bias", *HEAD}  # a new norm is like any other


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_each_form_is_loaded_whole(form: Callable[[State, Path], Path], tmp_path: Path) -> None:
    theirs, ours = network(seed=7), network()
    theirs[1](torch.randn(8, 5))  # the norm's buffers are loaded too
    path = form(theirs.state_dict(), tmp_path)
    assert changed(ours, path) == {
        *VARYING,
        "1.running_mean",
        "1.running_var",
        "1.num_batches_tracked",
    }
    inputs_B4 = torch.randn(6, 4)
    assert torch.equal(ours.eval()(inputs_B4), theirs.eval()(inputs_B4))


def test_a_head_that_fits_is_loaded_and_one_of_other_classes_stays_new(tmp_path: Path) -> None:
    path = written(network(seed=7).state_dict(), tmp_path)
    assert changed(network(), path, head=["2."]) == VARYING
    assert changed(network(classes=9), path, head=["2."]) == VARYING - HEAD


def test_a_head_of_which_a_part_does_not_fit_stays_new_as_a_whole(tmp_path: Path) -> None:
    state = network(seed=7).state_dict() | {"2.bias": torch.zeros(7)}
    assert changed(network(), written(state, tmp_path), head=["2."]) == VARYING - HEAD
    del state["2.bias"]
    assert changed(network(), written(state, tmp_path), head=["2."]) == VARYING - HEAD


def test_what_shall_be_fresh_is_left_out_though_it_fits_or_not_there(tmp_path: Path) -> None:
    state = network(seed=7).state_dict()
    assert changed(network(), written(state, tmp_path), fresh=["2."]) == VARYING - HEAD
    assert changed(network(), written(state, tmp_path), fresh=["2."], head=["2."]) == VARYING - HEAD
    below = {name: value for name, value in state.items() if name not in HEAD}
    below |= {"2.other": torch.zeros(1)}
    assert changed(network(), written(below, tmp_path), fresh=["2."]) == VARYING - HEAD


MISFITS: dict[str, Callable[[State], Any]] = {
    "it lacks 0.bias": lambda state: {n: v for n, v in state.items() if n != "0.bias"},
    "it has unknown 3.weight, 4.weight": lambda state: (
        state | {"3.weight": torch.zeros(1), "4.weight": torch.zeros(1)}
    ),
    "it has other shapes: 0.bias [2] for [5]": lambda state: state | {"0.bias": torch.zeros(2)},
    "it lacks 0.bias, 0.weight, 1.bias and 4 more; it has unknown x": lambda state: {
        "x": torch.zeros(1),
        **{name: state[name] for name in HEAD},
    },
    "holds no state dict (a map from names to tensors)": lambda _: {"0.bias": 3},
    "holds no state dict (a": lambda _: {},
    "holds no state dict": lambda _: [1, 2],
}


@pytest.mark.parametrize("problem", MISFITS)
def test_what_does_not_fit_is_told_and_nothing_is_loaded(problem: str, tmp_path: Path) -> None:
    path = written(MISFITS[problem](network(seed=7).state_dict()), tmp_path)
    model, before = network(), network().state_dict()
    with pytest.raises(TaskError) as caught:
        load_weights(model, path)
    assert str(caught.value).startswith(f"{path}: ") and problem in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_missing_file_and_an_empty_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"none\.pt: can't be read as weights: no such file"):
        read_weights(tmp_path / "none.pt")
    with pytest.raises(TaskError, match=r"weights: a folder must hold model\.safetensors"):
        read_weights(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04 cut"])
@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_a_broken_file_is_told(content: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TaskError, match=rf"{name}: can't be read as weights: ."):
        read_weights(tmp_path / name)


class Attack:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_no_code_in_a_file_is_run(tmp_path: Path) -> None:
    path = written({"0.bias": Attack(tmp_path / "touched")}, tmp_path)
    with pytest.raises(TaskError, match="can't be read as weights"):
        read_weights(path)
    assert not (tmp_path / "touched").exists()


def test_names_are_cut_short() -> None:
    assert some_names("cab") == "a, b, c"
    assert some_names("edcba") == "a, b, c and 2 more"

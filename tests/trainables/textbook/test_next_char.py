"""Proves that characters are predicted from those before them, and judged in bits.

pytest tests/trainables/textbook
"""

import math
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from trainables.config import TaskError, build_config
from trainables.parts.bodies import BodyConfig
from trainables.parts.text import character_windows, embedded_text
from trainables.textbook.next_char import NextChar, NextCharConfig
from trainables.training import evaluate, train

CELLS = get_args(BodyConfig.__dataclass_fields__["cell"].type)


def config_of(**values: Any) -> NextCharConfig:
    small = {
        "data.characters": 4000,
        "data.window": 20,
        "model.width": 16,
        "model.layers": 1,
        "optim.lr": 1e-2,
        "optim.scheduler": "constant",
    }
    return build_config(
        NextCharConfig, small | {name.replace("__", "."): value for name, value in values.items()}
    )


def test_windows_predict_each_character_of_a_stretch_once() -> None:
    splits = character_windows(None, 4000, window=20, seed=3)
    ring = embedded_text()[:4000] * 2
    stretches = {}
    for name, split in (
        ("train", splits.train),
        ("validation", splits.validation),
        ("test", splits.test()),
    ):
        tokens_NT = split.tensors["tokens"]
        assert torch.equal(tokens_NT[1:, 0], tokens_NT[:-1, -1])
        ids_T = torch.cat([tokens_NT[0, :1], tokens_NT[:, 1:].flatten()])
        names = splits.vocabulary.tokens
        stretches[name] = "".join("." if i < 4 else names[i] for i in ids_T.tolist())
    assert stretches["train"] in ring
    start = ring.index(stretches["train"])
    assert stretches["validation"][:50] == ring[start + 3200 :][:50]
    assert stretches["test"][:50] == ring[start + 3600 :][:50]
    assert [len(text) // 20 for text in stretches.values()] == [159, 19, 19]
    assert set(splits.vocabulary.tokens[4:]) == set(ring[start : start + 3200])


def test_the_text_may_be_the_users(tmp_path: Path) -> None:
    path = tmp_path / "größe.txt"
    path.write_text("äbc" * 200, encoding="utf-8")
    splits = NextChar().data(config_of(data__path=str(path)), 0)
    assert set(splits.vocabulary.tokens[4:]) == {"ä", "b", "c"}
    with pytest.raises(TaskError, match="more than ten windows of 60 characters, got 600"):
        NextChar().data(config_of(data__path=str(path), data__window=60), 0)


@pytest.mark.parametrize("cell", CELLS)
def test_a_prediction_sees_no_later_character(cell: str) -> None:
    task, config = NextChar(), config_of(model__cell=cell)
    splits = task.data(config, 0)
    model = task.model(config, splits).eval()
    tokens_BT = splits.validation.tensors["tokens"][:4, :-1].clone()
    before_BTV = model(tokens_BT)
    tokens_BT[:, 12:] = 5
    after_BTV = model(tokens_BT)
    torch.testing.assert_close(after_BTV[:, :12], before_BTV[:, :12])
    assert not torch.allclose(after_BTV[:, 12:], before_BTV[:, 12:])


def test_the_objective_is_the_mean_information_of_a_character() -> None:
    task, config = NextChar(), config_of()
    splits = task.data(config, 0)
    model = task.model(config, splits)
    metrics, _ = evaluate(task, config, model, splits, splits.validation)
    bits, right, tokens_NT = [], [], splits.validation.tensors["tokens"]
    for row_T in tokens_NT:
        shares_TV = model(row_T[None, :-1])[0].softmax(-1).detach()
        bits += [-math.log2(float(p_V[i])) for p_V, i in zip(shares_TV, row_T[1:], strict=True)]
        right += (shares_TV.argmax(-1) == row_T[1:]).tolist()
    assert metrics["bits"] == pytest.approx(sum(bits) / len(bits), rel=1e-5)
    assert metrics["accuracy"] == pytest.approx(sum(right) / len(right))


@pytest.mark.parametrize("cell", CELLS)
def test_every_network_learns_more_than_how_frequent_characters_are(cell: str) -> None:
    config = config_of(
        model__cell=cell, model__width=32, data__characters=20_000, optim__clip_norm=1.0
    )
    splits = NextChar().data(config, 0)
    counts_V = splits.train.tensors["tokens"].flatten().bincount().double() + 1e-9
    shares_V = counts_V / counts_V.sum()
    entropy = float(-(shares_V * shares_V.log2()).sum())
    *_, last = train(NextChar(), config, seed=0, max_epochs=5)
    assert last.metrics["bits"] < entropy - 0.5


def test_a_width_that_heads_dont_divide_is_refused_to_a_transformer_alone() -> None:
    assert config_of(model__cell="gru", model__width=30).model.width == 30
    with pytest.raises(TaskError, match="heads must divide width, got heads=4, width=30"):
        config_of(model__cell="transformer", model__width=30)

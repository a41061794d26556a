"""Proves that the GPT-2 classifier computes what its paper-and-pencil versions do.

pytest tests/trainables/gpt2_classifier/test_task.py

Shapes: B batch, T tokens, D width, H heads, C classes, V vocabulary.
"""

import math
from collections import Counter
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.trainables.conformance import curve, parameters, shorter
from tests.trainables.shares import loss_of_shares
from trainables.config import TaskError, build_config
from trainables.gpt2_classifier.sequences import SequenceSplits
from trainables.gpt2_classifier.task import (
    GPT2Classifier,
    GPT2ClassifierConfig,
    GPT2SequenceClassifier,
    Outputs,
    cls_self_attention,
    next_token_loss,
)
from trainables.gpt2_classifier.vocabulary import Vocabulary
from trainables.parts.data import Batch
from trainables.parts.optim import make_optimizer, parameter_groups
from trainables.training import train

VOCABULARY = 20
LABEL_IDS = (17, 18, 19)
POSITIONS = 12
STRATEGIES = ("explicit", "last_non_pad", "global_pool_mean", "attn_pool")
LENGTHS = [12, 7, 1, 9]
CLS = [6, 0, 0, 8]


def config_of(**values: Any) -> GPT2ClassifierConfig:
    """A tiny config; `__` stands for the dot."""
    tiny = {"model.layers": 2, "model.width": 16, "model.heads": 4}
    return build_config(
        GPT2ClassifierConfig, tiny | {name.replace("__", "."): v for name, v in values.items()}
    )


def model_of(config: GPT2ClassifierConfig, *, seed: int = 0) -> GPT2SequenceClassifier:
    """In evaluation mode, with weights large enough that attention is far from uniform."""
    torch.manual_seed(seed)
    model = GPT2SequenceClassifier(
        config.model, vocabulary=VOCABULARY, positions=POSITIONS, label_ids=LABEL_IDS
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def batch_of(lengths: list[int] = LENGTHS, cls: list[int] = CLS) -> Batch:
    """Random tokens; PAD (0) after each row's length."""
    torch.manual_seed(1)
    tokens_BT = torch.randint(1, VOCABULARY, (len(lengths), max(lengths)))
    for row, length in enumerate(lengths):
        tokens_BT[row, length:] = 0
    return {
        "tokens": tokens_BT,
        "labels": torch.arange(len(lengths)) % len(LABEL_IDS),
        "cls": torch.tensor(cls),
        "last": torch.tensor(lengths) - 1,
        "length": torch.tensor(lengths),
    }


def row_alone(batch: Batch, row: int) -> Batch:
    """One row as a batch of its own, without its padding."""
    one = {name: tensor[row : row + 1] for name, tensor in batch.items()}
    return one | {"tokens": one["tokens"][:, : int(one["length"])]}


def reference_states(model: GPT2SequenceClassifier, batch: Batch) -> tuple[Tensor, ...]:
    """transformers' own hidden states, by eager attention with an attention mask over PAD."""
    model.gpt2.set_attn_implementation("eager")
    mask_BT = (torch.arange(batch["tokens"].shape[1]) < batch["length"][:, None]).long()
    states = model.gpt2(
        input_ids=batch["tokens"], attention_mask=mask_BT, output_hidden_states=True
    ).hidden_states
    model.gpt2.set_attn_implementation("sdpa")
    return cast(tuple[Tensor, ...], states)


# Attention ----------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("cls", [[0, 1, 5, 11], [11, 11, 0, 3], [2, 2, 2, 2]])
@pytest.mark.parametrize("layers", [1, 2])
def test_cls_self_attention_equals_eager_attention(cls: list[int], layers: int) -> None:
    model, batch = model_of(config_of(model__layers=layers)), batch_of([12] * 4, cls)
    outputs: Outputs = model(batch)
    attention_B = cls_self_attention(
        cast(Any, model.gpt2).h[-1], outputs.before_last_BTD, batch["cls"]
    )
    model.gpt2.set_attn_implementation("eager")
    attention_BHTT = model.gpt2(input_ids=batch["tokens"], output_attentions=True).attentions[-1]
    expected_B = torch.stack([attention_BHTT[b, :, c, c].mean() for b, c in enumerate(cls)])
    torch.testing.assert_close(attention_B, expected_B)
    assert expected_B.std() > 0.01 or cls == [2, 2, 2, 2]


@torch.no_grad()
def test_cls_alone_attends_to_itself_alone() -> None:
    model, batch = model_of(config_of()), batch_of([12] * 4, [0] * 4)
    attention_B = cls_self_attention(
        cast(Any, model.gpt2).h[-1], model(batch).before_last_BTD, batch["cls"]
    )
    torch.testing.assert_close(attention_B, torch.ones(4))


def test_attention_stays_fused(monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(model__attention_dropout=0.0)
    model, batch = model_of(config).train(), batch_of()
    calls: list[bool] = []
    fused = F.scaled_dot_product_attention

    def spy(*args: Any, **kwargs: Any) -> Tensor:
        calls.append(kwargs.get("attn_mask") is None)
        return fused(*args, **kwargs)

    monkeypatch.setattr(F, "scaled_dot_product_attention", spy)
    asked: dict[str, Any] = {}
    model.gpt2.register_forward_pre_hook(
        lambda _, args, kwargs: asked.update(kwargs), with_kwargs=True
    )
    GPT2Classifier().loss(config, model, batch)
    assert calls == [True, True], (
        "each of the two layers calls the fused kernel once, without a mask tensor"
    )
    assert not asked.get("output_attentions")
    assert asked["use_cache"] is False


# Pooling ------------------------------------------------------------------------------------------


def pooled_row(
    strategy: str, states_TD: Tensor, batch: Batch, row: int, query_D: Tensor | None
) -> Tensor:
    """The row's vector, token by token."""
    real = [states_TD[t] for t in range(int(batch["length"][row]))]
    if strategy == "explicit":
        return states_TD[int(batch["cls"][row])]
    if strategy == "last_non_pad":
        return states_TD[int(batch["last"][row])]
    if strategy == "global_pool_mean":
        return torch.stack(real).sum(0) / len(real)
    assert query_D is not None
    weights = [math.exp(float(state @ query_D) / math.sqrt(len(query_D))) for state in real]
    return torch.stack(
        [w / sum(weights) * state for w, state in zip(weights, real, strict=True)]
    ).sum(0)


@torch.no_grad()
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("pooled_layers", [1, 2])
def test_pooling_equals_a_loop_over_rows(strategy: str, pooled_layers: int) -> None:
    model = model_of(config_of(model__cls_strategy=strategy, model__pooled_layers=pooled_layers))
    batch = batch_of()
    states = reference_states(model, batch)
    mixed_BTD = sum(states[-pooled_layers:], torch.zeros(())) / pooled_layers
    expected_BD = torch.stack(
        [pooled_row(strategy, mixed_BTD[b], batch, b, model.query_D) for b in range(4)]
    )
    assert model.head is not None
    torch.testing.assert_close(
        model(batch).scores_BC, model.head(expected_BD), rtol=1e-4, atol=1e-5
    )


@torch.no_grad()
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_padding_changes_neither_logits_nor_states(strategy: str) -> None:
    model, batch = model_of(config_of(model__cls_strategy=strategy)), batch_of()
    together = model(batch)
    elsewhere = model(batch | {"tokens": torch.where(batch["tokens"] == 0, 3, batch["tokens"])})
    torch.testing.assert_close(
        elsewhere.scores_BC, together.scores_BC, msg="what stands at PAD must not matter"
    )
    for row, length in enumerate(LENGTHS):
        alone = model(row_alone(batch, row))
        torch.testing.assert_close(
            alone.scores_BC[0], together.scores_BC[row], rtol=1e-4, atol=1e-5
        )
        torch.testing.assert_close(
            alone.last_BTD[0], together.last_BTD[row, :length], rtol=1e-4, atol=1e-5
        )


@torch.no_grad()
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_padding_changes_no_loss(strategy: str) -> None:
    config, task = (
        config_of(model__cls_strategy=strategy, loss__lm_weight=1.0, loss__attention_weight=1.0),
        GPT2Classifier(),
    )
    model, batch = model_of(config), row_alone(batch_of(), 1)
    padding = torch.zeros(1, POSITIONS - LENGTHS[1], dtype=torch.long)
    padded = batch | {"tokens": torch.cat([batch["tokens"], padding], 1)}
    torch.testing.assert_close(
        task.loss(config, model, padded)[0], task.loss(config, model, batch)[0]
    )


# Losses -------------------------------------------------------------------------------------------


@torch.no_grad()
def test_next_token_loss_equals_a_loop() -> None:
    model, batch = model_of(config_of()), batch_of()
    last_BTD = model(batch).last_BTD
    losses = []
    for row, length in enumerate(LENGTHS):
        for t in range(length - 1):
            logits_V = cast(Any, model.gpt2).wte.weight @ last_BTD[row, t]
            losses.append(logits_V.logsumexp(0) - logits_V[batch["tokens"][row, t + 1]])
    torch.testing.assert_close(next_token_loss(model, last_BTD, batch), torch.stack(losses).mean())


@torch.no_grad()
def test_workers_have_the_next_token_loss_of_all_their_tokens() -> None:
    model, batch = model_of(config_of()), batch_of()
    last_BTD = model(batch).last_BTD
    shares = [
        (model, last_BTD[rank::2], {name: tensor[rank::2] for name, tensor in batch.items()})
        for rank in range(2)
    ]
    whole = float(next_token_loss(model, last_BTD, batch))
    assert loss_of_shares(next_token_loss, *shares) == pytest.approx([whole, whole])
    apart = [float(next_token_loss(*share)) for share in shares]
    assert abs(sum(apart) / 2 - whole) > 0.01, "the mean of their means is another"


@torch.no_grad()
def test_the_loss_is_the_weighted_sum_of_its_three_parts() -> None:
    task, batch = GPT2Classifier(), batch_of()
    config = config_of(loss__cls_weight=1.2, loss__lm_weight=0.03, loss__attention_weight=0.01)
    model = model_of(config)
    outputs = model(batch)
    attention_B = cls_self_attention(
        cast(Any, model.gpt2).h[-1], outputs.before_last_BTD, batch["cls"]
    )
    expected = (
        1.2 * F.cross_entropy(outputs.scores_BC, batch["labels"])
        + 0.03 * next_token_loss(model, outputs.last_BTD, batch)
        + 0.01 * (1 - attention_B).mean()
    )
    loss, logits_BC = task.loss(config, model, batch)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(logits_BC, outputs.scores_BC)


@torch.no_grad()
def test_weights_of_zero_drop_their_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(loss__cls_weight=2.0, loss__lm_weight=0.0, loss__attention_weight=0.0)
    model, batch = model_of(config), batch_of()
    monkeypatch.setattr(
        "trainables.gpt2_classifier.task.next_token_loss", None
    )  # would raise if called
    monkeypatch.setattr("trainables.gpt2_classifier.task.cls_self_attention", None)
    loss, logits_BC = GPT2Classifier().loss(config, model, batch)
    torch.testing.assert_close(loss, 2 * F.cross_entropy(logits_BC, batch["labels"]))


@torch.no_grad()
def test_head_lm_classifies_by_the_label_tokens() -> None:
    values = {"model__head": "lm", "model__cls_strategy": "explicit"}
    config = config_of(
        **values, loss__cls_weight=1.0, loss__lm_weight=0.0, loss__attention_weight=0.0
    )
    model, batch = model_of(config), batch_of()
    loss, logits_BC = GPT2Classifier().loss(config, model, batch)
    last_BTD = reference_states(model, batch)[-1]
    for row in range(4):
        logits_V = cast(Any, model.gpt2).wte.weight @ last_BTD[row, CLS[row]]
        torch.testing.assert_close(logits_BC[row], logits_V[list(LABEL_IDS)], rtol=1e-4, atol=1e-5)
    logits_BV = torch.einsum("bd,vd->bv", last_BTD[range(4), CLS], cast(Any, model.gpt2).wte.weight)
    targets_B = torch.tensor(LABEL_IDS)[batch["labels"]]
    torch.testing.assert_close(loss, F.cross_entropy(logits_BV, targets_B), rtol=1e-4, atol=1e-5)
    assert model.head_parameters() == []


def test_head_lm_refuses_what_it_cannot_do() -> None:
    for values in (
        {"model__cls_strategy": "attn_pool"},
        {"model__cls_strategy": "explicit", "model__pooled_layers": 2},
        {"model__cls_strategy": "explicit", "optim__freeze_epochs": 1},
    ):
        with pytest.raises(TaskError, match="head lm"):
            config_of(model__head="lm", **values)


@torch.no_grad()
def test_head_mlp_is_linear_gelu_linear() -> None:
    model, batch = model_of(config_of(model__head="mlp", model__head_width=24)), batch_of()
    assert model.head is not None
    w1, b1, w2, b2 = model.head.parameters()
    assert w1.shape == (24, 16)
    assert w2.shape == (3, 24)
    vector_BD = model.pool(model(batch).last_BTD, batch)
    hidden_BW = vector_BD @ w1.T + b1
    hidden_BW = hidden_BW * 0.5 * (1 + torch.erf(hidden_BW / math.sqrt(2)))
    torch.testing.assert_close(model(batch).scores_BC, hidden_BW @ w2.T + b2)


def test_mistaken_sizes_are_told_as_rules() -> None:
    for values, rule in (
        ({"model__heads": 0}, "heads must be at least 1, got heads=0"),
        ({"model__width": 0}, "width must be at least 1, got width=0"),
        ({"model__heads": 3}, "heads must divide width, got width=16, heads=3"),
        ({"model__pooled_layers": 3}, "pooled_layers must be from 1 to layers"),
        ({"model__dropout": 1.0}, r"dropout must be in \[0, 1\), got dropout=1.0"),
        (
            {"loss__attention_weight": -1.0},
            "attention_weight must not be negative, got attention_weight=-1.0",
        ),
        (
            {"loss__label_smoothing": 1.0},
            r"label_smoothing must be in \[0, 1\), got label_smoothing=1.0",
        ),
        ({"data__path": "a.jsonl"}, "path and vocab go together"),
    ):
        with pytest.raises(TaskError, match=rule):
            config_of(**values)


# Optimization -------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", ["linear", "mlp"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_head_is_the_classifier_and_the_query(head: str, strategy: str) -> None:
    model = model_of(config_of(model__head=head, model__cls_strategy=strategy))
    head_ids = {id(parameter) for parameter in GPT2Classifier().head(model)}
    own = {name for name, parameter in model.named_parameters() if id(parameter) in head_ids}
    assert own == {name for name, _ in model.named_parameters() if not name.startswith("gpt2.")}
    assert ("query_D" in own) == (strategy == "attn_pool")


@pytest.mark.parametrize("decay_norms", [False, True])
def test_every_parameter_is_in_one_group_with_its_rate_and_decay(decay_norms: bool) -> None:
    config = config_of(
        model__cls_strategy="attn_pool",
        optim__lr=0.01,
        optim__head_lr_mult=5.0,
        optim__weight_decay=0.3,
        optim__decay_norms=decay_norms,
    )
    model = model_of(config)
    optimizer = make_optimizer(
        config.optim, parameter_groups(model, config.optim, head=model.head_parameters())
    )
    groups = [(id(p), group) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(i for i, _ in groups) == sorted(id(p) for p in model.parameters())
    group_of = dict(groups)
    for name, parameter in model.named_parameters():
        group = group_of[id(parameter)]
        vector = name.endswith(".bias") or ".ln_" in name or name == "query_D"
        assert group["lr"] == group["peak_lr"] == (0.01 if name.startswith("gpt2.") else 0.05), name
        assert group["weight_decay"] == (0.3 if decay_norms or not vector else 0.0), name


def test_without_a_head_there_are_no_empty_groups() -> None:
    config = config_of(model__head="lm", model__cls_strategy="explicit")
    groups = parameter_groups(model_of(config), config.optim)
    assert len(groups) == 2
    assert all(group["params"] for group in groups)


def digits(config: GPT2ClassifierConfig) -> SequenceSplits:
    return shorter(GPT2Classifier().data(config, 0), 64)


def test_the_backbone_rests_in_frozen_epochs_and_learns_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = config_of(
        data__batch_size=32,
        model__layers=1,
        model__cls_strategy="attn_pool",
        optim__lr=1e-2,
        optim__scheduler="constant",
        optim__freeze_epochs=2,
    )
    splits = digits(config)
    monkeypatch.setattr(GPT2Classifier, "data", lambda *_: splits)
    task = GPT2Classifier()
    models: list[GPT2SequenceClassifier] = []
    build = task.model

    def remember(*args: Any) -> GPT2SequenceClassifier:
        models.append(build(*args))
        return models[-1]

    monkeypatch.setattr(task, "model", remember)
    training = train(task, config, seed=0, max_epochs=3)
    states = [parameters(models[0]) for _ in training]
    for name, value in states[0].items():
        assert torch.equal(states[1][name], value) == name.startswith("gpt2."), name
        assert not torch.equal(states[2][name], states[1][name]), name


# Size ---------------------------------------------------------------------------------------------


def test_full_size_gpt2_has_the_parameters_of_the_formula() -> None:
    width, layers, positions, vocabulary, classes = 768, 12, 1024, 516, 10
    block = 12 * width**2 + 13 * width  # attention 4 D^2 + 4 D, MLP 8 D^2 + 5 D, two norms 4 D
    expected = (vocabulary + positions) * width + layers * block + 2 * width + classes * (width + 1)
    ids = {f"<CLS_{i}>": 506 + i for i in range(classes)}
    splits = digits(config_of())
    assert isinstance(splits, SequenceSplits)
    splits = replace(
        splits, vocabulary=Vocabulary(ids=ids, label_ids=tuple(ids.values())), max_tokens=positions
    )
    with torch.device("meta"):
        model = GPT2Classifier().model(GPT2ClassifierConfig(), splits)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected
    assert 85e6 < expected < 87e6


def test_the_fused_gelu_is_transformers_own() -> None:
    from transformers.activations import ACT2FN, NewGELUActivation

    x = torch.linspace(-10, 10, 10_001)
    torch.testing.assert_close(
        ACT2FN["gelu_pytorch_tanh"](x), NewGELUActivation()(x), rtol=1e-5, atol=1e-6
    )
    assert type(cast(Any, model_of(config_of()).gpt2).h[0].mlp.act) is type(
        ACT2FN["gelu_pytorch_tanh"]
    )


def test_a_weighted_sampler_trains_too(monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(data__weighted_sampler=True, data__batch_size=32, model__layers=1)
    splits = digits(config)
    assert splits.train.weights_N is not None
    assert splits.validation.weights_N is None
    monkeypatch.setattr(GPT2Classifier, "data", lambda *_: splits)
    (report,) = curve(GPT2Classifier(), config, epochs=1)
    assert math.isfinite(report.metrics["train_loss"])


def test_the_picture_counts_every_validation_sequence() -> None:
    config = config_of()
    splits, model = digits(config), GPT2Classifier().model(config, digits(config)).eval()
    [(name, figure)] = GPT2Classifier().pictures(config, model, splits, [0]).items()
    assert name == "confusion"
    batch = splits.validation.take(torch.arange(len(splits.validation)))
    _, logits_BC = GPT2Classifier().loss(config, model, batch)
    pairs = zip(batch["labels"].tolist(), logits_BC.argmax(-1).tolist(), strict=True)
    counts = dict(Counter(pairs))
    shown = {text.get_position()[::-1]: int(text.get_text()) for text in figure.axes[0].texts}
    assert {pair: count for pair, count in shown.items() if count} == counts

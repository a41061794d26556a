"""Proves that networks see what they may: pytest tests/trainables/parts/test_networks.py.

Shapes: B batch, T tokens, S source tokens, D width, V vocabulary.
"""

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainables.parts.networks import (
    LanguageModel,
    Recurrent,
    last_state,
    mean_state,
    mlp,
    one_hot_embedding,
)
from trainables.parts.transformer import (
    EncoderDecoderTransformer,
    Transformer,
    sinusoidal_positions,
)

V, D, T = 11, 16, 9
CELLS = ("rnn", "gru", "lstm")
POSITIONS = ("sinusoidal", "learned", "none")
LENGTHS_B = torch.tensor([9, 1, 5, 8])


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def embedding() -> nn.Embedding:
    return nn.Embedding(V, D)


def recurrent(**more: Any) -> Recurrent:
    return Recurrent(embedding(), hidden=12, layers=2, dropout=0.3, **more).eval()


def transformer(**more: Any) -> Transformer:
    settings: dict[str, Any] = {
        "layers": 2,
        "heads": 4,
        "feedforward": 32,
        "max_tokens": 20,
        "dropout": 0.1,
    }
    return Transformer(embedding(), **{**settings, **more}).eval()


def encoder_decoder(**more: Any) -> EncoderDecoderTransformer:
    settings: dict[str, Any] = {
        "layers": 2,
        "heads": 4,
        "feedforward": 32,
        "max_tokens": 20,
        "dropout": 0.1,
    }
    return EncoderDecoderTransformer(embedding(), **{**settings, **more}).eval()


def tokens(length: int = T) -> Tensor:
    return torch.randint(V, (len(LENGTHS_B), length))


BODIES: dict[str, Callable[[], Any]] = {
    **{cell: partial(recurrent, cell=cell) for cell in CELLS},
    **{
        f"causal, {positions}, norm {'first' if first else 'last'}": partial(
            transformer, causal=True, positions=positions, norm_first=first
        )
        for positions, first in itertools.product(POSITIONS, (True, False))
    },
}
READERS: dict[str, Callable[[], Any]] = {
    **BODIES,
    "bidirectional": partial(recurrent, bidirectional=True),
    "transformer": transformer,
    "norm last": partial(transformer, norm_first=False),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("training", [False, True])
def test_a_language_models_logits_depend_on_no_later_token(body: Any, training: bool) -> None:
    model, tokens_BT = LanguageModel(body(), V).train(training), tokens()
    for module in model.modules():  # dropout aside; in evaluation PyTorch takes another path
        if isinstance(module, (nn.Dropout, nn.MultiheadAttention, nn.RNNBase)):
            module.eval() if isinstance(module, nn.Dropout) else setattr(module, "dropout", 0.0)
    logits_BTV = model(tokens_BT)
    assert logits_BTV.shape == (len(tokens_BT), T, V)
    for i in range(1, T):
        changed_BT = tokens_BT.clone()
        changed_BT[:, i:] = (changed_BT[:, i:] + 1) % V
        other_BTV = model(changed_BT)
        torch.testing.assert_close(other_BTV[:, :i], logits_BTV[:, :i])
        assert not torch.allclose(other_BTV[:, i], logits_BTV[:, i]), "but on its own token"


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_and_on_all_earlier_ones(body: Any) -> None:
    model, tokens_BT = LanguageModel(body(), V), tokens()
    logits_BTV = model(tokens_BT)
    for i in range(T):
        changed_BT = tokens_BT.clone()
        changed_BT[:, i] = (changed_BT[:, i] + 1) % V
        assert not torch.equal(model(changed_BT)[:, -1], logits_BTV[:, -1])


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_padding_changes_no_state(reader: Any) -> None:
    body, tokens_BT = reader(), tokens()
    states_BTD = body(tokens_BT, LENGTHS_B)
    assert states_BTD.shape == (len(tokens_BT), T, body.width)
    for row_T, length, states_TD in zip(tokens_BT, LENGTHS_B.tolist(), states_BTD, strict=True):
        torch.testing.assert_close(body(row_T[None, :length])[0], states_TD[:length])
        summary = mean_state(states_TD[None], torch.tensor([length]))[0]
        torch.testing.assert_close(summary, states_TD[:length].mean(0))
        torch.testing.assert_close(
            last_state(states_TD[None], torch.tensor([length]))[0], states_TD[length - 1]
        )


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_final_states_are_those_of_pytorchs_own(cell: Any, bidirectional: bool) -> None:
    body, tokens_BT = recurrent(cell=cell, bidirectional=bidirectional), tokens()
    packed = nn.utils.rnn.pack_padded_sequence(
        body.embedding(tokens_BT), LENGTHS_B, batch_first=True, enforce_sorted=False
    )
    hidden = body.rnn(packed)[1]
    hidden = hidden[0] if cell == "lstm" else hidden
    expected_BD = torch.cat([hidden[-2], hidden[-1]], -1) if bidirectional else hidden[-1]
    torch.testing.assert_close(body.final(body(tokens_BT, LENGTHS_B), LENGTHS_B), expected_BD)


def test_a_transformer_that_is_not_causal_sees_later_tokens_too() -> None:
    body, tokens_BT = transformer(), tokens()
    changed_BT = tokens_BT.clone()
    changed_BT[:, -1] = (changed_BT[:, -1] + 1) % V
    assert not torch.allclose(body(changed_BT)[:, 0], body(tokens_BT)[:, 0])


def test_positions_tell_where_a_token_stands() -> None:
    same_BT = torch.full((1, T), 3)
    for positions in ("sinusoidal", "learned"):
        states_TD = transformer(positions=positions)(same_BT)[0]
        assert not torch.allclose(states_TD[0], states_TD[1])
        states_TD = transformer(positions=positions, position_scale=0.0)(same_BT)[0]
        torch.testing.assert_close(states_TD[0], states_TD[1])
    states_TD = transformer(positions="none")(same_BT)[0]
    torch.testing.assert_close(states_TD[0], states_TD[1])


@pytest.mark.parametrize("width", [16, 7])
def test_sinusoidal_positions_equal_the_papers_formula(width: int) -> None:
    expected = [
        [
            (math.cos if i % 2 else math.sin)(position / 10_000 ** (2 * (i // 2) / width))
            for i in range(width)
        ]
        for position in range(50)
    ]
    torch.testing.assert_close(sinusoidal_positions(50, width), torch.tensor(expected))


def test_too_long_a_sequence_is_refused() -> None:
    with pytest.raises(ValueError, match="more than max_tokens=20 tokens, got 21"):
        transformer()(tokens(21))


def test_layers_do_not_begin_as_copies() -> None:
    first, second = transformer().layers.layers
    assert not torch.equal(first.linear1.weight, second.linear1.weight)


@pytest.mark.parametrize("norm_first", [True, False])
def test_an_encoder_decoders_logits_depend_on_no_later_token_and_no_padding(
    norm_first: bool,
) -> None:
    model, source_BS, target_BT = encoder_decoder(norm_first=norm_first), tokens(), tokens(6)
    logits_BTV = model(source_BS, LENGTHS_B, target_BT)
    assert logits_BTV.shape == (len(source_BS), 6, V)
    for i in range(1, 6):
        changed_BT = target_BT.clone()
        changed_BT[:, i:] = (changed_BT[:, i:] + 1) % V
        other_BTV = model(source_BS, LENGTHS_B, changed_BT)
        torch.testing.assert_close(other_BTV[:, :i], logits_BTV[:, :i])
        assert not torch.allclose(other_BTV[:, i], logits_BTV[:, i])
    for row, length in enumerate(LENGTHS_B.tolist()):
        alone = model(source_BS[row, None, :length], LENGTHS_B[row, None], target_BT[row, None])
        torch.testing.assert_close(alone[0], logits_BTV[row])
        changed_BS = source_BS.clone()
        changed_BS[row, length - 1] = (changed_BS[row, length - 1] + 1) % V
        assert not torch.allclose(model(changed_BS, LENGTHS_B, target_BT)[row], logits_BTV[row])


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")  # nn.Transformer's, of itself
def test_an_encoder_decoder_computes_what_nn_transformer_does() -> None:
    ours, source_BS, target_BT = encoder_decoder(norm_first=True), tokens(), tokens(6)
    theirs = nn.Transformer(D, 4, 2, 2, 32, 0.1, batch_first=True, norm_first=True).eval()
    theirs.encoder.load_state_dict(ours.encoder.layers.state_dict())
    theirs.decoder.load_state_dict(ours.decoder.state_dict())
    padding_BS = torch.arange(T) >= LENGTHS_B[:, None]
    states_BTD = theirs(
        ours.encoder.embed(source_BS),
        ours.encoder.embed(target_BT),
        tgt_mask=theirs.generate_square_subsequent_mask(6) != 0,
        src_key_padding_mask=padding_BS,
        memory_key_padding_mask=padding_BS,
    )
    torch.testing.assert_close(ours(source_BS, LENGTHS_B, target_BT), ours.head(states_BTD))


def test_an_mlp_is_the_layers_it_says() -> None:
    shapes = [tuple(p.shape) for p in mlp(5, (7, 3), 2).parameters()]
    assert shapes == [(7, 5), (7,), (3, 7), (3,), (2, 3), (2,)]
    assert [tuple(p.shape) for p in mlp(5, (), 2).parameters()] == [(2, 5), (2,)]
    network, inputs_BD = mlp(5, (7,), 2, activation=nn.Tanh, dropout=0.5).eval(), torch.randn(4, 5)
    first: Any = network[0]
    last: Any = network[-1]
    expected = (inputs_BD @ first.weight.T + first.bias).tanh() @ last.weight.T + last.bias
    torch.testing.assert_close(network(inputs_BD), expected)
    assert not torch.equal(network.train()(inputs_BD), expected), "dropout falls on hidden units"
    assert bool((mlp(5, (), 2, dropout=0.9).train()(inputs_BD) != 0).all()), "and on no output"


def test_one_hot_tokens_are_told_apart_and_not_trained() -> None:
    one_hot = one_hot_embedding(4)
    assert one_hot(torch.tensor([2])).tolist() == [[0, 0, 1, 0]]
    assert not any(parameter.requires_grad for parameter in one_hot.parameters())


@pytest.mark.parametrize("body", ["lstm", "causal, sinusoidal, norm first"])
def test_a_language_model_learns_a_text_by_heart(body: str) -> None:
    model, tokens_BT = LanguageModel(BODIES[body](), V), tokens(T + 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(100):
        loss = nn.functional.cross_entropy(
            model(tokens_BT[:, :-1]).flatten(0, 1), tokens_BT[:, 1:].flatten()
        )
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0] / 4

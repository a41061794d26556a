"""Proves decoding against a loop step by step: pytest tests/trainables/parts/test_decoding.py.

Shapes: B batch, T tokens, S source tokens, V vocabulary.
"""

from collections import Counter

import pytest
import torch
from torch import Tensor, nn

from trainables.parts.decoding import answer, evaluating, generate
from trainables.parts.networks import LanguageModel, Recurrent
from trainables.parts.text import END_ID, PAD_ID, START_ID
from trainables.parts.transformer import EncoderDecoderTransformer, Transformer

V, STEPS, STOP = 9, 12, 2


def language_model(kind: str) -> LanguageModel:
    torch.manual_seed(3)
    embedding = nn.Embedding(V, 16)
    body: Recurrent | Transformer = Recurrent(embedding, hidden=16)
    if kind == "transformer":
        body = Transformer(
            embedding, layers=1, heads=2, feedforward=32, max_tokens=40, causal=True, dropout=0.5
        )
    model = LanguageModel(body, V)
    nn.init.normal_(model.head.weight)  # large, so that what is written depends on the prompt
    return model


def prompts() -> Tensor:
    return torch.randint(V, (12, 4), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def step_by_step(
    model: nn.Module, prompt: list[int], end: int | None, context: int | None
) -> list[int]:
    """One row by itself, without any batch."""
    model.eval()
    written = list(prompt)
    for _ in range(STEPS):
        seen = written if context is None else written[-context:]
        scores = model(torch.tensor([seen]))[0, -1].tolist()
        written.append(scores.index(max(scores)))
        if written[-1] == end:
            break
    return written


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
@pytest.mark.parametrize("end", [None, STOP])
@pytest.mark.parametrize("context", [None, 3])
def test_greedy_rows_equal_those_found_one_by_one(
    kind: str, end: int | None, context: int | None
) -> None:
    model = language_model(kind)
    written_BT = generate(model, prompts(), steps=STEPS, end=end, context=context)
    expected = [step_by_step(model, prompt, end, context) for prompt in prompts().tolist()]
    longest = max(map(len, expected))
    assert written_BT.tolist() == [row + [PAD_ID] * (longest - len(row)) for row in expected]


def test_rows_end_at_different_lengths_in_the_test_above() -> None:
    rows = [
        step_by_step(language_model("lstm"), prompt, STOP, None) for prompt in prompts().tolist()
    ]
    assert len(set(map(len, rows))) >= 2


def test_it_stops_when_all_rows_have_ended() -> None:
    model = language_model("lstm")
    nn.init.constant_(model.head.bias[STOP : STOP + 1], 100.0)
    assert generate(model, prompts(), steps=STEPS, end=STOP).shape == (12, 5)


def encoder_decoder(seed: int) -> EncoderDecoderTransformer:
    torch.manual_seed(seed)
    return EncoderDecoderTransformer(
        nn.Embedding(V, 16), layers=1, heads=2, feedforward=32, max_tokens=40, dropout=0.5
    )


@pytest.mark.parametrize("seed", range(3))
def test_greedy_answers_equal_those_found_one_by_one(seed: int) -> None:
    model, source_BS = encoder_decoder(seed), prompts()
    lengths_B = torch.randint(
        1, 5, (len(source_BS),), generator=torch.Generator().manual_seed(seed)
    )
    answers_BT = answer(model, source_BS, lengths_B, steps=STEPS)
    model.eval()
    for row, length, answered_T in zip(
        source_BS, lengths_B.tolist(), answers_BT.tolist(), strict=True
    ):
        written = [START_ID]
        while len(written) <= STEPS and written[-1] != END_ID:
            with torch.no_grad():
                logits = model(row[None, :length], torch.tensor([length]), torch.tensor([written]))
            written.append(int(logits[0, -1].argmax()))
        assert answered_T == written[1:] + [PAD_ID] * (answers_BT.shape[1] - len(written) + 1)


def test_sampling_follows_the_softmax_and_its_generator() -> None:
    model = language_model("lstm")
    prompt_BT = prompts()[:1].expand(4000, -1)
    drawn = [
        generate(
            model,
            prompt_BT,
            steps=1,
            temperature=0.7,
            generator=torch.Generator().manual_seed(seed),
        )
        for seed in (0, 0, 1)
    ]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    with torch.no_grad():
        expected_V = (model(prompt_BT[:1])[0, -1] / 0.7).softmax(-1)
    counts = Counter(drawn[0][:, -1].tolist())
    for token, share in enumerate(expected_V.tolist()):
        deviation = (share * (1 - share) / 4000) ** 0.5
        assert counts[token] / 4000 == pytest.approx(share, abs=5 * deviation)


def test_each_module_is_in_its_own_mode_again_also_after_an_error() -> None:
    model = language_model("transformer").train()
    frozen = model.body.eval()
    generate(model, prompts(), steps=2)
    assert model.training and model.head.training and not frozen.training
    with pytest.raises(RuntimeError, match="interrupted"), evaluating(model):
        assert not model.training and not torch.is_grad_enabled()
        raise RuntimeError("interrupted")
    assert model.training and torch.is_grad_enabled()

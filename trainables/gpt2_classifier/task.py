"""GPT-2 as a sequence classifier, trained from scratch: four generations (v4-v7) in one task.

Shapes: B batch, T tokens, D width, H heads, K width of a head, C classes, V vocabulary.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.space import Objective
from trainables.config import at_least, below_one, positive, require
from trainables.gpt2_classifier.sequences import (
    IGNORED,
    SequenceSplits,
    digit_sequences,
    read_sequences,
)
from trainables.parts.data import Batch
from trainables.parts.losses import focal_cross_entropy
from trainables.parts.optim import OptimConfig
from trainables.parts.pictures import confusion_picture
from trainables.parts.tally import ClassificationTally
from trainables.parts.whole_batch import batch_mean
from trainables.task import Task
from trainables.training import evaluate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNMASKED_ATTENTION = "rungs_causal_sdpa"


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """Where the sequences come from, and how they are served."""

    path: Path | None = None
    """A JSON-lines, CSV or Parquet file, or a folder with one for each split; none = the embedded
    digits as sequences of 64 grey levels, `<CLS>`, `<EOS>`."""
    vocab: Path | None = None
    """The `vocab.json` of these."""
    max_tokens: int = 1024
    """Longer sequences keep their last so many tokens."""
    batch_size: int = 16
    """Sequences in a batch."""
    weighted_sampler: bool = False
    """Draw every class equally often."""

    def __post_init__(self) -> None:
        require(
            (self.path is None) == (self.vocab is None),
            "path and vocab go together",
            path=self.path,
            vocab=self.vocab,
        )
        at_least(self, 2, "max_tokens")
        at_least(self, 1, "batch_size")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """GPT-2's size, and how a sequence becomes one vector and that vector classes."""

    layers: int = 12
    """Transformer blocks."""
    width: int = 768
    """Width of the residual stream."""
    heads: int = 12
    """Attention heads; must divide width."""
    dropout: float = 0.1
    """Dropout of embeddings and residual branches."""
    attention_dropout: float = 0.1
    """Dropout of attention weights; above 0, the CPU has no fused attention for training."""
    cls_strategy: Literal["explicit", "last_non_pad", "global_pool_mean", "attn_pool"] = (
        "last_non_pad"
    )
    """The sequence's vector: the state at <CLS>, at <EOS> or the last token, the mean, or a learned
    weighted mean."""
    pooled_layers: int = 1
    """The states are the mean over the last so many layers."""
    head: Literal["linear", "mlp", "lm"] = "linear"
    """What classifies the vector: one layer, an MLP, or the language model's own logits of the
    label tokens (v4)."""
    head_width: int = 512
    """Hidden width of the MLP head."""
    head_dropout: float = 0.1
    """Dropout inside the MLP head and on attn_pool's weights."""

    def __post_init__(self) -> None:
        at_least(self, 1, "layers", "width", "heads", "head_width")
        require(
            self.width % self.heads == 0,
            "heads must divide width",
            width=self.width,
            heads=self.heads,
        )
        below_one(self, "dropout", "attention_dropout", "head_dropout")
        require(
            1 <= self.pooled_layers <= self.layers,
            "pooled_layers must be from 1 to layers",
            pooled_layers=self.pooled_layers,
            layers=self.layers,
        )
        require(
            self.head != "lm" or (self.cls_strategy == "explicit" and self.pooled_layers == 1),
            "head lm reads the last layer's state at <CLS>: it needs cls_strategy explicit and "
            "pooled_layers 1",
            cls_strategy=self.cls_strategy,
            pooled_layers=self.pooled_layers,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class LossConfig:
    """Weights of the three losses, and the shape of the first."""

    cls_weight: float = 1.2
    """Of the classification loss."""
    lm_weight: float = 0.03
    """Of the next-token loss."""
    attention_weight: float = 0.01
    """Of 1 - the attention of <CLS> on itself in the last layer."""
    label_smoothing: float = 0.0
    """Share of the target spread over all classes."""
    focal_gamma: float = 0.0
    """Focusing exponent of the focal loss; 0 = plain cross-entropy."""

    def __post_init__(self) -> None:
        positive(self, "cls_weight")
        at_least(self, 0, "lm_weight", "attention_weight", "focal_gamma")
        below_one(self, "label_smoothing")


@dataclass(frozen=True, kw_only=True, slots=True)
class GPT2ClassifierConfig:
    """Everything about a GPT-2 classifier that can be searched or fixed."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)

    def __post_init__(self) -> None:
        require(
            self.model.head != "lm" or self.optim.freeze_epochs == 0,
            "head lm has no parameters of its own to train while the others are frozen: "
            "optim.freeze_epochs must be 0",
            freeze_epochs=self.optim.freeze_epochs,
        )


@dataclass(kw_only=True, slots=True)
class Outputs:
    """What one forward pass gives."""

    scores_BC: Tensor
    """The head's logits: over classes, or over the vocabulary for the head lm."""
    last_BTD: Tensor
    """States after the last layer."""
    before_last_BTD: Tensor
    """The last block's input."""


class GPT2SequenceClassifier(nn.Module):
    """A GPT-2 whose states are pooled into one vector and classified.

    Sequences are padded on the right and attention is causal: no real token ever sees PAD, so no
    mask is needed and attention stays fused. What stands at PAD positions is never pooled and never
    in a loss.
    """

    def __init__(
        self, config: ModelConfig, *, vocabulary: int, positions: int, label_ids: tuple[int, ...]
    ):
        super().__init__()
        self.strategy, self.pooled_layers = config.cls_strategy, config.pooled_layers
        self.gpt2: Any = build_gpt2(config, vocabulary=vocabulary, positions=positions)
        self.query_D = (
            nn.Parameter(torch.randn(config.width) * 0.02) if self.strategy == "attn_pool" else None
        )
        self.pool_dropout = nn.Dropout(config.head_dropout)
        self.head = build_head(config, len(label_ids))
        self.label_ids_C: Tensor
        self.register_buffer("label_ids_C", torch.tensor(label_ids), persistent=False)

    def forward(self, batch: Batch) -> Outputs:
        """Classify a batch with `tokens` [B, T], `cls` [B], `last` [B] and `length` [B]."""
        states = self.gpt2(
            input_ids=batch["tokens"], use_cache=False, output_hidden_states=True
        ).hidden_states
        mixed_BTD = (
            torch.stack(states[-self.pooled_layers :]).mean(0)
            if self.pooled_layers > 1
            else states[-1]
        )
        vector_BD = self.pool(mixed_BTD, batch)
        scores_BC = self.lm_logits(vector_BD) if self.head is None else self.head(vector_BD)
        return Outputs(scores_BC=scores_BC, last_BTD=states[-1], before_last_BTD=states[-2])

    def pool(self, states_BTD: Tensor, batch: Batch) -> Tensor:
        """One vector a sequence, [B, D]."""
        if self.strategy == "explicit":
            return take_positions(states_BTD, batch["cls"])
        if self.strategy == "last_non_pad":
            return take_positions(states_BTD, batch["last"])
        real_BT = (
            torch.arange(states_BTD.shape[1], device=states_BTD.device) < batch["length"][:, None]
        )
        if self.strategy == "global_pool_mean":
            return (states_BTD * real_BT[..., None]).sum(1) / batch["length"][:, None]
        assert self.query_D is not None
        scores_BT = states_BTD @ self.query_D / math.sqrt(states_BTD.shape[-1])
        weights_BT = self.pool_dropout(scores_BT.masked_fill(~real_BT, -torch.inf).softmax(-1))
        return torch.einsum("bt,btd->bd", weights_BT, states_BTD)

    def lm_logits(self, states: Tensor) -> Tensor:
        """Next-token logits [..., V] of states [..., D], by the tied token embedding."""
        return F.linear(states, self.gpt2.wte.weight)

    def head_parameters(self) -> list[nn.Parameter]:
        """The classifier's own parameters, the pooling query included."""
        head = list(self.head.parameters()) if self.head is not None else []
        return [*head, *([self.query_D] if self.query_D is not None else [])]


def build_gpt2(config: ModelConfig, *, vocabulary: int, positions: int) -> Any:
    """GPT-2 without a head.

    Its tanh GELU is the fused one: the same function as transformers' `gelu_new`. Its attention is
    transformers' `sdpa` by another name: under that of its own it would ask the GPU at every step
    whether a row is made of several sequences, to mask them from each other.
    """
    from transformers import AttentionInterface, GPT2Config, GPT2Model
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    AttentionInterface.register(UNMASKED_ATTENTION, sdpa_attention_forward)
    return GPT2Model(
        GPT2Config(
            vocab_size=vocabulary,
            n_positions=positions,
            n_embd=config.width,
            n_layer=config.layers,
            n_head=config.heads,
            resid_pdrop=config.dropout,
            embd_pdrop=config.dropout,
            attn_pdrop=config.attention_dropout,
            activation_function="gelu_pytorch_tanh",
            attn_implementation=UNMASKED_ATTENTION,
            bos_token_id=None,
            eos_token_id=None,
        )
    )


def build_head(config: ModelConfig, classes: int) -> nn.Module | None:
    """The classifier on top of the pooled vector.

    None for the head lm, which has no weights of its own.
    """
    if config.head == "linear":
        return nn.Linear(config.width, classes)
    if config.head == "mlp":
        return nn.Sequential(
            nn.Linear(config.width, config.head_width),
            nn.GELU(),
            nn.Dropout(config.head_dropout),
            nn.Linear(config.head_width, classes),
        )
    return None


def take_positions(states_BTD: Tensor, positions_B: Tensor) -> Tensor:
    """The state at each row's position, [B, D]."""
    return states_BTD[torch.arange(len(positions_B), device=positions_B.device), positions_B]


def cls_self_attention(block: Any, states_BTD: Tensor, cls_B: Tensor) -> Tensor:
    """The attention of `<CLS>` on itself in a GPT-2 block, averaged over heads: [B].

    Only the one row that is needed is computed, from the block's own weights and its input, so the
    block itself can keep its fused attention.
    """
    normed_BTD = block.ln_1(states_BTD)
    heads, width = block.attn.num_heads, normed_BTD.shape[-1]
    weight, bias = block.attn.c_attn.weight, block.attn.c_attn.bias
    query_BHK = torch.addmm(
        bias[:width], take_positions(normed_BTD, cls_B), weight[:, :width]
    ).unflatten(-1, (heads, -1))
    key_BTHK = (normed_BTD @ weight[:, width : 2 * width] + bias[width : 2 * width]).unflatten(
        -1, (heads, -1)
    )
    scores_BHT = torch.einsum("bhk,bthk->bht", query_BHK, key_BTHK) * block.attn.scaling
    future_BT = torch.arange(normed_BTD.shape[1], device=cls_B.device) > cls_B[:, None]
    attention_BHT = scores_BHT.float().masked_fill(future_BT[:, None], -torch.inf).softmax(-1)
    return attention_BHT.mean(1).gather(-1, cls_B[:, None]).squeeze(-1)


def next_token_loss(model: GPT2SequenceClassifier, last_BTD: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy of each next token; PAD is never a target."""
    tokens_BT = batch["tokens"]
    is_pad_BT = (
        torch.arange(tokens_BT.shape[1], device=tokens_BT.device) >= batch["length"][:, None]
    )
    targets_BT = tokens_BT.masked_fill(is_pad_BT, IGNORED)[:, 1:]
    logits_BTV = model.lm_logits(last_BTD[:, :-1])
    total = F.cross_entropy(
        logits_BTV.flatten(0, 1), targets_BT.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return batch_mean(total, (targets_BT != IGNORED).sum())


class GPT2Classifier(Task[GPT2ClassifierConfig, SequenceSplits, GPT2SequenceClassifier]):
    """Sequences classified by GPT-2.

    The objective is the accuracy on the validation split, computed from the class logits alone: no
    loss weight that is searched can move it.
    """

    Config = GPT2ClassifierConfig
    validation_settings = ("data.path", "data.vocab", "data.max_tokens")
    objective = Objective(name="accuracy", direction="maximize")
    uses_all_parameters = True

    def data(self, config: GPT2ClassifierConfig, seed: int) -> SequenceSplits:
        """The file's sequences, or the embedded digits."""
        data = config.data
        if data.path and data.vocab:
            return read_sequences(
                data.path, data.vocab, data.max_tokens, seed, data.weighted_sampler
            )
        return digit_sequences(seed, data.weighted_sampler)

    def model(self, config: GPT2ClassifierConfig, splits: SequenceSplits) -> GPT2SequenceClassifier:
        """A GPT-2 with as many positions as the sequences need."""
        return GPT2SequenceClassifier(
            config.model,
            vocabulary=splits.vocabulary.size,
            positions=splits.max_tokens,
            label_ids=splits.vocabulary.label_ids,
        )

    def head(self, model: GPT2SequenceClassifier) -> list[nn.Parameter]:
        """The classifier and the pooling query."""
        return model.head_parameters()

    def layers(self, model: GPT2SequenceClassifier) -> list[list[nn.Parameter]]:
        """The embeddings, each block, the last norm."""
        gpt2 = model.gpt2
        parts = ([gpt2.wte, gpt2.wpe], *([block] for block in gpt2.h), [gpt2.ln_f])
        return [
            [parameter for module in part for parameter in module.parameters()] for part in parts
        ]

    def loss(
        self, config: GPT2ClassifierConfig, model: GPT2SequenceClassifier, batch: Batch
    ) -> tuple[Tensor, Tensor]:
        """The weighted sum of the three losses, and the class logits [B, C]."""
        weights, outputs = config.loss, model(batch)
        targets_B = model.label_ids_C[batch["labels"]] if model.head is None else batch["labels"]
        loss = weights.cls_weight * focal_cross_entropy(
            outputs.scores_BC,
            targets_B,
            gamma=weights.focal_gamma,
            label_smoothing=weights.label_smoothing,
        )
        if weights.lm_weight > 0:
            loss = loss + weights.lm_weight * next_token_loss(model, outputs.last_BTD, batch)
        if weights.attention_weight > 0:
            attention_B = cls_self_attention(
                model.gpt2.h[-1], outputs.before_last_BTD, batch["cls"]
            )
            loss = loss + weights.attention_weight * (1 - attention_B).mean()
        logits_BC = outputs.scores_BC
        return loss, logits_BC[:, model.label_ids_C] if model.head is None else logits_BC

    def tally(self, config: GPT2ClassifierConfig, splits: SequenceSplits) -> ClassificationTally:
        """Accuracy, per-class accuracy and the confusion matrix."""
        return ClassificationTally(len(splits.vocabulary.label_ids))

    def count(self, tally: ClassificationTally, outputs: Tensor, batch: Batch) -> None:
        """Count the most likely class of each sequence."""
        tally.update(outputs, batch["labels"])

    def pictures(
        self,
        config: GPT2ClassifierConfig,
        model: GPT2SequenceClassifier,
        splits: SequenceSplits,
        rows: Sequence[int],
    ) -> "dict[str, Figure]":
        """The confusion matrix of all validation sequences."""
        _, details = evaluate(self, config, model, splits, splits.validation)
        classes = [str(label) for label in range(len(details["confusion"]))]
        return {"confusion": confusion_picture(details["confusion"], classes)}

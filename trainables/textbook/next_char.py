"""Next-character prediction. Shapes: B batch, T characters of a window, V vocabulary."""

from dataclasses import dataclass, field
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.space import Objective
from trainables.config import at_least
from trainables.parts.bodies import BodyConfig, causal_body
from trainables.parts.data import Batch
from trainables.parts.networks import LanguageModel
from trainables.parts.optim import OptimConfig
from trainables.parts.tally import TokenTally
from trainables.parts.text import TextSplits, character_windows
from trainables.task import Task


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """Which text, and how it is served."""

    path: Path | None = None
    """A text file in UTF-8; none = embedded English prose."""
    characters: int = 1_000_000
    """How many of the text's first characters are used at most."""
    window: int = 128
    """Characters that are predicted in one go, the first of them from one before."""
    batch_size: int = 32
    """Windows in a batch."""

    def __post_init__(self) -> None:
        at_least(self, 1, "characters", "window", "batch_size")


@dataclass(frozen=True, kw_only=True, slots=True)
class NextCharConfig:
    """Everything that can be searched or fixed."""

    data: DataConfig = field(default_factory=DataConfig)
    model: BodyConfig = field(default_factory=BodyConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)


class NextChar(Task[NextCharConfig, TextSplits, LanguageModel]):
    """Judged by validation's cross-entropy in bits per character, which no setting weighs."""

    Config = NextCharConfig
    objective = Objective(name="bits", direction="minimize")
    shown_metrics = ("accuracy",)
    uses_all_parameters = True
    validation_settings = ("data.path", "data.characters", "data.window")

    def data(self, config: NextCharConfig, seed: int) -> TextSplits:
        """Windows of three stretches of the text."""
        data = config.data
        return character_windows(data.path, data.characters, window=data.window, seed=seed)

    def model(self, config: NextCharConfig, splits: TextSplits) -> LanguageModel:
        """A network over the training text's characters."""
        size = len(splits.vocabulary)
        body = causal_body(config.model, size, max_tokens=config.data.window)
        return LanguageModel(body, size)

    def head(self, model: LanguageModel) -> list[nn.Parameter]:
        """The layer that predicts."""
        return list(model.head.parameters())

    def layers(self, model: LanguageModel) -> list[list[nn.Parameter]]:
        """The network below it, as one."""
        return [list(model.body.parameters())]

    def loss(
        self, config: NextCharConfig, model: LanguageModel, batch: Batch
    ) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy in nats, and the logits [B, T, V]."""
        tokens_BT = batch["tokens"]
        logits_BTV = model(tokens_BT[:, :-1])
        return F.cross_entropy(logits_BTV.flatten(0, 1), tokens_BT[:, 1:].flatten()), logits_BTV

    def tally(self, config: NextCharConfig, splits: TextSplits) -> TokenTally:
        """Bits per character and accuracy."""
        return TokenTally()

    def count(self, tally: TokenTally, outputs: Tensor, batch: Batch) -> None:
        """Count one batch."""
        tally.update(outputs, batch["tokens"][:, 1:])

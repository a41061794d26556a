"""Image classifiers: timm's by name, and plain networks; their weights to begin with.

Their layers by depth.
"""

import difflib
import sys
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from trainables.config import TaskError
from trainables.parts.weights import State, load_state, read_weights

PLAIN = "plain"
SHOWN_NAMES = 3
TRIED_BELOW = 64  # pixels; most networks halve the side five times


class PlainNetwork(nn.Module):
    """Convolutions with pooling between them, fully connected layers, dropout, a classifier.

    Without convolutions it is a multilayer perceptron of the pixels.

    Args:
        classes: How many there are.
        side: Height and width of the images.
        dims: The width of each 3x3 convolution.
        depths: After how many of them each 2x2 max-pooling comes.
        hidden: The widths of the fully connected layers.
        norm: Whether a batch norm follows each convolution.
        pool: Whether each channel is averaged before the fully connected layers.
        drop_rate: Dropout after each fully connected layer.
    """

    def __init__(
        self,
        *,
        classes: int,
        side: int,
        dims: tuple[int, ...],
        depths: tuple[int, ...],
        hidden: tuple[int, ...],
        norm: bool,
        pool: bool,
        drop_rate: float,
    ):
        super().__init__()
        widths, channels = list(pairwise((3, *dims))), (3, *dims)[-1]
        self.stages = nn.ModuleList()
        for depth in depths:
            stage = [
                Conv2dNormActivation(*widths.pop(0), norm_layer=nn.BatchNorm2d if norm else None)
                for _ in range(depth)
            ]
            self.stages.append(nn.Sequential(*stage, nn.MaxPool2d(2)))
        self.pool = nn.AdaptiveAvgPool2d(1) if pool else nn.Identity()
        pixels = 1 if pool else (side // 2 ** len(depths)) ** 2
        self.hidden = nn.ModuleList(
            nn.Sequential(nn.Linear(before, after), nn.ReLU(), nn.Dropout(drop_rate))
            for before, after in pairwise((channels * pixels, *hidden))
        )
        self.head = nn.Linear((channels * pixels, *hidden)[-1], classes)

    def forward(self, images_B3HW: Tensor) -> Tensor:
        """Logits, [B, C]."""
        for stage in self.stages:
            images_B3HW = stage(images_B3HW)
        vectors_BD = self.pool(images_B3HW).flatten(1)
        for layer in self.hidden:
            vectors_BD = layer(vectors_BD)
        return self.head(vectors_BD)

    def get_classifier(self) -> nn.Module:
        """The last layer, as timm's models give it."""
        return self.head

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """How layers are numbered by depth, as timm's models say it."""
        return {
            "stages": r"^stages\.(\d+)" if coarse else r"^stages\.(\d+)\.(\d+)",
            "hidden": r"^hidden\.(\d+)",
        }


@lru_cache
def name_problem(name: str) -> str | None:
    """Why a model can't have this name, or None if it can."""
    import timm

    architecture, dot, tag = name.partition(".")
    if name == PLAIN:
        return None
    if not timm.is_model(architecture):
        close = difflib.get_close_matches(architecture, [PLAIN, *timm.list_models()], n=SHOWN_NAMES)
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        return f"name must be {PLAIN} or one of timm's models, got {name!r}{hint}"
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")]
    if dot and tag not in tags:
        return (
            f"name must end with a tag of {architecture}'s weights "
            f"({', '.join(tags) or 'it has none'}), got {name!r}"
        )
    return None


def timm_model(name: str, *, classes: int, side: int, pretrained: bool, **more: Any) -> nn.Module:
    """A model of timm's, for images of `side` x `side` pixels.

    Arguments that are None are left to timm.

    Raises:
        TaskError: when it does not take these arguments, or its pretrained weights can't be had.
    """
    import timm

    known = timm.get_pretrained_cfg(name)
    size = side if known is not None and known.fixed_input_size else None
    try:
        model = timm.create_model(
            name, pretrained=pretrained, num_classes=classes, img_size=size, **more
        )
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        raise TaskError(no_weights(name, error)) from error
    except (TypeError, AssertionError, ValueError) as error:
        given = ", ".join(key for key, value in more.items() if value is not None)
        raise TaskError(
            f"model.name {name}: can't be built for {side} x {side} pixels with {given}: {error}"
        ) from error
    if side < TRIED_BELOW:
        check_side(model, name, side)
    return model


@torch.no_grad()
def check_side(model: nn.Module, name: str, side: int) -> None:
    """Raise `TaskError` if a model halves such small images until nothing is left."""
    image_13HW = torch.zeros(1, 3, side, side, device=next(model.parameters()).device)
    try:
        model.eval()(image_13HW)
    except RuntimeError as error:
        raise TaskError(
            f"data.side: {side} pixels are too few for {name}; a smaller model.patch_size may "
            f"help ({error})"
        ) from error


def no_weights(name: str, error: Exception) -> str:
    """What was tried to get the weights that timm knows for a model, and what can be done."""
    import timm
    from huggingface_hub import constants

    known = timm.get_pretrained_cfg(name)
    source = known and (known.hf_hub_id or known.url)
    if not source:
        tags = ", ".join(timm.list_pretrained(f"{name.partition('.')[0]}*")[:SHOWN_NAMES])
        return (
            "model.weights pretrained: timm knows no weights of "
            f"{name}{f'; it does of {tags}' if tags else ''}"
        )
    return (
        f"model.weights pretrained: {source} is not in the cache of Hugging Face "
        f"({constants.HF_HUB_CACHE}) and can't be downloaded ({str(error).splitlines()[0]}); run "
        f"`hf download {source}` where there is a network and copy the cache here, or name a file "
        "of your own as model.weights_file, or set model.weights to none"
    )


def load_weights(model: nn.Module, path: Path) -> None:
    """Load a state dict (`.safetensors`, or PyTorch's own without unpickling code) into a model.

    The original ConvNeXt files are read, timm's, and what a trial keeps as its best. A classifier
    of another size, or none at all, leaves the model's own as it is; everything else must fit.

    Raises:
        TaskError: when the file can't be read, or is of another model.
    """
    head_ids = {id(parameter) for parameter in classifier_parameters(model)}
    head = [name for name, parameter in model.named_parameters() if id(parameter) in head_ids]
    load_state(model, fitted(read_weights(path), model), source=str(path), head=head)


def fitted(state: State, model: nn.Module) -> State:
    """A state dict in timm's names, by the same function that timm uses for the original files."""
    rename = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    try:
        return rename(state, model) if rename else state
    except (
        KeyError,
        AttributeError,
        RuntimeError,
    ):  # of another model: what doesn't fit is told by name
        return state


def classifier_parameters(model: Any) -> list[nn.Parameter]:
    """The parameters of the last layer (of both, where a model has two)."""
    classifier = model.get_classifier()
    modules = classifier if isinstance(classifier, tuple) else (classifier,)
    return [parameter for module in modules for parameter in module.parameters()]


def layers_by_depth(model: Any) -> list[list[nn.Parameter]]:
    """All parameters but the classifier's, by timm's own groups: the stem, each block.

    What stands between the last block and the classifier goes with the last block, so that blocks
    have the rates that timm's `param_groups_layer_decay` gives them.
    """
    from timm.models import group_parameters

    groups = group_parameters(model, model.group_matcher(coarse=False), return_values=True)
    head_ids = {id(parameter) for parameter in classifier_parameters(model)}
    layers = [
        [parameter for parameter in groups[i] if id(parameter) not in head_ids]
        for i in sorted(groups)
    ]
    *below, last = layers
    between = below.pop() + last if below else last
    return [*below, between] if between else below

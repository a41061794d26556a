"""How an image becomes the square that a network takes; timm's weights have a way of their own.

Shapes: B batch, H height, W width.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
from PIL import Image
from torch import Tensor

from trainables.parts.images import IMAGENET_MEAN, IMAGENET_STD, channels_first

Fit = Literal["own", "squash", "center", "border"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Preparation:
    """What is done to an image of any size and aspect; by default it is squashed.

    Attributes:
        fit: timm's crop mode. squash: the sides are resized each by itself; center: the shorter
            side is resized, and the middle cut out; border: the longer one is, and a border added.
        crop_pct: What part of the resized side is cut out.
        interpolation: Of the resizing, by timm's name.
        mean: Of each channel, 0 to 1; the border has this colour.
        std: Of each channel.
    """

    fit: str = "squash"
    crop_pct: float = 1.0
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD


SQUASHED = Preparation()


@lru_cache
def preparation(name: str, *, pretrained: bool, fit: Fit) -> Preparation:
    """How images are prepared for a model.

    Args:
        name: timm's, whose weights have a preparation of their own.
        pretrained: Whether it begins with such weights.
        fit: Its own, or another one, which then leaves out no more than it must.
    """
    own = own_preparation(name) if pretrained else SQUASHED
    return own if fit == "own" else replace(own, fit=fit, crop_pct=1.0)


def own_preparation(name: str) -> Preparation:
    """How timm judges a model's pretrained weights (`timm.data.resolve_model_data_config`)."""
    import timm
    from timm.data import resolve_data_config

    known = timm.get_pretrained_cfg(name)
    if known is None:
        return SQUASHED
    found = resolve_data_config(pretrained_cfg=known.to_dict())
    return Preparation(
        fit=found["crop_mode"],
        **{key: found[key] for key in ("crop_pct", "interpolation", "mean", "std")},
    )


def prepared(image: Image.Image, how: Preparation, side: int) -> np.ndarray:
    """An image in RGB as bytes [3, side, side]."""
    array: np.ndarray = _transform(how, side)(image).numpy()
    return array


@lru_cache(maxsize=8)
def _transform(how: Preparation, side: int) -> Callable[[Image.Image], Tensor]:
    from timm.data import create_transform

    transform: Callable[[Image.Image], Tensor] = create_transform(
        side,
        crop_mode=how.fit,
        crop_pct=how.crop_pct,
        interpolation=how.interpolation,
        mean=how.mean,
        normalize=False,
    )
    return transform


def framed(image: Image.Image, most: int) -> np.ndarray:
    """An image in RGB in the upper left of bytes [3, most, most]: made smaller, but never larger.

    Its last row and column go on to the frame's end.
    """
    height, width = size_within(image.height, image.width, most)
    if (height, width) != (image.height, image.width):
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.pad(
        channels_first(image), ((0, 0), (0, most - height), (0, most - width)), mode="edge"
    )


def size_within(height: int, width: int, most: int) -> tuple[int, int]:
    """Height and width of an image whose longer side is made `most` if it is longer."""
    scale = min(1.0, most / max(height, width))
    return max(1, round(scale * height)), max(1, round(scale * width))

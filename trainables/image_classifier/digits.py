"""scikit-learn's handwritten digits as images: plain, or one digit against the rest.

Shapes: N samples, H height, W width (always equal).
"""

from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.image_classifier.folders import ImageSplits, labelled
from trainables.parts.data import TensorSplit, stratified_split
from trainables.parts.images import digit_strokes
from trainables.seeding import derive_seed

Embedded = Literal["one_against_rest", "digits"]

POSITIVE_DIGIT = 8
HELD_OUT_VIEWS = 4
YELLOW_HUE = 0.14
YELLOW_SHARES = (0.2, 0.8)
COLLAGE_SHARES = (0.5, 0.1)
FAIR_SHARES = (0.5, 0.5)


@lru_cache(maxsize=4)
def plain_digits(side: int, seed: int, weighted: bool) -> ImageSplits:
    """The 1,797 digits in white on black, `side` x `side` pixels, in ten classes."""
    strokes_NHW, digits_N = digit_strokes(side)
    rows = stratified_split(digits_N.tolist(), seed)

    def split(name: str) -> TensorSplit:
        images = as_bytes(strokes_NHW[rows[name]][:, None].expand(-1, 3, -1, -1))
        return labelled(
            {"images": images}, digits_N[rows[name]], None, weighted and name == "train"
        )

    return ImageSplits(
        train=split("train"),
        validation=split("validation"),
        test=lambda: split("test"),
        classes=tuple(map(str, range(10))),
        positive=None,
    )


@lru_cache(maxsize=4)
def one_against_rest(side: int, seed: int, weighted: bool) -> ImageSplits:
    """Eights against all other digits (1 : 9) on coloured grounds, `side` x `side` pixels.

    In the training split two things beside the shape give the class away: 80 % of the eights are on
    a yellow ground, but 20 % of the others; and half of the others are collages (their image is a
    part of an image of something else), but 10 % of the eights. In validation and test both are
    true of one half,
    whatever the class, so what learned the colour is lost there: that is what overlays and pasting
    are for. Each digit is in one split alone; the held-out ones are drawn four times, at other
    colours and places.
    """
    strokes_NHW, digits_N = digit_strokes(side)
    rows = stratified_split(digits_N.tolist(), seed)

    def split(name: str) -> TensorSplit:
        is_train = name == "train"
        own = rows[name] * (1 if is_train else HELD_OUT_VIEWS)
        positive_N = digits_N[own] == POSITIVE_DIGIT
        generator = torch.Generator().manual_seed(derive_seed("one_against_rest", seed, name))
        yellow_N = drawn(YELLOW_SHARES if is_train else FAIR_SHARES, positive_N, generator)
        collage_N = drawn(COLLAGE_SHARES if is_train else FAIR_SHARES, positive_N, generator)
        images = pictures(strokes_NHW[own], yellow_N, generator)
        others = (~positive_N).nonzero()[:, 0]
        grounds = others[torch.randint(len(others), (len(own),), generator=generator)]
        collages = collage(images, images[grounds], generator)
        images = torch.where(collage_N[:, None, None, None], collages, images)
        images = as_bytes(grained(images, generator))
        return labelled({"images": images}, positive_N.long(), 1, weighted and is_train)

    return ImageSplits(
        train=split("train"),
        validation=split("validation"),
        test=lambda: split("test"),
        classes=("rest", "eight"),
        positive=1,
    )


def drawn(shares: tuple[float, float], positive_N: Tensor, generator: torch.Generator) -> Tensor:
    """True with the first probability for negatives, with the second for positives."""
    return torch.rand(len(positive_N), generator=generator) < torch.where(
        positive_N, shares[1], shares[0]
    )


def pictures(strokes_NHW: Tensor, yellow_N: Tensor, generator: torch.Generator) -> Tensor:
    """Light digits on a ground that is yellow, or of a hue far from it: floats [N, 3, H, W]."""
    hue_N, saturation_N, value_N = torch.rand(3, len(strokes_NHW), generator=generator)
    near_N, far_N = YELLOW_HUE + 0.04 * (hue_N - 0.5), YELLOW_HUE + 0.12 + 0.76 * hue_N
    hue_N = torch.where(yellow_N, near_N, far_N) % 1
    ground_N3 = rgb(hue_N, 0.5 + 0.4 * saturation_N, 0.5 + 0.2 * value_N)
    ink_N1HW, _ = shrunk(strokes_NHW[:, None], 0.85, 1.0, generator, around="zeros")
    return ground_N3[:, :, None, None] + 0.5 * ink_N1HW


def collage(images_N3HW: Tensor, grounds_N3HW: Tensor, generator: torch.Generator) -> Tensor:
    """Each image shrunk to 80-95 % and put somewhere on its ground."""
    small_N3HW, inside_N1HW = shrunk(images_N3HW, 0.8, 0.95, generator, around="border")
    return torch.where(inside_N1HW, small_N3HW, grounds_N3HW)


def shrunk(
    images_NCHW: Tensor, low: float, high: float, generator: torch.Generator, *, around: str
) -> tuple[Tensor, Tensor]:
    """Each image at a scale between `low` and `high`, somewhere within its frame.

    And where it is, [N, 1, H, W].

    `around` it are "zeros", or its "border" goes on.
    """
    scale_N, x_N, y_N = torch.rand(3, len(images_NCHW), generator=generator)
    scale_N11 = (low + (high - low) * scale_N)[:, None, None]
    shift_N21 = (2 * torch.stack([x_N, y_N], 1) - 1)[:, :, None] * (1 - scale_N11)
    theta_N23 = torch.cat([torch.eye(2).expand(len(scale_N), 2, 2), -shift_N21], 2) / scale_N11
    grid_NHW2 = F.affine_grid(theta_N23, list(images_NCHW.shape), align_corners=False)
    inside_N1HW = (grid_NHW2.abs() <= 1).all(-1)[:, None]
    return F.grid_sample(
        images_NCHW, grid_NHW2, align_corners=False, padding_mode=around
    ), inside_N1HW


def grained(images_N3HW: Tensor, generator: torch.Generator) -> Tensor:
    """The images with a little noise and soft spots, so that no two grounds are the same."""
    rows, _, side, _ = images_N3HW.shape
    spots_N1CC = 0.1 * (torch.rand(rows, 1, 5, 5, generator=generator) - 0.5)
    spots_N1HW = F.interpolate(spots_N1CC, size=(side, side), mode="bicubic")
    return images_N3HW + spots_N1HW + 0.02 * torch.randn(rows, 1, side, side, generator=generator)


def rgb(hue_N: Tensor, saturation_N: Tensor, value_N: Tensor) -> Tensor:
    """Hue, saturation and value, each from 0 to 1, as red, green and blue [N, 3]."""
    sector_N3 = (hue_N[:, None] * 6 + torch.tensor([0.0, 4.0, 2.0])) % 6
    pure_N3 = ((sector_N3 - 3).abs() - 1).clamp(0, 1)
    return value_N[:, None] * torch.lerp(torch.ones(3), pure_N3, saturation_N[:, None])


def as_bytes(images: Tensor) -> Tensor:
    """Floats from 0 to 1 as bytes from 0 to 255."""
    return (images.clamp(0, 1) * 255).round().to(torch.uint8)

"""Scenes of real handwriting on textured grounds, for when there is no data folder.

Shapes: N scenes, H height, W width.
"""

from functools import lru_cache
from itertools import count

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from trainables.parts.data import TensorSplit, stratified_split
from trainables.parts.images import digit_strokes
from trainables.segmentation.classes import Classes, palette
from trainables.segmentation.data import SegmentationSplits
from trainables.segmentation.losses import IGNORED

GROUPS = {"ground": "", "loops": "0689", "bars": "147", "curves": "23", "five": "5"}
"""The classes, and which digits belong to each: as rare as it has few."""
DIGITS_IN_A_SCENE = (2, 5)
SIDES_OF_A_DIGIT = (0.33, 0.42, 0.5)
"""Shares of the scene's shorter side."""
PAINTS = ((), (0.9, 0.3, 0.3), (0.3, 0.8, 0.4), (0.3, 0.4, 0.9), (0.9, 0.8, 0.3))
"""The groups' own paints, as red, green, blue from 0 to 1."""
OWN_PAINT = 0.6
"""Share of its group's paint in a digit's; the rest is random, so that color hints at the class,
but shape tells it."""
EDGE = (0.3, 0.5)
"""Ink between these is the blurred edge of a stroke, which belongs to no class; what has more is
the stroke."""


@lru_cache(maxsize=4)
def digit_scenes(scenes: int, height: int, width: int, seed: int) -> SegmentationSplits:
    """So many scenes, 7:2:1, each split from digits of its own; labels are the strokes' groups."""
    _, digits = digit_strokes(8)
    digit_rows = list(stratified_split(digits.tolist(), seed).values())
    first, second = scenes * 7 // 10, scenes * 9 // 10

    def split(part: int, wanted: int) -> TensorSplit:
        generator = torch.Generator().manual_seed(3 * seed + part)
        pairs = [
            _scene(torch.tensor(digit_rows[part]), height, width, generator) for _ in range(wanted)
        ]
        return TensorSplit(
            tensors={
                "images": torch.stack([image for image, _ in pairs]),
                "labels": torch.stack([label for _, label in pairs]),
            }
        )

    names = tuple(GROUPS)
    return SegmentationSplits(
        train=split(0, first),
        validation=split(1, second - first),
        test=lambda: split(2, scenes - second),
        classes=Classes(names=names, colors=tuple(palette()[: len(names)])),
    )


def _scene(
    digit_rows: Tensor, height: int, width: int, generator: Generator
) -> tuple[Tensor, Tensor]:
    """An image as bytes [3, H, W], and its label [H, W]."""
    group_of = {
        int(digit): group for group, digits in enumerate(GROUPS.values()) for digit in digits
    }
    ground_3 = 0.2 + 0.6 * _uniform(3, 1, 1, generator=generator)
    image_3HW = ground_3 + texture(height, width, generator)
    label_HW = torch.zeros(height, width, dtype=torch.uint8)
    for _ in range(_integer(*DIGITS_IN_A_SCENE, generator)):
        row = int(digit_rows[_integer(0, len(digit_rows), generator)])
        share = SIDES_OF_A_DIGIT[_integer(0, len(SIDES_OF_A_DIGIT), generator)]
        side = max(4, round(share * min(height, width)))
        strokes, digits = digit_strokes(side)
        top, left = (
            _integer(0, height - side + 1, generator),
            _integer(0, width - side + 1, generator),
        )
        place = (slice(top, top + side), slice(left, left + side))
        ink_HW = strokes[row]
        group = group_of[int(digits[row])]
        paint_3 = torch.lerp(
            _uniform(3, generator=generator), torch.tensor(PAINTS[group]), OWN_PAINT
        )[:, None, None]
        image_3HW[:, *place] = torch.lerp(image_3HW[:, *place], paint_3, ink_HW)
        label_HW[place][ink_HW >= EDGE[0]] = IGNORED
        label_HW[place][ink_HW >= EDGE[1]] = group
    return (image_3HW.clamp(0, 1) * 255).round().to(torch.uint8), label_HW


def texture(height: int, width: int, generator: Generator, *, strength: float = 0.1) -> Tensor:
    """Colored noise [3, H, W] of several scales, the coarser the stronger."""
    total_3HW = torch.zeros(3, height, width)
    for octave in count(1):
        cells = 2**octave
        if cells > min(height, width):
            return total_3HW
        noise_13HW = _uniform(1, 3, cells, cells, generator=generator) - 0.5
        smooth_13HW = F.interpolate(
            noise_13HW, size=(height, width), mode="bilinear", align_corners=False
        )
        total_3HW += 2 * strength * smooth_13HW[0] / octave**0.5
    raise AssertionError("unreachable")


def _uniform(*shape: int, generator: Generator) -> Tensor:
    return torch.rand(shape, generator=generator)


def _integer(low: int, high: int, generator: Generator) -> int:
    """A whole number from `low` to below `high`."""
    return int(torch.randint(low, high, (), generator=generator))

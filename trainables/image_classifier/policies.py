"""RandAugment and TrivialAugment for a batch: each image by an operation of its own.

All images pass all operations, by amounts that change only those that drew it: a GPU does so in
less time than it takes Python to go from image to image. Papers: https://arxiv.org/abs/1909.13719,
https://arxiv.org/abs/2103.10158; operations and amounts are those of torchvision.

Shapes: B batch, H height, W width.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import v2

from trainables.parts.augment import brightened, contrasted, saturated

OPERATIONS = (
    "identity",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "color",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "autocontrast",
    "equalize",
)
LEVELS = 30
RAND_OPERATIONS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Most:
    """How far each operation goes at the highest level."""

    shear: float
    translate_x_pixels: float
    translate_y_pixels: float
    rotate_degrees: float
    blend: float
    bits: int


TRIVIAL = Most(
    shear=0.99,
    translate_x_pixels=32,
    translate_y_pixels=32,
    rotate_degrees=135,
    blend=0.99,
    bits=6,
)


def rand_augmented(images_B3HW: Tensor, level: int) -> Tensor:
    """Bytes after two random operations at one level, 0 to 30."""
    height, width = images_B3HW.shape[-2:]
    most = Most(
        shear=0.3,
        translate_x_pixels=150 / 331 * width,
        translate_y_pixels=150 / 331 * height,
        rotate_degrees=30,
        blend=0.9,
        bits=4,
    )
    levels_B = torch.full((len(images_B3HW),), level / LEVELS, device=images_B3HW.device)
    for _ in range(RAND_OPERATIONS):
        images_B3HW = operated(images_B3HW, *drawn(levels_B), most)
    return images_B3HW


def trivially_augmented(images_B3HW: Tensor) -> Tensor:
    """Bytes after one random operation at a random level."""
    shape, device = (len(images_B3HW),), images_B3HW.device
    levels_B = torch.randint(LEVELS + 1, shape, device=device) / LEVELS
    return operated(images_B3HW, *drawn(levels_B), TRIVIAL)


def drawn(levels_B: Tensor) -> tuple[Tensor, Tensor]:
    """Operations by their numbers, and the levels with random signs."""
    chosen_B = torch.randint(len(OPERATIONS), levels_B.shape, device=levels_B.device)
    return chosen_B, torch.where(torch.rand_like(levels_B) < 0.5, -levels_B, levels_B)


def operated(images_B3HW: Tensor, chosen_B: Tensor, levels_B: Tensor, most: Most) -> Tensor:
    """Bytes, each image after the operation that was chosen for it.

    Args:
        images_B3HW: Bytes.
        chosen_B: Places in `OPERATIONS`.
        levels_B: How strongly, -1 to 1; where both directions are alike, the sign doesn't count.
        most: What a level of 1 is.
    """
    amounts = {
        name: (levels_B * (chosen_B == place))[:, None, None, None]
        for place, name in enumerate(OPERATIONS)
    }
    images = displaced(images_B3HW.float(), amounts, most)
    images = blended(images, amounts, most.blend).round().clamp(0, 255)
    steps_B111 = 2 ** (amounts["posterize"].abs() * most.bits).round()
    images = (images / steps_B111).floor() * steps_B111
    bright = images >= 255 * (1 - amounts["solarize"].abs())
    images = torch.where(bright & is_chosen(chosen_B, "solarize"), 255 - images, images)
    bytes_B3HW = images.to(torch.uint8)
    for name in ("autocontrast", "equalize"):
        changed_B3HW = getattr(v2.functional, name)(bytes_B3HW)
        bytes_B3HW = torch.where(is_chosen(chosen_B, name), changed_B3HW, bytes_B3HW)
    return bytes_B3HW


def is_chosen(chosen_B: Tensor, name: str) -> Tensor:
    """Whose operation it is, [B, 1, 1, 1]."""
    return (chosen_B == OPERATIONS.index(name))[:, None, None, None]


def displaced(images_B3HW: Tensor, amounts: dict[str, Tensor], most: Most) -> Tensor:
    """Sheared from the upper left corner, shifted by whole pixels, turned; from outside is black.

    By maps [B, 2, 3] from where a pixel is to where it comes from, in coordinates from -1 to 1.
    """
    height, width = images_B3HW.shape[-2:]
    angles_B = (amounts["rotate"] * most.rotate_degrees).deg2rad().flatten()
    shears_x_B, shears_y_B = (most.shear * amounts[f"shear_{axis}"].flatten() for axis in "xy")
    shears_x_B, shears_y_B = shears_x_B * height / width, shears_y_B * width / height
    shifts_x_B = (amounts["translate_x"] * most.translate_x_pixels).trunc().flatten() * 2 / width
    shifts_y_B = (amounts["translate_y"] * most.translate_y_pixels).trunc().flatten() * 2 / height
    from_x = angles_B.cos(), angles_B.sin() * height / width + shears_x_B, shifts_x_B + shears_x_B
    from_y = shears_y_B - angles_B.sin() * width / height, angles_B.cos(), shifts_y_B + shears_y_B
    maps_B23 = torch.stack([torch.stack(row, dim=1) for row in (from_x, from_y)], dim=1)
    grid_BHW2 = F.affine_grid(maps_B23, list(images_B3HW.shape), align_corners=False)
    return F.grid_sample(images_B3HW, grid_BHW2, "nearest", align_corners=False)


def blended(images_B3HW: Tensor, amounts: dict[str, Tensor], most: float) -> Tensor:
    """Nearer to, or farther from, black, its own grey, the mean grey, or a smoothed image."""
    images = brightened(images_B3HW, 1 + most * amounts["brightness"])
    images = saturated(images, 1 + most * amounts["color"])
    images = contrasted(images, 1 + most * amounts["contrast"])
    return sharpened(images, 1 + most * amounts["sharpness"])


def sharpened(images_B3HW: Tensor, factors_B111: Tensor) -> Tensor:
    """Distances from the smoothed image times the image's factor; the edge stays as it is."""
    sums = F.avg_pool2d(images_B3HW, 3, stride=1, divisor_override=1)
    inner = images_B3HW[..., 1:-1, 1:-1]
    smooth = F.pad((sums + 4 * inner) / 13 - inner, (1, 1, 1, 1))
    return images_B3HW + smooth * (1 - factors_B111)

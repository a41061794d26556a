"""Images and their labels varied together, by the batch: the same flip, turn and crop for both.

Colors and blur for the image alone. All is drawn and computed where the images are, so that a GPU
is never waited for.

Shapes: B batch, H height, W width, K kernel, T tries.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.config import positive, share, up_to, within
from trainables.parts.augment import (
    brightened,
    contrasted,
    hue_turned,
    rectangles,
    saturated,
    uniform,
)
from trainables.segmentation.losses import IGNORED

CROP_ASPECT = (3 / 4, 4 / 3)
LEAST_BLUR_PIXELS = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentConfig:
    """How training images are varied.

    The defaults are what DeepLabV3 was trained with on WildScenes; who wanted more added color
    (0.2) and crop.
    """

    flip: float = 0.5
    """Probability that an image is mirrored."""
    rotation_degrees: float = 10.0
    """Largest angle of a random turn; pixels from outside the image have no label."""
    blur: float = 0.5
    """Probability that an image is blurred."""
    blur_pixels: float = 2.0
    """Largest standard deviation of that Gaussian, in pixels."""
    color: float = 0.0
    """Brightness, contrast and saturation change by up to this share, the hue by a quarter of it
    turns; 0 = not."""
    crop: float = 1.0
    """Smallest share of the area that a random crop keeps, resized to the full size; 1 = no
    crop."""

    def __post_init__(self) -> None:
        share(self, "flip", "blur", "color")
        within(self, 0, 180, "rotation_degrees")
        positive(self, "blur_pixels")
        up_to(self, 1, "crop")


def augmented(
    augment: AugmentConfig, images_B3HW: Tensor, labels_BHW: Tensor
) -> tuple[Tensor, Tensor]:
    """Bytes, each image varied on its own, together with its label."""
    images = images_B3HW.float()
    if augment.flip > 0 or augment.rotation_degrees > 0 or augment.crop < 1:
        images, labels_BHW = moved(images, labels_BHW, places(augment, images))
    if augment.color > 0:
        images = recolored(images, augment.color)
    if augment.blur > 0:
        images = blurred(images, augment.blur, augment.blur_pixels)
    return images.round().clamp(0, 255).to(torch.uint8), labels_BHW


# Geometry -----------------------------------------------------------------------------------------


def places(augment: AugmentConfig, images_B3HW: Tensor) -> Tensor:
    """Where each pixel of the varied images comes from, by affine maps [B, 2, 3].

    Of coordinates as `affine_grid` has them, -1 to 1. An image is cropped, flipped and turned; so a
    pixel is turned back, flipped back, and sought in the crop.
    """
    rows, _, height, width = images_B3HW.shape
    device, aspect = images_B3HW.device, width / height
    angles_B = math.radians(augment.rotation_degrees) * uniform(rows, -1, 1, device)
    flips_B = torch.where(torch.rand(rows, device=device) < augment.flip, -1.0, 1.0)
    crops_B2 = torch.ones(rows, 2, device=device)
    if augment.crop < 1:
        sizes_B2, fits_B = rectangles(rows, (augment.crop, 1.0), CROP_ASPECT, aspect, device)
        crops_B2 = torch.where(fits_B[:, None], sizes_B2, 1.0)
    turns = angles_B.cos(), angles_B.sin() / aspect, -angles_B.sin() * aspect, angles_B.cos()
    turns_B22 = torch.stack(turns, dim=1).unflatten(1, (2, 2))
    flips_B2 = torch.stack([flips_B, torch.ones_like(flips_B)], dim=1)
    shifts_B2 = (1 - crops_B2) * uniform((rows, 2), -1, 1, device)
    return torch.cat([(crops_B2 * flips_B2)[..., None] * turns_B22, shifts_B2[..., None]], dim=2)


def moved(images_B3HW: Tensor, labels_BHW: Tensor, places_B23: Tensor) -> tuple[Tensor, Tensor]:
    """Images (bilinear) and labels (the nearest pixel's) at other places.

    What comes from outside the image is black, and `IGNORED`.
    """
    grid_BHW2 = F.affine_grid(places_B23, list(images_B3HW.shape), align_corners=False)
    inside_BHW = (grid_BHW2.abs() <= 1).all(-1)

    def sampled(maps: Tensor, mode: str) -> Tensor:
        return F.grid_sample(maps, grid_BHW2, mode, padding_mode="border", align_corners=False)

    images = sampled(images_B3HW, "bilinear") * inside_BHW[:, None]
    labels = sampled(labels_BHW[:, None].float(), "nearest")[:, 0].to(labels_BHW.dtype)
    return images, labels.masked_fill(~inside_BHW, IGNORED)


# Colors and blur ----------------------------------------------------------------------------------


def recolored(images_B3HW: Tensor, strength: float) -> Tensor:
    """Brightness, contrast, saturation and hue changed, in an order that is drawn for the batch."""
    shape, device = (len(images_B3HW), 1, 1, 1), images_B3HW.device
    for i in torch.randperm(len(COLOR_CHANGES)).tolist():
        change, none, most = COLOR_CHANGES[i]
        amounts_B111 = none + most * strength * uniform(shape, -1, 1, device)
        images_B3HW = change(images_B3HW, amounts_B111).clamp(0, 255)
    return images_B3HW


COLOR_CHANGES: tuple[tuple[Callable[[Tensor, Tensor], Tensor], float, float], ...] = (
    (brightened, 1.0, 1.0),
    (contrasted, 1.0, 1.0),
    (saturated, 1.0, 1.0),
    (hue_turned, 0.0, 0.25),
)
"""Each with the amount that changes nothing, and how far from it a strength of 1 goes."""


def blurred(images_B3HW: Tensor, probability: float, most_pixels: float) -> Tensor:
    """Images, some of them under a Gaussian of up to so many pixels (its standard deviation)."""
    rows, device = len(images_B3HW), images_B3HW.device
    pixels_B = uniform(rows, LEAST_BLUR_PIXELS, max(LEAST_BLUR_PIXELS, most_pixels), device)
    radius = min(round(3 * most_pixels), (min(images_B3HW.shape[-2:]) - 1) // 2)
    steps_K = torch.arange(-radius, radius + 1, device=device)
    weights_BK = (-0.5 * (steps_K / pixels_B[:, None]) ** 2).softmax(1)
    sharp_B = torch.rand(rows, device=device) >= probability
    weights_BK = torch.where(sharp_B[:, None], (steps_K == 0).float(), weights_BK)
    return convolved(images_B3HW, weights_BK)


def convolved(images_B3HW: Tensor, weights_BK: Tensor) -> Tensor:
    """Each image by its own weights, down and across; the edges are reflected."""
    rows, channels, height, width = images_B3HW.shape
    flat_1CHW = images_B3HW.reshape(1, rows * channels, height, width)
    kernels_C1K = weights_BK.repeat_interleave(channels, 0)[:, None]
    radius = weights_BK.shape[1] // 2
    padded_1CHW = F.pad(flat_1CHW, (radius, radius, radius, radius), mode="reflect")
    down_1CHW = F.conv2d(padded_1CHW, kernels_C1K[..., None], groups=len(kernels_C1K))
    both_1CHW = F.conv2d(down_1CHW, kernels_C1K[..., None, :], groups=len(kernels_C1K))
    return both_1CHW.reshape(images_B3HW.shape)

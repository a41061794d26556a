"""What augmentations of a batch of images share.

All is drawn and computed where the images are, each image by its own numbers, so that a GPU is
never waited for. Images are floats from 0 to 255.

Shapes: B batch, H height, W width, T tries, I pixels of a line before and O after.
"""

import math

import torch
from torch import Tensor

TRIES = 10
GREY = (0.299, 0.587, 0.114)
"""Of red, green and blue in grey (ITU-R BT.601), nearly as torchvision has them."""


def uniform(shape: int | tuple[int, ...], low: float, high: float, device: torch.device) -> Tensor:
    """Numbers drawn evenly from `low` to `high`."""
    return low + (high - low) * torch.rand(shape, device=device)


def rectangles(
    rows: int,
    area: tuple[float, float],
    aspect: tuple[float, float],
    image_aspect: float,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """Widths and heights [B, 2] of random rectangles, as shares of an image's.

    As in torchvision's RandomResizedCrop and RandomErasing, areas and aspects are drawn until they
    fit, up to ten times; whether they do [B] is told.

    Args:
        rows: How many.
        area: The least and the greatest, as shares of the image's.
        aspect: The least and the greatest width by height.
        image_aspect: The image's width by height.
        device: Where they are drawn.
    """
    areas_TB = uniform((TRIES, rows), *area, device)
    low, high = map(math.log, aspect)
    aspects_TB = uniform((TRIES, rows), low, high, device).exp() / image_aspect
    sizes_TB2 = torch.stack([areas_TB * aspects_TB, areas_TB / aspects_TB], dim=2).sqrt()
    fits_TB = (sizes_TB2 <= 1).all(2)
    first_B = fits_TB.float().argmax(0)
    return sizes_TB2[first_B, torch.arange(rows, device=device)], fits_TB.any(0)


def resampling(starts_B: Tensor, steps_B: Tensor, before: int, after: int) -> Tensor:
    """Weights [B, O, I] by which pixels of a line become others: bilinear, antialiased.

    As in Pillow's and PyTorch's resizing, a pixel is the mean of those before by a triangle as wide
    as it and its neighbours. What lies outside the line has no weight.

    Args:
        starts_B: Where the first pixel begins, in pixels before.
        steps_B: How wide each is, in pixels before.
        before: How many pixels there are.
        after: How many there will be.
    """
    device = starts_B.device
    centres_BO = starts_B[:, None] + steps_B[:, None] * (torch.arange(after, device=device) + 0.5)
    distances_BOI = (torch.arange(before, device=device) + 0.5 - centres_BO[..., None]).abs()
    weights_BOI = (1 - distances_BOI / steps_B.clamp(min=1)[:, None, None]).clamp(min=0)
    return weights_BOI / weights_BOI.sum(2, keepdim=True).clamp(min=1e-6)


def resampled(images_B3HW: Tensor, down_BOI: Tensor, across_BOI: Tensor) -> Tensor:
    """Images by the weights of their lines, down and across."""
    return down_BOI[:, None] @ images_B3HW @ across_BOI[:, None].mT


def brightened(images_B3HW: Tensor, factors_B111: Tensor) -> Tensor:
    """Images times their factors."""
    return images_B3HW * factors_B111


def contrasted(images_B3HW: Tensor, factors_B111: Tensor) -> Tensor:
    """Distances from each image's mean grey times its factor."""
    return torch.lerp(grey(images_B3HW).mean((2, 3), keepdim=True), images_B3HW, factors_B111)


def saturated(images_B3HW: Tensor, factors_B111: Tensor) -> Tensor:
    """Distances from each pixel's grey times its image's factor."""
    return torch.lerp(grey(images_B3HW), images_B3HW, factors_B111)


def hue_turned(images_B3HW: Tensor, turns_B111: Tensor) -> Tensor:
    """HSV's hue shifted by so many full turns.

    Hues count in sixths of a turn. Back to red, green and blue as in
    https://en.wikipedia.org/wiki/HSL_and_HSV#HSV_to_RGB_alternative.
    """
    red, green, blue = images_B3HW.split(1, dim=1)
    high, low = images_B3HW.amax(1, keepdim=True), images_B3HW.amin(1, keepdim=True)
    chroma = high - low
    unit = torch.where(chroma == 0, 1.0, chroma)
    of_green, of_blue = 2 + (blue - red) / unit, 4 + (red - green) / unit
    hue = torch.where(high == green, of_green, of_blue)
    hue = torch.where(high == red, (green - blue) / unit, hue) + 6 * turns_B111
    sixths = torch.cat([hue + 5, hue + 3, hue + 1], dim=1) % 6
    return high - chroma * torch.minimum(sixths, 4 - sixths).clamp(0, 1)


def grey(images_B3HW: Tensor) -> Tensor:
    """Each pixel's grey, [B, 1, H, W]."""
    red, green, blue = images_B3HW.split(1, dim=1)
    return GREY[0] * red + GREY[1] * green + GREY[2] * blue

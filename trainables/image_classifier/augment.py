"""Augmentations of a batch of labelled images, on its device.

Every draw comes from PyTorch's global random state.

Shapes: B batch, H height, W width. Images are bytes [B, 3, H, W].
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import roi_align
from torchvision.transforms import v2

from trainables.config import at_least, require, share, up_to, within
from trainables.parts.data import Batch


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentConfig:
    """What happens to training images; by default nothing. In the order in which it happens."""

    crop_min_area: float = 1.0
    """A random part of at least this share of the area becomes the whole image; 1 = no cropping. Of
    images of data.path it is cut from more than `side` pixels, see data.kept_side."""
    overlay_probability: float = 0.0
    """A random colour is blended over the image, so that no colour alone is the answer; what is
    pasted has its own."""
    overlay_strength: float = 1.0
    """The most that the blended colour weighs; how much is drawn from 0 to this."""
    paste_probability: float = 0.0
    """A negative gets a shrunk positive of its batch pasted in, and is a positive from then on."""
    decoy_probability: float = 0.0
    """A negative gets a shrunk negative of its batch pasted in and stays one, so that edges alone
    say nothing."""
    paste_min_scale: float = 0.4
    """What is pasted is shrunk to between this and 90 % of the side."""
    mirror_probability: float = 0.0
    """The image is mirrored left to right; not for classes that differ by this, such as letters."""
    policy: Literal["none", "rand", "trivial"] = "none"
    """torchvision's RandAugment or TrivialAugmentWide: rotations, shifts, contrast, colours, and so
    on."""
    policy_magnitude: int = 9
    """Strength of RandAugment, 0 to 30."""
    erase_probability: float = 0.0
    """A random rectangle of 2 to 33 % of the area is blackened."""
    mixup_alpha: float = 0.0
    """Images of a batch are blended in pairs, labels too, by a share from Beta(alpha, alpha); 0 =
    never."""
    cutmix_alpha: float = 0.0
    """Rectangles are exchanged within pairs, labels by area; beside mixup, either is done to half
    of the batches."""

    def __post_init__(self) -> None:
        probabilities = ("paste", "decoy", "overlay", "mirror", "erase")
        share(self, *(f"{name}_probability" for name in probabilities))
        share(self, "overlay_strength")
        up_to(self, 1, "crop_min_area")
        up_to(self, MAX_SCALE, "paste_min_scale")
        within(self, 0, 30, "policy_magnitude")
        both = self.paste_probability + self.decoy_probability
        require(both <= 1, "paste_probability + decoy_probability must not exceed 1", sum=both)
        at_least(self, 0, "mixup_alpha", "cutmix_alpha")


MAX_SCALE = 0.9
CROP_ASPECTS = (3 / 4, 4 / 3)
CROP_TRIES = 10


def augmented(config: AugmentConfig, batch: Batch, side: int) -> Batch:
    """A batch with `images`, `labels` [B] and `positive` [B], varied, of `side` x `side` pixels.

    Images that were mixed are floats from 0 to 255, and `mixing` [B, B] says what share of each
    row's label comes from which row.
    """
    batch = cropped(batch, config.crop_min_area, side)
    images = overlaid(batch["images"], config.overlay_probability, config.overlay_strength)
    batch = pasted(
        batch | {"images": images},
        config.paste_probability,
        config.decoy_probability,
        config.paste_min_scale,
    )
    images = mirrored(batch["images"], config.mirror_probability)
    transform = each_image(config)
    if transform is not None:
        images = torch.stack([transform(image) for image in images])
    return mixed(batch | {"images": images}, config.mixup_alpha, config.cutmix_alpha)


def cropped(batch: Batch, min_area: float, side: int) -> Batch:
    """The batch with a random part of each image as `images` [B, 3, side, side].

    Args:
        batch: With `images` [B, 3, H, W], and `sizes` [B, 2] where these fill a part of that.
        min_area: The least share of an image's area; 1 leaves the images as they are.
        side: In pixels.
    """
    if min_area == 1:
        return batch
    images_B3HW = batch["images"]
    whole = torch.tensor(images_B3HW.shape[-2:]).expand(len(images_B3HW), 2)
    sizes_B2 = batch.get("sizes", whole.to(images_B3HW.device))
    numbers_B1 = torch.arange(len(images_B3HW), device=images_B3HW.device)[:, None]
    rois_B5 = torch.cat([numbers_B1, crop_boxes(sizes_B2, min_area)], 1)
    # With no fixed number of samples, `roi_align` averages over all pixels of the part.
    parts_B3SS = roi_align(images_B3HW.float(), rois_B5, side, sampling_ratio=-1, aligned=True)
    return {**batch, "images": parts_B3SS.round().to(torch.uint8)}


def crop_boxes(sizes_B2: Tensor, min_area: float) -> Tensor:
    """A random part of each image, as corners x1, y1, x2, y2 in pixels: [B, 4].

    They are those of torchvision's RandomResizedCrop but for its rounding to whole pixels: areas
    and the logarithms of aspects are uniform, the first of ten tries that fits is taken, and if
    none does the middle.

    Args:
        sizes_B2: Height and width of each image.
        min_area: The least share of the area.
    """
    height_B1, width_B1 = sizes_B2.float().split(1, dim=1)
    areas_BT, aspects_BT = torch.rand(2, len(sizes_B2), CROP_TRIES).to(sizes_B2.device)
    low, high = CROP_ASPECTS
    areas_BT = torch.lerp(torch.full_like(areas_BT, min_area), torch.ones_like(areas_BT), areas_BT)
    areas_BT, aspects_BT = areas_BT * height_B1 * width_B1, low * (high / low) ** aspects_BT
    tall_BT, wide_BT = (areas_BT / aspects_BT).sqrt(), (areas_BT * aspects_BT).sqrt()
    fits_BT = (tall_BT <= height_B1) & (wide_BT <= width_B1)
    first_B1, any_B1 = fits_BT.int().argmax(1, keepdim=True), fits_BT.any(1, keepdim=True)
    tall_B1 = torch.where(any_B1, tall_BT.gather(1, first_B1), height_B1.minimum(width_B1 / low))
    wide_B1 = torch.where(any_B1, wide_BT.gather(1, first_B1), width_B1.minimum(height_B1 * high))
    down_B1, right_B1 = torch.rand(2, len(sizes_B2), 1).to(sizes_B2.device)
    top_B1 = (height_B1 - tall_B1) * torch.where(any_B1, down_B1, 0.5)
    left_B1 = (width_B1 - wide_B1) * torch.where(any_B1, right_B1, 0.5)
    return torch.cat([left_B1, top_B1, left_B1 + wide_B1, top_B1 + tall_B1], 1)


def pasted(batch: Batch, positives: float, decoys: float, min_scale: float) -> Batch:
    """The batch with something pasted into some of its negatives.

    One that holds a positive is a positive; others hold another negative, as decoys.

    Pasting puts positives on grounds that only negatives have; the original it came from stays in
    the batch as it is. Where the batch has no positive (or no negative), none can be pasted.

    Args:
        batch: With `images`, `labels` and `positive`.
        positives: The share of negatives into which a positive is pasted.
        decoys: The share into which a negative is pasted.
        min_scale: The least size of what is pasted, as a share of the side.
    """
    if positives + decoys == 0:
        return batch
    is_positive = batch["positive"].tolist()
    givers = {
        kind: [row for row, is_it in enumerate(is_positive) if is_it is kind]
        for kind in (True, False)
    }
    images, labels, positive = (batch[name].clone() for name in ("images", "labels", "positive"))
    for row in givers[False]:
        draw = float(torch.rand(()))
        wanted = draw < positives
        if draw < positives + decoys and givers[wanted]:
            giver = givers[wanted][int(torch.randint(len(givers[wanted]), ()))]
            paste_into(images[row], batch["images"][giver], min_scale)
            labels[row], positive[row] = (labels[giver], True) if wanted else (labels[row], False)
    return batch | {"images": images, "labels": labels, "positive": positive}


def paste_into(image_3HW: Tensor, other_3HW: Tensor, min_scale: float) -> None:
    """Put `other`, shrunk, somewhere into `image`, in place."""
    height, width = image_3HW.shape[-2:]
    scale, down, right = (float(draw) for draw in torch.rand(3))
    scale = min_scale + (MAX_SCALE - min_scale) * scale
    rows, columns = max(1, round(scale * height)), max(1, round(scale * width))
    top, left = round(down * (height - rows)), round(right * (width - columns))
    small = F.interpolate(
        other_3HW[None].float(), size=(rows, columns), mode="bilinear", antialias=True
    )[0]
    image_3HW[:, top : top + rows, left : left + columns] = small.round().to(image_3HW.dtype)


def overlaid(images_B3HW: Tensor, probability: float, strength: float) -> Tensor:
    """Bytes, some of them under a random colour, with a random weight from 0 to `strength`."""
    if probability == 0:
        return images_B3HW
    rows, device = len(images_B3HW), images_B3HW.device
    colours_B311 = 255 * torch.rand(rows, 3, 1, 1).to(device)
    weights_B111 = (strength * torch.rand(rows, 1, 1, 1) * drawn_rows(rows, probability)).to(device)
    return torch.lerp(images_B3HW.float(), colours_B311, weights_B111).round().to(torch.uint8)


def mirrored(images_B3HW: Tensor, probability: float) -> Tensor:
    """The images, some of them left to right."""
    if probability == 0:
        return images_B3HW
    return torch.where(
        drawn_rows(len(images_B3HW), probability).to(images_B3HW.device),
        images_B3HW.flip(-1),
        images_B3HW,
    )


def drawn_rows(rows: int, probability: float) -> Tensor:
    """Which rows something is done to, [B, 1, 1, 1].

    Drawn on the CPU, so that all devices do the same.
    """
    return torch.rand(rows, 1, 1, 1) < probability


@lru_cache(maxsize=16)
def each_image(config: AugmentConfig) -> Callable[[Tensor], Tensor] | None:
    """The augmentations of torchvision for one image, or None where the settings ask for none."""
    steps: list[Callable[[Tensor], Tensor]] = []
    if config.policy == "rand":
        steps.append(v2.RandAugment(magnitude=config.policy_magnitude))
    if config.policy == "trivial":
        steps.append(v2.TrivialAugmentWide())
    if config.erase_probability > 0:
        steps.append(v2.RandomErasing(config.erase_probability))
    return v2.Compose(steps) if steps else None


def mixed(batch: Batch, mixup_alpha: float, cutmix_alpha: float) -> Batch:
    """The batch after torchvision's MixUp or CutMix.

    `mixing` [B, B] has the share of each image (column) in each result (row).
    """
    ways = [v2.MixUp(alpha=mixup_alpha)] if mixup_alpha > 0 else []
    ways += [v2.CutMix(alpha=cutmix_alpha)] if cutmix_alpha > 0 else []
    if not ways:
        return batch
    images_B3HW = batch["images"].float()
    way = ways[int(torch.randint(len(ways), ()))]
    images_B3HW, mixing_BB = way(
        images_B3HW, torch.eye(len(images_B3HW), device=images_B3HW.device)
    )
    return batch | {"images": images_B3HW, "mixing": mixing_BB}

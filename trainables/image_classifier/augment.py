"""Augmentations of a batch of labelled images, each by its own draws, on the batch's device.

Every draw comes from PyTorch's global random state of that device.

Shapes: B batch, H height, W width. Images are bytes [B, 3, H, W].
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torchvision.ops import roi_align
from torchvision.transforms import v2

from trainables.config import at_least, require, share, up_to, within
from trainables.image_classifier.policies import rand_augmented, trivially_augmented
from trainables.parts.augment import rectangles, resampled, resampling, uniform
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
ERASED_AREA, ERASED_ASPECT = (0.02, 0.33), (0.3, 3.3)


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
    if config.policy == "rand":
        images = rand_augmented(images, config.policy_magnitude)
    if config.policy == "trivial":
        images = trivially_augmented(images)
    images = erased(images, config.erase_probability)
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
    rows, device = len(images_B3HW), images_B3HW.device
    whole = [torch.full((rows, 1), pixels, device=device) for pixels in images_B3HW.shape[-2:]]
    sizes_B2 = batch.get("sizes", torch.cat(whole, dim=1))
    numbers_B1 = torch.arange(rows, device=device)[:, None]
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
    areas_BT, aspects_BT = torch.rand(2, len(sizes_B2), CROP_TRIES, device=sizes_B2.device)
    low, high = CROP_ASPECTS
    areas_BT = torch.lerp(torch.full_like(areas_BT, min_area), torch.ones_like(areas_BT), areas_BT)
    areas_BT, aspects_BT = areas_BT * height_B1 * width_B1, low * (high / low) ** aspects_BT
    tall_BT, wide_BT = (areas_BT / aspects_BT).sqrt(), (areas_BT * aspects_BT).sqrt()
    fits_BT = (tall_BT <= height_B1) & (wide_BT <= width_B1)
    first_B1, any_B1 = fits_BT.int().argmax(1, keepdim=True), fits_BT.any(1, keepdim=True)
    tall_B1 = torch.where(any_B1, tall_BT.gather(1, first_B1), height_B1.minimum(width_B1 / low))
    wide_B1 = torch.where(any_B1, wide_BT.gather(1, first_B1), width_B1.minimum(height_B1 * high))
    down_B1, right_B1 = torch.rand(2, len(sizes_B2), 1, device=sizes_B2.device)
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
    images, labels_B, positive_B = batch["images"], batch["labels"], batch["positive"]
    draws_B = torch.rand(len(images), device=images.device)
    wanted_B = draws_B < positives
    # Who gives is the row with the highest number among those of the wanted kind.
    numbers_BB = torch.rand(len(images), len(images), device=images.device)
    numbers_BB = numbers_BB.masked_fill(positive_B != wanted_B[:, None], -1)
    highest_B, givers_B = numbers_BB.max(1)
    happens_B = ~positive_B & (draws_B < positives + decoys) & (highest_B >= 0)
    becomes_B = happens_B & wanted_B
    return batch | {
        "images": with_patches(images, images[givers_B], happens_B, min_scale),
        "labels": torch.where(becomes_B, labels_B[givers_B], labels_B),
        "positive": positive_B | becomes_B,
    }


def with_patches(
    images_B3HW: Tensor, others_B3HW: Tensor, happens_B: Tensor, min_scale: float
) -> Tensor:
    """The images, some of them with another one, shrunk, put somewhere into them."""
    rows, _, height, width = images_B3HW.shape
    scales_B = uniform(rows, min_scale, MAX_SCALE, images_B3HW.device)
    lines, inside = [], happens_B[:, None, None, None]
    for axis, pixels in ((2, height), (3, width)):
        sizes_B = (scales_B * pixels).round().clamp(min=1)
        starts_B = (torch.rand_like(scales_B) * (pixels - sizes_B)).round()
        steps_B = pixels / sizes_B
        lines.append(resampling(-starts_B * steps_B, steps_B, pixels, pixels))
        inside = inside & stretches(starts_B, sizes_B, pixels, axis)
    patches = resampled(others_B3HW.float(), *lines).round().to(images_B3HW.dtype)
    return torch.where(inside, patches, images_B3HW)


def stretches(starts_B: Tensor, sizes_B: Tensor, pixels: int, axis: int) -> Tensor:
    """Which pixels of an axis have their centres in a stretch, with four dimensions."""
    centres = torch.arange(pixels, device=starts_B.device) + 0.5
    after_B = centres - starts_B[:, None]
    inside_B = (after_B > 0) & (after_B < sizes_B[:, None])
    return inside_B[:, None, :, None] if axis == 2 else inside_B[:, None, None, :]


def overlaid(images_B3HW: Tensor, probability: float, strength: float) -> Tensor:
    """Bytes, some of them under a random colour, with a random weight from 0 to `strength`."""
    if probability == 0:
        return images_B3HW
    rows, device = len(images_B3HW), images_B3HW.device
    colours_B311 = 255 * torch.rand(rows, 3, 1, 1, device=device)
    weights_B111 = strength * torch.rand(rows, 1, 1, 1, device=device)
    weights_B111 = weights_B111 * drawn_rows(rows, probability, device)
    return torch.lerp(images_B3HW.float(), colours_B311, weights_B111).round().to(torch.uint8)


def mirrored(images_B3HW: Tensor, probability: float) -> Tensor:
    """The images, some of them left to right."""
    if probability == 0:
        return images_B3HW
    turned_B111 = drawn_rows(len(images_B3HW), probability, images_B3HW.device)
    return torch.where(turned_B111, images_B3HW.flip(-1), images_B3HW)


def drawn_rows(rows: int, probability: float, device: torch.device) -> Tensor:
    """Which rows something is done to, [B, 1, 1, 1]."""
    return torch.rand(rows, 1, 1, 1, device=device) < probability


def erased(images_B3HW: Tensor, probability: float) -> Tensor:
    """The images, some of them with a black rectangle."""
    if probability == 0:
        return images_B3HW
    rows, _, height, width = images_B3HW.shape
    device = images_B3HW.device
    sizes_B2, fits_B = rectangles(rows, ERASED_AREA, ERASED_ASPECT, width / height, device)
    starts_B2 = (1 - sizes_B2) * torch.rand_like(sizes_B2)
    erased_BHW = drawn_rows(rows, probability, device) & fits_B[:, None, None, None]
    for axis, pixels in ((3, width), (2, height)):
        starts_B, shares_B = starts_B2[:, 3 - axis], sizes_B2[:, 3 - axis]
        erased_BHW = erased_BHW & stretches(starts_B * pixels, shares_B * pixels, pixels, axis)
    return images_B3HW.masked_fill(erased_BHW, 0)


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

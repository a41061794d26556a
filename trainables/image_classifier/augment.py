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
from torchvision.transforms import v2

from trainables.config import at_least, require, share, up_to, within
from trainables.parts.data import Batch


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentConfig:
    """What happens to training images; by default nothing. In the order in which it happens."""

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
    crop_min_area: float = 1.0
    """A random part of at least this share of the area is enlarged to the whole; 1 = no
    cropping."""
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


def augmented(config: AugmentConfig, batch: Batch) -> Batch:
    """A batch with `images`, `labels` [B] and `positive` [B], varied.

    Images that were mixed are floats from 0 to 255, and `mixing` [B, B] says what share of each
    row's label comes from which row.
    """
    images = overlaid(batch["images"], config.overlay_probability, config.overlay_strength)
    batch = pasted(
        batch | {"images": images},
        config.paste_probability,
        config.decoy_probability,
        config.paste_min_scale,
    )
    images = mirrored(batch["images"], config.mirror_probability)
    transform = each_image(config, (images.shape[-2], images.shape[-1]))
    if transform is not None:
        images = torch.stack([transform(image) for image in images])
    return mixed(batch | {"images": images}, config.mixup_alpha, config.cutmix_alpha)


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
def each_image(config: AugmentConfig, size: tuple[int, int]) -> Callable[[Tensor], Tensor] | None:
    """The augmentations of torchvision for one image, or None where the settings ask for none."""
    steps: list[Callable[[Tensor], Tensor]] = []
    if config.crop_min_area < 1:
        steps.append(v2.RandomResizedCrop(size, scale=(config.crop_min_area, 1.0), antialias=True))
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

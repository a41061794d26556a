"""Images and their labels varied together: the same flip, turn and crop for both.

Colors and blur for the image alone.

Shapes: B batch, H height, W width.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2

from trainables.config import positive, require, share, up_to, within
from trainables.segmentation.losses import IGNORED

CROP_ASPECT = (3 / 4, 4 / 3)


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


class AlignedResizedCrop(v2.RandomResizedCrop):
    """A random resized crop whose labels are the nearest pixels by their centers.

    The plain one takes labels by their corners, up to half a pixel away from where the image's
    interpolation looks.
    """

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Crop an image or a mask."""
        if not isinstance(inpt, tv_tensors.Mask):
            return super().transform(inpt, params)
        label_1HW, size = inpt.as_subclass(Tensor)[None], list(self.size)
        nearest = InterpolationMode.NEAREST_EXACT
        cropped_1HW = v2.functional.resized_crop_image(
            label_1HW, **params, size=size, interpolation=nearest
        )
        return tv_tensors.wrap(cropped_1HW[0], like=inpt)


@lru_cache(maxsize=8)
def transforms(augment: AugmentConfig, height: int, width: int) -> v2.Compose:
    """What is done to one image and its label, in this order; what has no strength is left out."""
    steps: list[v2.Transform] = []
    if augment.crop < 1:
        steps.append(
            AlignedResizedCrop((height, width), scale=(augment.crop, 1.0), ratio=CROP_ASPECT)
        )
    if augment.flip > 0:
        steps.append(v2.RandomHorizontalFlip(augment.flip))
    if augment.rotation_degrees > 0:
        fill: Any = {tv_tensors.Image: 0, tv_tensors.Mask: IGNORED}
        steps.append(
            v2.RandomRotation(augment.rotation_degrees, InterpolationMode.BILINEAR, fill=fill)
        )
    if augment.color > 0:
        color = augment.color
        steps.append(
            v2.ColorJitter(brightness=color, contrast=color, saturation=color, hue=color / 4)
        )
    if augment.blur > 0:
        kernel = 2 * min(round(3 * augment.blur_pixels), (min(height, width) - 1) // 2) + 1
        blur = v2.GaussianBlur(kernel, sigma=(0.1, max(0.1, augment.blur_pixels)))
        steps.append(v2.RandomApply([blur], p=augment.blur))
    return v2.Compose([*steps, v2.Identity()])


def augmented(
    augment: AugmentConfig, images_B3HW: Tensor, labels_BHW: Tensor
) -> tuple[Tensor, Tensor]:
    """Each image varied on its own, together with its label.

    Raises:
        ValueError: when an image or a label comes out in another shape.
    """
    transform = transforms(augment, *labels_BHW.shape[-2:])
    pairs = [
        transform(tv_tensors.Image(image_3HW), tv_tensors.Mask(label_HW))
        for image_3HW, label_HW in zip(images_B3HW, labels_BHW, strict=True)
    ]
    for image, label in pairs:
        require(
            image.shape == images_B3HW.shape[1:] and label.shape == labels_BHW.shape[1:],
            "augmentation must keep the shapes of image and label",
            image=tuple(image.shape),
            label=tuple(label.shape),
        )
    images, labels = (
        [part.as_subclass(torch.Tensor) for part in parts] for parts in zip(*pairs, strict=True)
    )
    return torch.stack(images), torch.stack(labels)

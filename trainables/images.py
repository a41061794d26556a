"""Images: read from folders, composed of embedded digits, and prepared for a network.

Shapes: B batch, C channels, H height, W width. Images are kept as bytes [N, 3, H, W] and normalized on the device.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def image_files(folder: Path) -> list[Path]:
    """The images directly in a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_ENDINGS and path.is_file())


def read_image(path: Path, height: int, width: int) -> np.ndarray:
    """An image as bytes [3, H, W]: upright as its EXIF says, RGB, resized (bilinear, antialiased).

    Raises:
        ValueError: when the file is no image, or is cut short.
    """
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
            resized = upright.resize((width, height), Image.Resampling.BILINEAR)
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"can't be read as an image: {error}") from error
    return np.asarray(resized).transpose(2, 0, 1)


def normalized(images_BCHW: Tensor) -> Tensor:
    """Bytes 0-255 to floats with ImageNet's mean and standard deviation, channels last in memory."""
    mean, std = (torch.tensor(v, device=images_BCHW.device)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
    return ((images_BCHW.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


@lru_cache(maxsize=4)
def digit_strokes(side: int) -> tuple[Tensor, Tensor]:
    """scikit-learn's 1,797 handwritten digits enlarged (bicubic): ink from 0 to 1 [N, side, side], and classes [N]."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    small_N1HW = torch.from_numpy(digits.images).float()[:, None] / 16
    large_N1HW = F.interpolate(small_N1HW, size=(side, side), mode="bicubic", antialias=True)
    return large_N1HW.squeeze(1).clamp(0, 1), torch.from_numpy(digits.target).long()

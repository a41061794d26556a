"""What is trained: the model and the data of a built-in space, small or at full size.

Shapes: N rows, T tokens, W width of features, H height, W width of images.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2

from search_spaces import load_space
from trainables.config import build_config, flat_fields
from trainables.parts.data import Splits, TensorSplit
from trainables.task import Task, load_task
from trainables.training import new_learner

Sample = dict[str, Tensor]
NO_DATA = {"data.path": None, "data.vocab": None, "data.positive": None}
EASIER = {
    "model.weights": "none",
    # What only our task does to a batch as a whole is left out for all.
    "data.paste_probability": 0.0,
    "data.decoy_probability": 0.0,
    "data.mixup_alpha": 0.0,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Workload:
    """A task with its configuration and its data.

    Attributes:
        name: The space that it is of.
        task: What is trained.
        config: By hand: the space's first start point.
        splits: Its data.
    """

    name: str
    task: Task
    config: Any
    splits: Splits

    def model(self) -> nn.Module:
        """A new model, the same for every loop."""
        torch.manual_seed(0)
        device = torch.device("cpu")
        return new_learner(self.task, self.config, self.splits, device).model


class Samples(Dataset[Sample]):
    """The training split, augmented sample by sample, as the sources and most code do."""

    def __init__(self, workload: Workload):
        self._tensors = workload.splits.train.tensors
        self._varied = sample_augmentation(workload.config)

    def __len__(self) -> int:
        return len(next(iter(self._tensors.values())))

    def __getitem__(self, row: int) -> Sample:
        return self._varied({name: tensor[row] for name, tensor in self._tensors.items()})


def workload(space_name: str, *, full: bool, rows: int | None = None) -> Workload:
    """A space's, with embedded data; at full size, with so many rows of the right shape."""
    space = load_space(f"{space_name}_full" if full else space_name)
    task = load_task(space.task)
    assert isinstance(task, Task)
    known = flat_fields(task.Config)
    values = {**space.fixed, **space.start[0], **EASIER, **NO_DATA}
    config: Any = build_config(
        task.Config, {name: values[name] for name in values if name in known}
    )
    splits = task.data(config, 0)
    if full:
        splits = FULL_SIZE[space.task](splits, config, rows or 4 * config.data.batch_size)
    return Workload(name=space.name, task=task, config=config, splits=splits)


# Data of full size --------------------------------------------------------------------------------


def long_sequences(splits: Any, config: Any, rows: int) -> Splits:
    """Sequences of 800 to 1,024 tokens."""
    most = config.data.max_tokens
    lengths_N = torch.randint(800, most + 1, (rows,))
    tensors = {
        "tokens": torch.randint(5, splits.vocabulary.size, (rows, most)),
        "labels": torch.arange(rows) % 10,
        "cls": lengths_N - 2,
        "last": lengths_N - 1,
        "length": lengths_N,
    }
    train = TensorSplit(tensors=tensors, lengths_N=lengths_N)
    return replace(splits, train=train, max_tokens=most)


def large_features(splits: Any, config: Any, rows: int) -> Splits:
    """Features as Qwen2.5-VL-3B gives them."""
    features_NTW = torch.randn(rows, 256, 2048).bfloat16()
    return replace(splits, train=TensorSplit(tensors={"features": features_NTW}))


def large_scenes(splits: Any, config: Any, rows: int) -> Splits:
    """Images with labels."""
    size, classes = config.data.size, len(splits.classes.names)
    tensors = {
        "images": torch.randint(256, (rows, 3, *size), dtype=torch.uint8),
        "labels": torch.randint(classes, (rows, *size), dtype=torch.uint8),
    }
    return replace(splits, train=TensorSplit(tensors=tensors))


def large_images(splits: Any, config: Any, rows: int) -> Splits:
    """Images of classes."""
    side, labels_N = config.data.side, torch.arange(rows) % 2
    tensors = {
        "images": torch.randint(256, (rows, 3, side, side), dtype=torch.uint8),
        "labels": labels_N,
        "positive": labels_N == 1,
    }
    return replace(splits, train=TensorSplit(tensors=tensors))


FULL_SIZE: dict[str, Callable[[Any, Any, int], Splits]] = {
    "gpt2_classifier": long_sequences,
    "low_rank": large_features,
    "segmentation": large_scenes,
    "image_classifier": large_images,
}


# Augmentation, sample by sample -------------------------------------------------------------------


def sample_augmentation(config: Any) -> Callable[[Sample], Sample]:
    """What the configuration asks for, by torchvision's transforms of one image."""
    if hasattr(config, "augment"):
        return scene_augmentation(config.augment)
    if hasattr(config.data, "mirror_probability"):
        return image_augmentation(config.data)
    return lambda sample: sample


def scene_augmentation(augment: Any) -> Callable[[Sample], Sample]:
    """Flip, turn and blur of an image with its label."""
    fill: Any = {tv_tensors.Image: 0, tv_tensors.Mask: 255}
    turn = v2.RandomRotation(augment.rotation_degrees, InterpolationMode.BILINEAR, fill=fill)
    blur = v2.GaussianBlur(13, sigma=(0.1, augment.blur_pixels))
    varied = v2.Compose(
        [v2.RandomHorizontalFlip(augment.flip), turn, v2.RandomApply([blur], p=augment.blur)]
    )

    def augmented(sample: Sample) -> Sample:
        image, label = varied(tv_tensors.Image(sample["images"]), tv_tensors.Mask(sample["labels"]))
        return {**sample, "images": image.as_subclass(Tensor), "labels": label.as_subclass(Tensor)}

    return augmented


def image_augmentation(data: Any) -> Callable[[Sample], Sample]:
    """A colour laid over it, a crop, a mirror."""
    crop = v2.RandomResizedCrop(data.side, scale=(data.crop_min_area, 1.0), antialias=True)
    steps = [crop] if data.crop_min_area < 1 else []
    varied = v2.Compose([*steps, v2.RandomHorizontalFlip(data.mirror_probability)])

    def augmented(sample: Sample) -> Sample:
        image = sample["images"]
        if torch.rand(()) < data.overlay_probability:
            weight, colour = torch.rand(()) * data.overlay_strength, 255 * torch.rand(3, 1, 1)
            image = torch.lerp(image.float(), colour, weight).round().to(torch.uint8)
        return {**sample, "images": varied(image)}

    return augmented

"""Weights to begin with: the published ones of torchvision and transformers, or a file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.models import get_weight

from trainables.config import TaskError
from trainables.segmentation.models import Segmenter

MASK2FORMER = "facebook/mask2former-swin-large-coco-panoptic"
TORCHVISION = {
    ("deeplabv3", "resnet50"): "DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1",
    ("deeplabv3", "resnet101"): "DeepLabV3_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1",
    ("fcn", "resnet50"): "FCN_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1",
    ("fcn", "resnet101"): "FCN_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1",
}
LIBRARY_PREFIXES = {"mask2former": "net.mask2former."}
NOT_WANTED = (
    "net.aux_classifier.",
    "net.classifier.4.",
    "net.mask2former.criterion.",
)  # heads of the libraries' own
REPLACED = {"class_predictor.weight", "class_predictor.bias", "criterion.empty_weight"}
SHOWN_NAMES = 3

State = Mapping[str, Tensor]


def torchvision_weights(architecture: str, backbone: str) -> tuple[State, str]:
    """The published state dict of a torchvision network, from its cache or the net, and its name.

    Raises:
        TaskError: when it is neither in the cache nor can be downloaded.
    """
    name = TORCHVISION[architecture, backbone]
    weights = get_weight(name)
    try:
        return weights.get_state_dict(progress=False, check_hash=True, weights_only=True), name
    except (OSError, RuntimeError) as error:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise TaskError(
            f"model.weights pretrained: {name} is not in {folder}, and {weights.url} can't be "
            f"downloaded ({error}); put that file into that folder, or name a file of your own as "
            "model.weights_path, or set model.weights to none"
        ) from error


def published_mask2former() -> Path:
    """The folder of the published Mask2Former, from Hugging Face's cache or the net.

    Raises:
        TaskError: when it is neither in the cache nor can be downloaded.
    """
    from huggingface_hub import snapshot_download

    try:
        files = ["config.json", "model.safetensors", "pytorch_model.bin"]
        return Path(snapshot_download(MASK2FORMER, allow_patterns=files))
    except OSError as error:
        raise TaskError(
            f"model.weights pretrained: {MASK2FORMER} is not in Hugging Face's cache and can't be "
            f"downloaded ({_first_line(error)}); run `hf download {MASK2FORMER}` where there is a "
            "network and name that folder as model.weights_path, or set model.weights to none"
        ) from error


def mask2former_from(folder: Path, config: Any) -> Any:
    """The Mask2Former that transformers saved in a folder, with a class predictor for the classes of `config`.

    Raises:
        TaskError: when it can't be read, or is of another size than `config`.
    """
    from transformers import Mask2FormerForUniversalSegmentation

    try:
        net, info = Mask2FormerForUniversalSegmentation.from_pretrained(
            folder,
            config=config,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            weights_only=True,
        )
    except Exception as error:
        raise TaskError(
            f"{folder}: can't be read as a Mask2Former of transformers: {_first_line(error)}"
        ) from error
    mismatched = {name if isinstance(name, str) else name[0] for name in info["mismatched_keys"]}
    misfits = (mismatched | set(info["missing_keys"])) - REPLACED
    if misfits:
        raise TaskError(
            f"{folder}: a Mask2Former of another size: {_some(misfits)} don't fit this one"
        )
    return net


def read_weights(path: Path) -> State:
    """The state dict in a file: `.safetensors`, or PyTorch's own, also as a trial's best checkpoint holds it.

    Raises:
        TaskError: when it can't be read without unpickling code, or holds no state dict.
    """
    try:
        state = _read(path)
    except Exception as error:
        raise TaskError(f"{path}: can't be read as weights: {_first_line(error)}") from error
    if isinstance(state, Mapping) and isinstance(state.get("model"), Mapping):
        state = state["model"]
    if (
        not isinstance(state, Mapping)
        or not state
        or not all(isinstance(value, Tensor) for value in state.values())
    ):
        raise TaskError(f"{path}: holds no state dict (a map from names to tensors)")
    return state


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def begin_from(model: Segmenter, state: State, *, architecture: str, source: str) -> None:
    """Load weights that have the model's own names, or those of the library that its network comes from.

    All below the head must fit. The head is loaded too if all of it fits, and stays new if not.

    Raises:
        TaskError: names what is missing, unknown or of another shape.
    """
    own = model.state_dict()
    prefix = (
        ""
        if any(name.startswith("net.") for name in state)
        else LIBRARY_PREFIXES.get(architecture, "net.")
    )
    found = {prefix + name: value for name, value in state.items()}
    head = {name for name in own if name.startswith(_head_prefixes(model))}
    fitting = {name for name in own if name in found and found[name].shape == own[name].shape}
    problems = _misfits(own.keys() - head, found, own, fitting)
    if problems:
        raise TaskError(f"{source}: doesn't fit this {architecture}: {'; '.join(problems)}")
    wanted = fitting if head <= fitting else fitting - head
    model.load_state_dict({name: found[name] for name in wanted}, strict=False)


def _misfits(needed: set[str], found: State, own: State, fitting: set[str]) -> list[str]:
    missing = needed - found.keys()
    unknown = {name for name in found.keys() - own.keys() if not name.startswith(NOT_WANTED)}
    other = {
        f"{name} {list(found[name].shape)} for {list(own[name].shape)}"
        for name in needed - fitting - missing
    }
    kinds = {"lacks": missing, "has the unknown": unknown, "has other shapes:": other}
    return [f"{what} {_some(names)}" for what, names in kinds.items() if names]


def _head_prefixes(model: Segmenter) -> tuple[str, ...]:
    modules = {id(module) for module in model.stages[-1][1]}
    return tuple(f"{name}." for name, module in model.named_modules() if id(module) in modules)


def _some(names: set[str]) -> str:
    shown = sorted(names)[:SHOWN_NAMES]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

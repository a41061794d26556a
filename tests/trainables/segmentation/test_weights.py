"""Proves that weights to begin with are loaded whole or refused with what doesn't fit.

pytest tests/trainables
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from torch import Tensor

from tests.trainables.segmentation.test_task import config_of, each_architecture
from trainables.config import TaskError, build_config
from trainables.segmentation import weights
from trainables.segmentation.config import ModelConfig, SegmentationConfig
from trainables.segmentation.models import Segmenter
from trainables.segmentation.task import build_segmenter, mask2former_settings, new_segmenter
from trainables.segmentation.weights import begin_from

State = dict[str, Tensor]
Write = Callable[[Any, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Saves an object under a hostile name."""

    def save(content: Any, name: str = "weights 'Ω'.pt") -> Path:
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return save


def begun(architecture: str, path: Path, classes: int = 3) -> Segmenter:
    torch.manual_seed(1)
    return build_segmenter(config_of(architecture, model__weights_path=str(path)).model, classes)


def pretrained_state(architecture: str, classes: int = 3) -> State:
    torch.manual_seed(7)
    return new_segmenter(config_of(architecture).model, classes).state_dict()


def head_names(model: Segmenter) -> set[str]:
    head = {id(parameter) for parameter in model.head_parameters()}
    return {name for name, parameter in model.named_parameters() if id(parameter) in head}


@each_architecture
def test_a_file_of_the_same_model_is_loaded_whole(architecture: str, write: Write) -> None:
    state = pretrained_state(architecture)
    for content in (state, {"epoch": 3, "metrics": {"miou": 0.5}, "model": state}):
        loaded = begun(architecture, write(content, "w.pt")).state_dict()
        assert all(torch.equal(loaded[name], value) for name, value in state.items())


@each_architecture
def test_with_other_classes_only_the_head_is_new(architecture: str, write: Write) -> None:
    state = pretrained_state(architecture, classes=9)
    model = begun(architecture, write(state, "w.pt"))
    new, loaded = head_names(model), model.state_dict()
    assert new
    for name in dict(model.named_parameters()):
        same_shape = loaded[name].shape == state[name].shape
        varies = (
            same_shape and name in new and bool((state[name] != state[name].flatten()[0]).any())
        )
        assert (same_shape and torch.equal(loaded[name], state[name])) == (
            name not in new or (same_shape and not varies)
        )


@pytest.mark.parametrize("architecture", ["deeplabv3", "fcn"])
def test_torchvisions_own_file_is_loaded_but_for_its_last_layers(
    architecture: str, write: Write
) -> None:
    ours, new = pretrained_state(architecture), "net.classifier.4."
    theirs = {
        name.removeprefix("net."): value for name, value in ours.items() if not name.startswith(new)
    }
    assert {"classifier.1.weight", "classifier.2.bias"} & theirs.keys()
    channels = {"deeplabv3": 8, "fcn": 32}[architecture]
    theirs |= {
        "classifier.4.weight": torch.randn(21, channels, 1, 1),
        "classifier.4.bias": torch.randn(21),
        "aux_classifier.0.weight": torch.randn(3, 3),
    }
    loaded = begun(architecture, write(theirs, "w.pth")).state_dict()
    for name, value in ours.items():
        if not name.startswith("net.classifier.4.1."):  # a norm is the same when it is new
            assert torch.equal(loaded[name], value) != name.startswith(new), name


def test_a_safetensors_file_is_read(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = pretrained_state("unet")
    save_file(state, tmp_path / "w.safetensors")
    loaded = begun("unet", tmp_path / "w.safetensors").state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())


def without_stem(state: State) -> State:
    return {name: value for name, value in state.items() if not name.startswith("net.down.0.0.")}


MISFITS: dict[str, Callable[[State], Any]] = {
    "lacks net.down.0.0.weight": without_stem,
    "has unknown net.other": lambda state: state | {"net.other": torch.zeros(1)},
    "has other shapes: net.down.0.0.weight [2, 2] for [4, 3, 3, 3]": lambda state: (
        state | {"net.down.0.0.weight": torch.zeros(2, 2)}
    ),
    "and 61 more": lambda state: {"net.classify.bias": torch.zeros(3)},
    "holds no state dict": lambda state: [1, 2],
    "holds no state dict (a map": lambda state: {"net.classify.bias": 3},
    "holds no state dict (a map from": lambda state: {},
}


@pytest.mark.parametrize("message", MISFITS)
def test_weights_that_do_not_fit_are_refused_with_the_reason(message: str, write: Write) -> None:
    path = write(MISFITS[message](pretrained_state("unet")), "w 'Ω'.pt")
    with pytest.raises(TaskError) as caught:
        begun("unet", path)
    assert message in str(caught.value)
    assert "w 'Ω'.pt: " in str(caught.value)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("unpickled"),))


def test_no_code_in_a_file_is_run(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TaskError, match="can't be read as weights"):
        begun("unet", write({"net.classify.bias": Evil()}, "evil.pt"))
    assert not (tmp_path / "unpickled").exists()


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04 cut"])
@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_a_broken_file_is_refused(content: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TaskError, match=rf"{name}: can't be read as weights: ."):
        begun("unet", tmp_path / name)


def test_a_folder_is_no_unet(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="can't be read as weights"):
        begun("unet", tmp_path)


# Published weights
# --------------------------------------------------------------------------------------------------


def full(**values: Any) -> ModelConfig:
    named = {f"model.{name}": value for name, value in values.items()}
    config: SegmentationConfig = build_config(
        SegmentationConfig, named | {"model.weights": "pretrained"}
    )
    return config.model


@pytest.mark.parametrize("architecture", ["deeplabv3", "fcn"])
def test_without_cache_and_net_torchvisions_weights_are_asked_for(
    architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: Any, **__: Any) -> Any:
        raise URLError("no route to host")

    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with torch.device("meta"), pytest.raises(TaskError) as caught:
        build_segmenter(full(architecture=architecture, backbone="resnet50"), 3)
    assert str(tmp_path) in str(caught.value)
    assert "https://download.pytorch.org/models/" in str(caught.value)
    assert "no route to host" in str(caught.value)
    assert "model.weights_path" in str(caught.value)


def test_torchvisions_weights_are_taken_from_its_cache_without_unpickling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: dict[str, Any] = {}
    theirs = {"backbone.conv1.weight": torch.zeros(1)}

    def load(url: str, **options: Any) -> State:
        asked.update(options, url=url)
        return theirs

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", load)
    state, name = weights.torchvision_weights("deeplabv3", "resnet101")
    assert state is theirs
    assert "deeplabv3_resnet101_coco" in asked["url"]
    assert name == "DeepLabV3_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1"
    assert asked["weights_only"] is True
    assert asked["check_hash"] is True


def test_every_published_state_dict_exists_and_is_of_the_model_it_stands_for() -> None:
    from torchvision.models import get_weight
    from torchvision.models.segmentation import (
        deeplabv3_resnet50,
        deeplabv3_resnet101,
        fcn_resnet50,
        fcn_resnet101,
    )

    builders = {
        b.__name__: b
        for b in (deeplabv3_resnet50, deeplabv3_resnet101, fcn_resnet50, fcn_resnet101)
    }
    for (architecture, backbone), name in weights.TORCHVISION.items():
        assert f"{architecture}_{backbone}" in get_weight(name).url
        with torch.device("meta"):
            theirs = builders[f"{architecture}_{backbone}"](
                weights_backbone=None, aux_loss=True
            ).state_dict()
            ours = new_segmenter(ModelConfig(architecture=architecture, backbone=backbone), 3)  # type: ignore[arg-type]
            begin_from(ours, theirs, architecture=architecture, source=name)


def test_without_cache_and_net_mask2formers_weights_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(TaskError) as caught:
        build_segmenter(full(architecture="mask2former"), 3)
    assert "facebook/mask2former-swin-large-coco-panoptic" in str(caught.value)
    assert "hf download" in str(caught.value)
    assert "model.weights_path" in str(caught.value)


@pytest.fixture
def saved_mask2former(tmp_path: Path) -> tuple[Path, State]:
    """A folder in which transformers saved a tiny Mask2Former of 9 classes, and its state."""
    from transformers import Mask2FormerForUniversalSegmentation

    torch.manual_seed(7)
    net = Mask2FormerForUniversalSegmentation(
        mask2former_settings(config_of("mask2former").model, 9)
    )
    net.save_pretrained(tmp_path / "saved")
    return tmp_path / "saved", dict(net.state_dict())


def test_a_folder_of_transformers_gives_all_but_the_head(
    saved_mask2former: tuple[Path, State],
) -> None:
    folder, state = saved_mask2former
    loaded = begun("mask2former", folder).state_dict()
    for name, value in state.items():
        if not name.startswith(("class_predictor", "criterion")):
            assert torch.equal(loaded[f"net.mask2former.{name}"], value), name
    assert loaded["net.mask2former.class_predictor.weight"].shape == (3, 32)


def test_the_published_folder_is_read_the_same_way(
    saved_mask2former: tuple[Path, State], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, state = saved_mask2former
    monkeypatch.setattr("trainables.segmentation.task.mask2former_folder", lambda _: folder)
    model = build_segmenter(config_of("mask2former").model, 3)
    name = "model.transformer_module.queries_features.weight"
    assert torch.equal(model.state_dict()[f"net.mask2former.{name}"], state[name])


def test_a_mask2former_of_another_size_is_refused(saved_mask2former: tuple[Path, State]) -> None:
    folder, _ = saved_mask2former
    other = config_of("mask2former", model__weights_path=str(folder), model__queries=5)
    with pytest.raises(
        TaskError, match=r"another size: model\.transformer_module\.queries_embedder\.weight"
    ):
        build_segmenter(other.model, 3)
    deeper = config_of("mask2former", model__weights_path=str(folder), model__pixel_layers=2)
    with pytest.raises(
        TaskError, match=r"another size: model\.pixel_level_module\.decoder\.encoder\.layers\.1"
    ):
        build_segmenter(deeper.model, 3)


def test_a_folder_that_is_no_mask2former_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="can't be read as a Mask2Former of transformers"):
        begun("mask2former", tmp_path)

"""Proves that features are read as written or refused by name, and split without leaks.

pytest tests/trainables/low_rank/test_features.py

Shapes: N images, T tokens, W width, K = min(T, W) ranks.
"""

from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trainables.conformance import curve
from trainables.config import TaskError, build_config
from trainables.low_rank import features
from trainables.low_rank.feature_maps import token_maps
from trainables.low_rank.features import (
    cached_features,
    convolved,
    digit_mosaics,
    embedded_features,
    feature_splits,
    photo_crops,
    svd_cosines,
    truncated_svd,
)
from trainables.low_rank.task import LowRank, LowRankConfig
from trainables.parts.data import Splits, split_rows

TOKENS, WIDTH = 4, 3

Write = Callable[[dict[str, Any]], Path]


@pytest.fixture(autouse=True)
def packed_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Packed files go to the test's own folder, and nothing that was read is remembered."""
    monkeypatch.setenv("RUNGS_CACHE", str(tmp_path / "packed"))
    cached_features.cache_clear()
    return tmp_path / "packed"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Saves what files are to hold (bytes as they are) in a folder."""

    def write_all(files: dict[str, Any]) -> Path:
        folder = tmp_path / "features 'Ω'"
        folder.mkdir()
        for name, content in files.items():
            if isinstance(content, bytes):
                (folder / name).write_bytes(content)
            else:
                torch.save(content, folder / name)
        return folder

    return write_all


def image(number: float, dtype: torch.dtype = torch.float32) -> Tensor:
    """Features that differ in every place, and whose first value tells the image."""
    return (number + torch.arange(TOKENS * WIDTH).reshape(TOKENS, WIDTH) / 16).to(dtype)


def numbers(splits: Splits) -> list[list[float]]:
    """The images of each split."""
    return [
        split.tensors["features"][:, 0, 0].tolist()
        for split in (splits.train, splits.validation, splits.test())
    ]


def message_of(folder: Path) -> str:
    with pytest.raises(TaskError) as caught:
        cached_features(folder, 0).test()
    return str(caught.value)


# Files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_all_forms_are_read_bit_by_bit(write: Write, dtype: torch.dtype) -> None:
    forms: list[Callable[[Tensor], Any]] = [
        lambda tensor: tensor,
        lambda tensor: tensor[None],
        lambda tensor: {"image": "a.png", "hidden": tensor},
        lambda tensor: {"features": tensor, "mask": torch.ones(2)},
        lambda tensor: tensor.T.contiguous().T,
        lambda tensor: torch.nn.Parameter(tensor),
    ]
    files = {f"features_{i}.pt": forms[i % len(forms)](image(i, dtype)) for i in range(30)}
    splits = cached_features(write(files), 0)
    for split in (splits.train, splits.validation, splits.test()):
        assert split.tensors["features"].dtype == dtype
        for features_TW in split.tensors["features"]:
            assert torch.equal(features_TW, image(round(float(features_TW[0, 0])), dtype))


def test_files_stand_by_number_whatever_is_missing_or_beside_them(write: Write) -> None:
    chosen = [0, 2, 9, 10, 11, 100, 101, 1000, 7, 30]
    others = {
        "features_x.pt": image(-1),
        "features_1.pt.tmp": image(-1),
        "notes.txt": b"",
        "old_features_3.pt": b"",
    }
    splits = cached_features(write({f"features_{i}.pt": image(i) for i in chosen} | others), 0)
    train, validation, test = numbers(splits)
    assert train == sorted(train)
    assert sorted(train + validation + test) == sorted(chosen)
    assert (len(train), len(validation), len(test)) == (8, 1, 1)


@pytest.mark.parametrize("with_test", [True, False])
def test_each_split_may_have_a_folder(write: Write, with_test: bool) -> None:
    folder = write({})
    parts = {"train": range(20), "val": range(20, 22)}
    parts |= {"test": range(22, 23)} if with_test else {}
    for name, chosen in parts.items():
        (folder / name).mkdir()
        for i in chosen:
            torch.save(image(i), folder / name / f"features_{i}.pt")
    train, validation, test = numbers(cached_features(folder, 0))
    assert validation == [20, 21]
    if with_test:
        assert (train, test) == (list(range(20)), [22])
    else:
        assert (len(train), len(test)) == (18, 2)
        assert sorted(train + test) == list(range(20))


def test_what_a_list_puts_into_one_group_is_in_one_split(write: Write) -> None:
    folder = write({f"of image {i}.pt": image(i) for i in range(40)})
    lines = [f"of image {i}.pt,{i // 4}" for i in range(40)]
    (folder / "list.csv").write_text("\n".join(["features,group", *lines]))
    parts = numbers(cached_features(folder / "list.csv", 0))
    assert sorted(chain(*parts)) == list(range(40))
    groups = [{number // 4 for number in part} for part in parts]
    assert [len(part) for part in groups] == [8, 1, 1]


def test_another_seed_gives_another_split(write: Write) -> None:
    folder = write({f"features_{i}.pt": image(i) for i in range(30)})
    assert numbers(cached_features(folder, 0)) == numbers(cached_features(folder, 0))
    assert numbers(cached_features(folder, 0)) != numbers(cached_features(folder, 1))


def test_a_written_again_file_is_read_again(write: Write) -> None:
    folder = write({f"features_{i}.pt": image(i) for i in range(3)})
    numbers(cached_features(folder, 0))
    cached_features.cache_clear()
    for i in range(3):
        torch.save(image(i + 50.5), folder / f"features_{i}.pt")
    assert sorted(chain(*numbers(cached_features(folder, 0)))) == [50.5, 51.5, 52.5]


def test_the_test_split_is_read_only_when_opened(write: Write, packed_elsewhere: Path) -> None:
    splits = cached_features(write({f"features_{i}.pt": image(i) for i in range(10)}), 0)
    assert len(list(packed_elsewhere.glob("*.npy"))) == 2
    splits.test()
    assert len(list(packed_elsewhere.glob("*.npy"))) == 3


def test_what_is_left_out_is_told_and_what_macos_adds_is_ignored(write: Write) -> None:
    folder = write({f"features_{i}.pt": image(i) for i in range(10)} | {"._features_3.pt": b""})
    assert cached_features(folder, 0).warning is None
    cached_features.cache_clear()
    (folder / "features_20.pt").symlink_to(folder / "nowhere")
    (folder / "features_21.pt").mkdir()
    splits = cached_features(folder, 0)
    assert splits.warning == "data: left out 1 broken link, 1 sub-folder (first: features_20.pt)"
    assert sorted(chain(*numbers(splits))) == list(range(10))


BAD_FILES: list[tuple[Any, str]] = [
    (
        torch.zeros(5, WIDTH),
        r"features must be [tokens, width], tokens a square number, got [5, 3]",
    ),
    (torch.zeros(TOKENS), "features must be [tokens, width], tokens a square number, got [4]"),
    (torch.zeros(2, TOKENS, WIDTH), "got [2, 4, 3]"),
    (torch.zeros(TOKENS, 0), "got [4, 0]"),
    (
        torch.zeros(TOKENS, 8),
        "all must be like features_0.pt, [4, 3] torch.float32, got [4, 8] torch.float32",
    ),
    (
        image(7, torch.bfloat16),
        "all must be like features_0.pt, [4, 3] torch.float32, got [4, 3] torch.bfloat16",
    ),
    (image(7).double(), "features must be float32, float16 or bfloat16, got torch.float64"),
    (image(7).long(), "features must be float32, float16 or bfloat16, got torch.int64"),
    (image(float("nan")), "features must be finite, got NaN or infinity"),
    (image(float("inf")), "features must be finite, got NaN or infinity"),
    ({"a": image(7), "b": image(7)}, 'of several tensors one must be named "features", got a, b'),
    ({"a": 1}, "holds neither a tensor nor a dict with one"),
    ([image(7)], "holds neither a tensor nor a dict with one"),
    (image(7).to_sparse(), "holds neither a tensor nor a dict with one"),
    (b"", "can't be read by torch.load"),
    (b"not a checkpoint", "can't be read by torch.load"),
    (Path("code"), "can't be read by torch.load"),
]


@pytest.mark.filterwarnings("ignore:Validating sparse tensor")
@pytest.mark.parametrize(("content", "problem"), BAD_FILES)
def test_a_file_that_cannot_be_used_is_named(write: Write, content: Any, problem: str) -> None:
    folder = write({f"features_{i}.pt": image(i) for i in range(10)} | {"features_7.pt": content})
    message = message_of(folder)
    assert f"{folder}/features_7.pt: " in message
    assert problem in message
    assert len(message.splitlines()) == 1


def test_a_first_file_that_cannot_be_used_is_named(write: Write) -> None:
    folder = write(
        {f"features_{i}.pt": image(i) for i in range(3)} | {"features_0.pt": b"not a checkpoint"}
    )
    assert f"{folder}/features_0.pt: can't be read by torch.load" in message_of(folder)


def test_a_file_cut_short_is_named(write: Write) -> None:
    folder = write({f"features_{i}.pt": image(i) for i in range(3)})
    whole = (folder / "features_1.pt").read_bytes()
    (folder / "features_1.pt").write_bytes(whole[: len(whole) // 2])
    assert f"{folder}/features_1.pt: can't be read by torch.load" in message_of(folder)


def test_a_file_cannot_run_code(write: Write, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    folder = write({f"features_{i}.pt": Evil() for i in range(3)})
    assert "can't be read by torch.load" in message_of(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("count", [0, 2])
def test_a_folder_with_too_little_is_named(write: Write, count: int) -> None:
    folder = write({f"features_{i}.pt": image(i) for i in range(count)} | {"notes.txt": b""})
    problem = f"{folder}: three splits need at least 3 files named features_<i>.pt, got {count}"
    assert problem in message_of(folder)


def test_what_is_no_folder_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path / 'nowhere'}: can't be read as a folder" in message_of(tmp_path / "nowhere")


def test_the_task_trains_on_a_folder_in_bfloat16(write: Write) -> None:
    torch.manual_seed(0)
    folder = write({f"features_{i}.pt": torch.randn(16, 24).bfloat16() for i in range(20)})
    tiny = {"model.rank": 4, "model.width": 8, "model.heads": 2, "data.batch_size": 7}
    (report,) = curve(
        LowRank(), build_config(LowRankConfig, tiny | {"data.path": folder}), epochs=1
    )
    validation = cached_features(folder, 0).validation.tensors["features"].float()
    best = torch.stack([truncated_svd(features_TW, 4) for features_TW in validation])
    expected = torch.nn.functional.cosine_similarity(best, validation, dim=-1).mean()
    assert report.metrics["svd_cosine"] == pytest.approx(float(expected), abs=1e-6)
    assert report.metrics["cosine"] < report.metrics["svd_cosine"]


# SVD and splits -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("tokens", "width"), [(16, 9), (16, 16), (9, 16), (16, 40)])
def test_svd_cosines_equal_torchs_svd_at_every_rank(tokens: int, width: int) -> None:
    torch.manual_seed(0)
    features_NTW = torch.randn(3, tokens, width) * torch.logspace(0, -3, width)
    cosines_NK = svd_cosines(features_NTW)
    assert cosines_NK.shape == (3, min(tokens, width))
    for rank in range(1, min(tokens, width) + 1):
        left, singular, right = torch.linalg.svd(features_NTW.double(), full_matrices=False)
        best = (left[..., :rank] * singular[:, None, :rank]) @ right[:, :rank]
        expected_N = torch.nn.functional.cosine_similarity(
            best, features_NTW.double(), dim=-1
        ).mean(-1)
        torch.testing.assert_close(cosines_NK[:, rank - 1].double(), expected_N, atol=1e-6, rtol=0)


def test_the_splits_that_judge_hold_each_images_own_cosines() -> None:
    torch.manual_seed(0)
    splits = feature_splits(lambda part: torch.randn(5, 16, 9))
    for split in (splits.validation, splits.test()):
        for features_TW, cosines_K in zip(
            split.tensors["features"], split.tensors["svd_cosine_NK"], strict=True
        ):
            assert torch.equal(svd_cosines(features_TW[None])[0], cosines_K)


def test_svd_cosines_of_few_directions_are_one_and_of_zeros_zero() -> None:
    torch.manual_seed(0)
    of_rank_two = torch.randn(1, 16, 2) @ torch.randn(1, 2, 9)
    torch.testing.assert_close(svd_cosines(of_rank_two)[0, 1:], torch.ones(8))
    assert torch.equal(svd_cosines(torch.zeros(1, 16, 9)), torch.zeros(1, 9))


@pytest.mark.parametrize("count", [3, 10, 80, 437, 1797])
def test_a_split_is_random_disjoint_and_about_80_10_10(count: int) -> None:
    parts = split_rows(count, 5)
    assert sorted(chain(*parts.values())) == list(range(count))
    assert len(parts["validation"]) == len(parts["test"]) == max(1, round(count / 10))
    assert parts == split_rows(count, 5)
    assert count < 10 or parts != split_rows(count, 6)


# Embedded images ----------------------------------------------------------------------------------


def test_embedded_features_are_square_maps_of_photographs_and_mosaics() -> None:
    splits = embedded_features(8, 0)
    sizes = [len(split) for split in (splits.train, splits.validation, splits.test())]
    assert sizes == [64 * 4 + 89, 8 * 4 + 11, 8 * 4 + 11]
    assert splits.train.tensors["features"].shape[1:] == (256, 8)
    assert torch.isfinite(splits.train.tensors["features"]).all()


def test_no_pixel_of_a_photograph_is_in_two_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels_HW = torch.arange(427 * 640).reshape(427, 640)
    numbered = [
        torch.stack(
            [pixels_HW % 256, pixels_HW // 256 % 256, pixels_HW // 256**2 + 100 * photo]
        ).byte()
        for photo in range(2)
    ]
    monkeypatch.setattr(features, "_photos", lambda: numbered)
    parts = []
    for part in ("train", "validation", "test"):
        crops_NCHH = photo_crops(3, part).int()
        parts.append(
            set(
                (crops_NCHH[:, 0] + 256 * crops_NCHH[:, 1] + 256**2 * crops_NCHH[:, 2])
                .flatten()
                .tolist()
            )
        )
        assert len(parts[-1]) > 8 * 80**2 - 1
    assert not (parts[0] & parts[1]) | (parts[0] & parts[2]) | (parts[1] & parts[2])


def test_a_mosaic_is_sixteen_digits_of_its_split(monkeypatch: pytest.MonkeyPatch) -> None:
    ink_NHH = torch.arange(1797)[:, None, None].expand(-1, 16, 16) / 2048
    monkeypatch.setattr(features, "digit_strokes", lambda side: (ink_NHH, None))
    monkeypatch.setattr(
        torch, "lerp", lambda ground, colour, ink: (2048 * ink).expand(-1, 3, -1, -1).round()
    )
    monkeypatch.setattr(Tensor, "byte", lambda tensor: tensor)
    for part, rows in split_rows(1797, 3).items():
        mosaics_NCHH = digit_mosaics(3, part)
        digits = mosaics_NCHH[:, 0, ::16, ::16].flatten().int().tolist()
        assert mosaics_NCHH.shape[1:] == (3, 64, 64)
        assert torch.equal(
            mosaics_NCHH,
            mosaics_NCHH[..., ::16, ::16].repeat_interleave(16, 2).repeat_interleave(16, 3),
        )
        assert len(set(digits)) == len(digits) == len(rows) // 16 * 16
        assert set(digits) <= set(rows)


def test_the_spectrum_has_strong_directions_and_a_long_tail() -> None:
    images_NCHH = torch.cat([photo_crops(0, "validation"), digit_mosaics(0, "validation")])
    cosines_K = svd_cosines(convolved(images_NCHH, 256)).mean(0)
    assert cosines_K[0] < 0.7
    assert 0.9 < cosines_K[256 // 16 - 1] < 0.99
    assert cosines_K[256 // 2 - 1] < 0.999
    assert (cosines_K.diff() >= 0).all()


@torch.no_grad()
def test_an_images_features_do_not_depend_on_the_others() -> None:
    images_NCHH = photo_crops(0, "validation")[:3]
    for image_CHH, features_TW in zip(images_NCHH, convolved(images_NCHH, 8), strict=True):
        torch.testing.assert_close(
            convolved(image_CHH[None], 8)[0], features_TW, rtol=1e-3, atol=1e-3
        )


def test_token_maps_go_row_by_row() -> None:
    maps_WSS = token_maps(torch.arange(9.0)[:, None].expand(-1, 2))
    assert maps_WSS.tolist() == [[[0, 1, 2], [3, 4, 5], [6, 7, 8]]] * 2

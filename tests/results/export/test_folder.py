"""Proves that `export` writes all that the next person needs.

pytest tests/results/export/test_folder.py
"""

import json
import os
import re
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors import safe_open
from safetensors.torch import load, save

from cluster.search.study import Study
from results.export.folder import export_study, selected
from results.export.model_card import literal
from results.export.weights import WEIGHTS, in_one_order
from results.study.best import pareto_front
from results.study.description import Description
from results.study.folder import StudyError, StudyFolder
from results.study.record import read_study
from search_spaces import read_yaml
from tests.cluster.search import test_two_objectives as two
from tests.results.small_study import confirmed_candidate, drive, open_study, small_confirmation
from tests.results.task_study import user_study
from trainables.trial_folder import TrialFolder, read_state


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "user_task", raising=False)
    monkeypatch.setattr(os, "fsync", lambda file: None)


# Folders


def test_each_of_the_best_has_a_folder_and_all_trials_have_a_table(tmp_path: Path) -> None:
    record = user_study(tmp_path / "s", trials=4)
    to = tmp_path / "to 'ü'" / "new"
    written = export_study(record, to, top=2)
    numbers = [best.number for best in record.ranked()][:2]
    folders = [f"trial-{number:04d}" for number in numbers]
    assert [one.path.name for one in written] == [*folders, "trials.csv", "trials.json"], (
        "the best first"
    )
    inside = ("README.md", "config.json", "config.yaml", WEIGHTS, "code/user_task.py")
    assert {path.relative_to(to).as_posix() for path in to.rglob("*") if path.is_file()} == {
        *(f"{folder}/{name}" for folder in folders for name in inside),
        "trials.csv",
        "trials.json",
    }
    for one in written[:2]:
        assert "no weights" not in one.text and "of tiny, full budget)" in one.text
        assert json.loads((one.path / "config.json").read_text()) == read_yaml(
            one.path / "config.yaml"
        )


def test_the_weights_are_those_of_the_best_epoch_and_say_whose_they_are(tmp_path: Path) -> None:
    record = user_study(tmp_path / "s")
    path = export_study(record, tmp_path / "to")[0].path / WEIGHTS
    state = read_state(record.folder.trial(0).best)
    assert state is not None
    best = record.ranked()[0]
    with safe_open(path, framework="pt") as file:
        notes = file.metadata()
        for name in file.keys():  # noqa: SIM118 - it is no dict
            assert torch.equal(file.get_tensor(name), state["model"][name])
    assert (notes["task"], notes["rungs_format"], notes["format"]) == (
        "user_task:UserTask",
        "1",
        "pt",
    )
    assert (notes["objective"], notes["value"], notes["epoch"]) == (
        "error",
        repr(best.value),
        str(best.epoch),
    )
    assert path.stat().st_mode == (tmp_path / "to" / "trials.csv").stat().st_mode, (
        "as readable as any file"
    )


def test_a_trial_whose_checkpoint_is_not_kept_is_exported_without_weights(tmp_path: Path) -> None:
    record = user_study(tmp_path / "s", trials=3, keep=1)
    written = export_study(record, tmp_path / "to")
    assert [(one.path / WEIGHTS).exists() for one in written[:3]] == [True, False, False]
    again = f"train it again for them: python launch.py train {written[1].path / 'config.yaml'}"
    assert (
        "no weights: its checkpoint is not kept, only those of the best 1 are (budget.keep); "
        f"{again}" in (written[1].text)
    )
    card = (written[1].path / "README.md").read_text()
    assert "There are no weights here: its checkpoint is not kept" in card
    assert "Train it again, then these lines load what came out." in card


def test_exporting_again_replaces_all_but_weights_that_are_kept_nowhere_else(
    tmp_path: Path,
) -> None:
    record = user_study(tmp_path / "s", trials=2)
    first = export_study(record, tmp_path / "to")
    record.folder.trial(record.ranked()[0].number).best.unlink()
    content = (first[0].path / WEIGHTS).read_bytes()
    (first[1].path / WEIGHTS).write_bytes(content)
    record.folder.trial(record.ranked()[1].number).best.unlink()
    written = export_study(record, tmp_path / "to")
    assert [one.path for one in written] == [one.path for one in first]
    assert (written[0].path / WEIGHTS).read_bytes() == content
    assert "no weights" not in written[0].text
    assert not (written[1].path / WEIGHTS).exists(), "the weights of another trial"
    assert len(list((tmp_path / "to").iterdir())) == len(written)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (b"weights", "its checkpoint can't be read"),
        ({"epoch": 99, "model": {}}, "its checkpoint is of epoch 99, as it is still being trained"),
        ({"epoch": None, "model": {"a": object}}, "its checkpoint can't be read"),
        (
            {"model": {"a": torch.ones(2), "extra": (1, 2)}},
            "safetensors can't hold all of its state: .*extra would",
        ),
        (
            {"model": {"a": torch.ones(2), "extra": {"b": torch.ones(1)}}},
            "safetensors can't hold all of its state",
        ),
        ({"model": {"a": torch.ones(2).to_sparse()}}, "safetensors can't hold all of its state"),
    ],
    ids=["damaged", "a later epoch", "code", "a tuple", "a hidden tensor", "sparse"],
)
def test_a_checkpoint_that_can_not_be_exported_is_told(
    tmp_path: Path, state: object, reason: str
) -> None:
    record = user_study(tmp_path / "s")
    path = record.folder.trial(0).best
    if isinstance(state, bytes):
        path.write_bytes(state)
    elif isinstance(state, dict):
        torch.save({"epoch": record.ranked()[0].epoch} | state, path)
    (one, *_) = export_study(record, tmp_path / "to")
    assert not (one.path / WEIGHTS).exists()
    assert re.search(f"no weights: {reason}", one.text)


def test_a_functions_export_has_no_weights(tmp_path: Path) -> None:
    study = drive(open_study(tmp_path / "s"))
    TrialFolder(study.folder.trial(3).path).save_best({"epoch": 3, "model": {"a": torch.ones(1)}})
    (one, *_) = export_study(read_study(study.folder), tmp_path / "to")
    assert one.text.endswith("; no weights: its task is a function, which keeps its model itself")
    card = (one.path / "README.md").read_text()
    assert "load_exported" not in card and "--workers" not in card
    assert not (one.path / WEIGHTS).exists()


def test_two_objectives_export_the_whole_front(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "two")
    two.drive(Study(folder, two.two_space(), two.BOTH))
    Description(space=two.two_space(), objective=two.BOTH, import_paths=(), origin={}).write(folder)
    record = read_study(folder)
    front = pareto_front(record.ranked(), two.BOTH)
    assert len(front) > 3
    assert selected(record, None) == front
    assert selected(record, 2) == front[:2]
    written = export_study(record, tmp_path / "to")
    assert len(written) == len(front) + 2
    card = (written[0].path / "README.md").read_text()
    assert (
        f"One of the {len(front)} of 40 trials than which no other is better in both objectives"
        in card
    )
    assert "**cost** (minimized)" in card


def test_what_can_not_be_written_is_told(tmp_path: Path) -> None:
    record = user_study(tmp_path / "s")
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match=r"can't be written: .*; choose another --to"):
        export_study(record, tmp_path / "file" / "to")


def test_a_study_without_a_value_has_nothing_to_export(tmp_path: Path) -> None:
    study = open_study(tmp_path / "s")
    with pytest.raises(StudyError, match="nothing to export: no trial has reported a value yet"):
        export_study(read_study(study.folder), tmp_path / "to")
    assert not (tmp_path / "to").exists()


# The card


def test_the_card_is_one_of_hugging_face_and_says_how_the_numbers_were_got(tmp_path: Path) -> None:
    record = user_study(tmp_path / "s", trials=4)
    best = record.ranked()[0]
    (one, *_) = export_study(record, tmp_path / "to")
    card = ModelCard.load(one.path / "README.md")
    assert card.data.to_dict() == {
        "library_name": "pytorch",
        "tags": ["rungs", "hyperparameter-search"],
        "metrics": ["error"],
    }
    for text in (
        f"# `tiny`, trial {best.number}\n\nThe best of 4 trials of a hyperparameter search with "
        "Rungs.",
        "Tokens that are to follow each other.",
        f"| **error** on the validation split (minimized) | **{best.value:.4f}** |",
        f"| epoch | {best.epoch} of 2, the best of those trained |",
        "| search | `tiny`, 4 of 4 trials: 4 complete; 8 epochs trained |",
        "its epoch and the trial (of 4) were chosen by this very value: it is the best of many "
        "noisy ones",
        "| `model.width` | `4` | default |",
        "python launch.py train config.yaml\npython launch.py train config.yaml --workers 4",
        f'loaded = load_exported("{one.path.name}")',
        "| commit of Rungs | `abc` |",
    ):
        assert text in card.text


def test_the_card_tells_what_was_confirmed(tmp_path: Path) -> None:
    record = user_study(tmp_path / "s", trials=2)
    candidate = confirmed_candidate(
        trial=record.ranked()[0].number, mean=0.25, low=0.2, high=0.3, test_value=0.4
    )
    told = {"objective": "error", "direction": "minimize", "candidates": (candidate,)}
    small_confirmation(**told, verdict="trial 1 is best").write(record.folder)
    first, second, *_ = export_study(record, tmp_path / "to")
    text = (
        "Trained again with 3 fresh seeds: mean error 0.2500, 95% interval 0.2000 to 0.3000. "
        "On the test split: error 0.4000. Verdict on the candidates: trial 1 is best."
    )
    assert text in (first.path / "README.md").read_text()
    assert "fresh seeds" not in (second.path / "README.md").read_text()


def test_markdown_takes_a_users_text_for_a_text() -> None:
    assert literal("val/acc [top] <b>") == r"val/acc \[top\] \<b\>"
    assert literal("a_b|*c*") == r"a\_b\|\*c\*"
    assert literal("error, 0.5 (max.)") == "error, 0.5 (max.)"


def test_what_fresh_seeds_found_best_is_the_first(tmp_path: Path) -> None:
    record = user_study(tmp_path / "s", trials=4)
    best, second, third, _ = [one.number for one in record.ranked()]
    ranks = (confirmed_candidate(trial=third), confirmed_candidate(trial=best))
    small_confirmation(candidates=ranks).write(record.folder)
    assert [one.number for one in selected(record, 3)] == [third, best, second]
    assert [one.number for one in selected(record, 1)] == [third]
    (one, *_) = export_study(record, tmp_path / "to")
    card = (one.path / "README.md").read_text()
    assert (
        "Number 3 of 4 trials" in card
        and "the best of those trained again with fresh seeds" in card
    )
    small_confirmation(candidates=(confirmed_candidate(trial=third, values=(), mean=None),)).write(
        record.folder
    )
    assert [one.number for one in selected(record, 2)] == [best, second]


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_damaged_confirmation_is_refused(tmp_path: Path, text: str) -> None:
    record = user_study(tmp_path / "s")
    record.folder.confirmed.write_text(text)
    with pytest.raises(
        StudyError, match=r"confirm\.json is damaged: .*; remove it, and confirm again"
    ):
        export_study(record, tmp_path / "to")


def test_the_same_export_is_the_same_bytes(tmp_path: Path) -> None:
    record = user_study(tmp_path / "s", trials=2)
    seen = []
    for _ in range(8):  # The library's own order of notes would be the same twice by chance.
        export_study(record, tmp_path / "to", top=1)
        seen.append(
            {
                path.name: path.read_bytes()
                for path in (tmp_path / "to").rglob("*")
                if path.is_file()
            }
        )
    assert all(one == seen[0] for one in seen)


def test_the_notes_in_one_order_leave_the_tensors_as_they_are() -> None:
    tensors = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.tensor([1], dtype=torch.int8)}
    notes = {"ü": "1", "format": "pt", "a": "x" * 13}
    content = in_one_order(save(tensors, notes))
    read = load(content)
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())
    assert (
        in_one_order(content)
        == content
        == in_one_order(save(tensors, dict(reversed(notes.items()))))
    )

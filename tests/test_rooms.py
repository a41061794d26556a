"""Proves that tests mirror the rooms: who changes a module finds its tests by its name.

pytest tests/test_rooms.py
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("search_spaces", "trainables", "cluster", "results")
ELSEWHERE = {
    # What a mistake in a YAML says is one subject, wherever it is found.
    "search_spaces/checks.py": "search_spaces/test_mistakes.py",
    "search_spaces/parameter.py": "search_spaces/test_mistakes.py",
    "search_spaces/problems.py": "search_spaces/test_mistakes.py",
    "search_spaces/reader.py": "search_spaces/test_mistakes.py",
    "search_spaces/space.py": "search_spaces/test_mistakes.py",
    "search_spaces/extend.py": "search_spaces/test_load.py",
    "search_spaces/scalars.py": "search_spaces/test_strict_yaml.py",
    "search_spaces/rungs.py": "cluster/search/test_asha.py",
    # What a scheduler is shows in those that there are.
    "cluster/search/halving.py": "cluster/search/test_asha.py",
    "results/curves/seen.py": "cluster/search/test_freeze_thaw.py",
    "cluster/search/simulator.py": "cluster/search/test_frozen_trials.py",
    "cluster/search/scheduler.py": "cluster/search/test_frozen_trials.py",
    "cluster/search/schedulers.py": "cluster/search/test_frozen_trials.py",
    # Small parts of a task, judged with the task.
    "trainables/gpt2_classifier/rows.py": "trainables/gpt2_classifier/test_sequences.py",
    "trainables/gpt2_classifier/vocabulary.py": "trainables/gpt2_classifier/test_sequences.py",
    "trainables/image_classifier/pictures.py": "trainables/image_classifier/test_task.py",
    "trainables/low_rank/feature_maps.py": "trainables/low_rank/test_features.py",
    "trainables/segmentation/config.py": "trainables/segmentation/test_task.py",
    "trainables/parts/bodies.py": "trainables/textbook/test_next_char.py",
    "trainables/parts/losses.py": "trainables/parts/test_losses_and_tallies.py",
    "trainables/parts/pictures.py": "trainables/image_classifier/test_task.py",
    "trainables/parts/transformer.py": "trainables/parts/test_networks.py",
    # They do one thing together.
    "trainables/rehearsal_process.py": "trainables/test_rehearsal.py",
    "trainables/segmentation/lists.py": "trainables/segmentation/test_data.py",
    "trainables/user_code/reserved.py": "trainables/user_code/test_importing.py",
    "trainables/user_code/surroundings.py": "trainables/user_code/test_any_function.py",
    "results/confirm/confirmation.py": "results/confirm/test_candidates.py",
    "results/export/model_card.py": "results/export/test_folder.py",
    "results/export/models.py": "results/test_load.py",
    "results/export/retrain.py": "results/export/test_export.py",
    "results/drawing.py": "results/test_pictures.py",
    "results/export/weights.py": "results/export/test_folder.py",
    "results/mlflow/tracking.py": "results/mlflow/test_mirror.py",
    "results/study/description.py": "results/study/test_record.py",
    "results/study/identity.py": "results/study/test_record.py",
    "results/study/journal_fields.py": "results/study/test_journal.py",
    "results/study/journal_replay.py": "results/study/test_journal.py",
    "results/study/moves.py": "results/study/test_record.py",
    "results/study/repeats.py": "cluster/search/test_repeats.py",
    "results/summary.py": "results/study/test_record.py",
    # Several processes that train together need real Ray.
    "trainables/team.py": "slow/test_team.py",
    "cluster/group_train.py": "slow/test_cluster.py",
    # Numbers and words of a report are judged as the page shows them.
    "results/report/facts.py": "results/report/test_report.py",
    "results/report/findings.py": "results/report/test_report.py",
    "results/report/page.py": "results/report/test_report.py",
    "results/report/runs.py": "results/report/test_report.py",
    "results/report/tables.py": "results/report/test_report.py",
    "results/report/terminal.py": "results/report/test_report.py",
    "results/report/words.py": "results/report/test_report.py",
    "results/report/figures/confirmed.py": "results/report/test_confirmed.py",
    "results/report/figures/curves.py": "results/report/test_report.py",
    "results/report/figures/model.py": "results/report/test_beliefs.py",
    "results/report/figures/parameters.py": "results/report/test_report.py",
    "results/report/figures/search.py": "results/report/test_report.py",
    "results/report/figures/style.py": "results/report/test_report.py",
    "results/report/figures/timeline.py": "results/report/test_report.py",
    # A table of numbers.
    "results/exit_codes.py": "test_launch.py",
}


def modules() -> list[Path]:
    files = [file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py"))]
    return [file.relative_to(ROOT) for file in files if file.name != "__init__.py"]


def own_tests(module: Path) -> Path:
    return ROOT / "tests" / module.parent / f"test_{module.name}"


def test_each_module_has_tests_of_its_name_or_a_place_where_they_are() -> None:
    assert len(modules()) > 100
    without = [str(module) for module in modules() if not own_tests(module).exists()]
    assert sorted(without) == sorted(ELSEWHERE)


def test_those_places_are_there() -> None:
    assert [place for place in ELSEWHERE.values() if not (ROOT / "tests" / place).exists()] == []

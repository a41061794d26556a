"""Proves what a search prepares for Tune; the slow tests run some.

pytest tests/cluster/test_tune.py
"""

import tempfile
from pathlib import Path

import pytest

from cluster.connect import Cluster, Node
from cluster.tune import fresh_scratch, group_spec
from results.study.folder import StudyFolder
from tests.cluster.search.toy_study import Open


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unsynced: None) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_what_a_killed_launcher_left_is_removed_and_that_of_other_studies_stays(
    tmp_path: Path,
) -> None:
    mine, other = StudyFolder(tmp_path / "mine"), StudyFolder(tmp_path / "other")
    left, of_another = Path(fresh_scratch(mine)), Path(fresh_scratch(other))
    (left / "trials").mkdir()
    scratch = Path(fresh_scratch(mine))
    assert scratch.is_dir() and of_another.is_dir() and not left.exists()


def test_a_trial_of_one_process_has_no_group(opened: Open) -> None:
    cluster = Cluster(nodes=(Node(offers={"CPU": 4}),))
    assert group_spec(opened(), cluster) is None


def test_a_group_is_made_of_what_each_worker_needs(opened: Open) -> None:
    cluster = Cluster(nodes=(Node(offers={"CPU": 8, "GPU": 2}),))
    study = opened(resources={"workers": 2, "cpus": 3})
    spec = group_spec(study, cluster)
    assert spec and spec.workers == 2 and spec.scratch == study.folder.scratch.resolve()
    assert spec.needs == {"CPU": 3, "GPU": 1.0, "memory": 0}

"""Studies of the toy, each in a folder of its own."""

import os
from pathlib import Path
from typing import Any

import pytest

from cluster.search.study import Study
from results.study.folder import StudyFolder
from tests.cluster.search.toy_study import Open, open_study, steady_space


@pytest.fixture
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """No power fails here, and the disk's answer takes most of the time."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return StudyFolder(tmp_path / "it's a study ✓")


@pytest.fixture
def opened(folder: StudyFolder) -> Open:
    """Opens a study in the folder; steady trials alone unless told otherwise."""

    def open_it(**sections: Any) -> Study:
        return open_study(folder, steady_space(**sections))

    return open_it

"""Proves that a database is named safely, and missed with a clear word.

pytest tests/results/study/test_database.py
"""

from pathlib import Path

import pytest

from results.study.database import Database
from results.study.description import database_of, read_description
from results.study.folder import StudyError, StudyFolder
from results.study.record import read_study
from tests.results.small_study import OBJECTIVE, described, drive, open_study, small_space

URL = "postgresql://rungs@/studies?host=/nowhere"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:///x.db", "must be postgresql://USER@HOST:PORT/NAME, got sqlite:///x.db"),
        ("postgresql://me@host", "must be postgresql://USER@HOST:PORT/NAME"),
        ("postgres", "must be postgresql://USER@HOST:PORT/NAME, got postgres"),
        (
            "postgresql://me:secret@host/x",
            r"the password of postgresql://me:\*\*\*@host/x would be written",
        ),
        ("mysql://me:secret@host/x", r"got mysql://me:\*\*\*@host/x"),
    ],
)
def test_a_wrong_address_is_refused_and_a_password_never_shown(url: str, message: str) -> None:
    with pytest.raises(StudyError, match=message) as caught:
        Database(url=url, study="s-1")
    assert "secret" not in str(caught.value)


def test_a_database_that_is_not_there_is_missed_by_name() -> None:
    database = Database.new(URL, small_space())
    for use in (database.open, database.trials):
        with pytest.raises(
            StudyError, match=r"the database postgresql://rungs@/studies.* can't be used: "
        ):
            use(small_space(), OBJECTIVE)


def test_no_two_studies_have_the_same_name_in_a_database() -> None:
    names = {Database.new(URL, small_space()).study for _ in range(20)}
    assert len(names) == 20 and all(name.startswith(f"{small_space().name}-") for name in names)


def test_a_study_stays_where_it_was_begun(tmp_path: Path) -> None:
    space = small_space()
    new = StudyFolder(tmp_path / "new")
    assert database_of(new, None, space) is None
    database = database_of(new, URL, space)
    assert database and database.url == URL
    description = described(space)
    type(description)(
        space=space,
        objective=OBJECTIVE,
        import_paths=(),
        origin=description.origin,
        database=database,
    ).write(new)
    assert read_description(new).database == database
    assert database_of(new, URL, space) == database_of(new, None, space) == database
    with pytest.raises(
        StudyError, match=r"keeps its trials in postgresql://.*; give this one another --name"
    ):
        database_of(new, URL + "&x=1", space)
    drive(open_study(tmp_path / "old"), 1)
    with pytest.raises(StudyError, match=r"keeps its trials in .*journal\.log, got --storage"):
        database_of(StudyFolder(tmp_path / "old"), URL, space)
    with pytest.raises(StudyError, match="can't be used"):
        read_study(new)

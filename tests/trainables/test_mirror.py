"""Proves that a trial goes on from its copy in a store, on a machine that never saw it.

pytest tests/trainables
"""

import shutil
from pathlib import Path

import pytest

from tests.trainables.conformance import job_of, seen, tiny_task
from trainables.job import Job, run
from trainables.mirror import LEFT_OUT, Mirror, NoMirror, inside, mirror_at

NAME = "gpt2_classifier"


@pytest.fixture(params=["s3", "file"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a store: by S3's protocol, and a folder."""
    if request.param == "file":
        return f"file://{tmp_path}/the-store"
    return str(request.getfixturevalue("bucket"))


def filled(folder: Path, **contents: str) -> Path:
    for name, text in contents.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_folder_comes_back_as_it_was_sent(uri: str, tmp_path: Path) -> None:
    folder = filled(
        tmp_path / "a folder", metrics="1", checkpoint__last="2", **{"checkpoint__é ✓": "3"}
    )
    filled(folder, **{f"checkpoint__{LEFT_OUT}": "4", "x.tmp": "5"})
    Mirror(uri).push(folder)
    other = filled(tmp_path / "other", stale="stays not")
    Mirror(uri).pull(other)
    assert contents(other) == {"metrics": "1", "checkpoint/last": "2", "checkpoint/é ✓": "3"}
    assert sorted(map(str, Mirror(uri).files())) == ["checkpoint/last", "checkpoint/é ✓", "metrics"]


def test_only_what_has_changed_is_sent_again(uri: str, tmp_path: Path) -> None:
    folder = filled(tmp_path / "folder", metrics="1", other="1")
    mirror = Mirror(uri)
    mirror.push(folder)
    (folder / "metrics").write_text("22")
    Mirror(uri).delete()
    mirror.push(folder)
    Mirror(uri).pull(tmp_path / "back")
    assert contents(tmp_path / "back") == {"metrics": "22"}


def test_a_part_is_removed_and_a_missing_one_is_no_matter(uri: str, tmp_path: Path) -> None:
    mirror = Mirror(uri)
    mirror.delete("checkpoint")
    assert mirror.files() == []
    mirror.push(filled(tmp_path / "folder", metrics="1", checkpoint__last="2"))
    mirror.delete("checkpoint")
    mirror.pull(tmp_path / "back")
    assert contents(tmp_path / "back") == {"metrics": "1"}


def test_options_stay_behind_the_question_mark() -> None:
    assert inside("s3://b/a/?region=x", "trials/0007") == "s3://b/a/trials/0007?region=x"
    assert inside("gs://b", "v6") == "gs://b/v6"


@pytest.mark.parametrize("uri", ["", "here", "ftp://host/x", "s3://", "http://host/x"])
def test_what_is_no_store_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="must be s3://bucket/folder"):
        Mirror(uri)
    assert isinstance(mirror_at(None), NoMirror)


def test_a_secret_is_refused_and_not_shown() -> None:
    with pytest.raises(ValueError, match="must hold no secret") as caught:
        Mirror("s3://key:hidden@bucket/x")
    assert "hidden" not in str(caught.value)


def test_a_trial_goes_on_where_nothing_of_it_lies(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = tiny_task(NAME, monkeypatch)
    whole = list(run(job_of(NAME, task, tmp_path / "whole")))

    def job(machine: str) -> Job:
        plain = job_of(NAME, task, tmp_path / machine / "trial")
        return type(plain)(
            **{name: getattr(plain, name) for name in plain.__slots__} | {"mirror": uri}
        )

    first = run(job("first"))
    begun = [next(first), next(first)]
    del first
    shutil.rmtree(tmp_path / "first")
    rest = list(run(job("second")))
    assert seen(begun) == seen(whole[:2])
    assert seen(rest) == seen(whole)
    lines = (tmp_path / "second" / "trial" / "metrics.jsonl").read_text().splitlines()
    assert (
        len(lines) == len(whole)
        and (tmp_path / "second" / "trial" / "checkpoint" / "best.pt").exists()
    )

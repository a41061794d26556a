"""Proves that MLflow shows a study as it is, whoever goes away meanwhile.

pytest tests/results/mlflow/test_mirror.py
"""

import math
import os
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Run
from mlflow.server.constants import ARTIFACT_ROOT_ENV_VAR, BACKEND_STORE_URI_ENV_VAR
from werkzeug.serving import make_server

from cluster.search.study import Study
from results.console import Console
from results.mlflow import mirror as mlflow_mirror
from results.mlflow.mirror import MlflowMirror
from results.mlflow.tracking import Tracking
from results.study.description import Description, mlflow_of, read_description
from results.study.folder import StudyError, StudyFolder
from tests.results.small_study import OBJECTIVE, described, drive, open_study, small_space
from trainables.job import run

pytestmark = pytest.mark.slow  # MLflow's own server and database take their time.

NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """URI of MLflow's tables in SQLite, which all tests fill: each has an experiment of its own."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"
    MlflowClient(uri).search_experiments(max_results=1)
    return uri


class Server:
    """MLflow's REST server, that can be switched off and on; its requests are counted."""

    def __init__(self, app: Any):
        self._app, self._port, self._server = app, 0, None
        self.requests = 0

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        server: Any = make_server("127.0.0.1", self._port, self._count, threaded=True)
        self._server, self._port = server, server.port
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _count(self, environ: Any, start_response: Any) -> Any:
        self.requests += 1
        return self._app(environ, start_response)


@pytest.fixture(scope="module")
def app(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """MLflow's own web application on these tables, without the process that usually holds it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(BACKEND_STORE_URI_ENV_VAR, database)
        patch.setenv(ARTIFACT_ROOT_ENV_VAR, str(tmp_path_factory.mktemp("artifacts")))
        from mlflow.server import app

        yield app


@pytest.fixture
def server(app: Any) -> Iterator[Server]:
    server = Server(app)
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "http"])
def description(request: pytest.FixtureRequest, database: str) -> Description:
    """Of a study that is shown in a new experiment, by way of each kind of store."""
    return shown_at(
        database if request.param == "sqlite" else request.getfixturevalue("server").uri
    )


def shown_at(uri: str, **budget: Any) -> Description:
    tracking = Tracking(
        uri=uri, experiment=f"experiment {uuid.uuid4().hex}", study=uuid.uuid4().hex[:8]
    )
    return replace(described(small_space(**budget)), mlflow=tracking, origin={"commit": "1a2b3c"})


def unstopped(description: Description, trials: int) -> Description:
    """The same for more trials, none of which is stopped early."""
    space = description.space
    search, budget = replace(space.search, scheduler="none"), replace(space.budget, trials=trials)
    return replace(description, space=replace(space, search=search, budget=budget))


def mirror(description: Description) -> MlflowMirror:
    """A new launch's."""
    return MlflowMirror(description, Console(file=StringIO()))


def runs(description: Description) -> dict[str, Run]:
    """What MLflow has of the study, by name."""
    assert description.mlflow
    client = MlflowClient(description.mlflow.uri)
    experiment = client.get_experiment_by_name(description.mlflow.experiment)
    assert experiment
    found = client.search_runs([experiment.experiment_id])
    assert len({run.info.run_name for run in found}) == len(found)
    return {str(run.info.run_name): run for run in found}


def history(description: Description, run: Run, metric: str = "score") -> list[tuple[int, float]]:
    assert description.mlflow
    points = MlflowClient(description.mlflow.uri).get_metric_history(run.info.run_id, metric)
    return [(point.step, point.value) for point in sorted(points, key=lambda point: point.step)]


def in_files(study: Study, number: int) -> list[tuple[int, float]]:
    return [
        (row["epoch"], row["metrics"]["score"]) for row in study.folder.trial(number).read_metrics()
    ]


def everything(description: Description) -> dict[str, Any]:
    return {
        name: (
            run.info.status,
            run.info.end_time,
            run.data.params,
            run.data.tags,
            history(description, run),
        )
        for name, run in runs(description).items()
    }


def begin(study: Study, epochs: int) -> int:
    """Train the next trial for so many epochs, and leave it running; gives its number."""
    trial = study.next_trial()
    assert trial
    for _, report in zip(range(epochs), run(study.job(trial)), strict=False):
        study.report(trial.number, report.epoch, report.metrics["score"])
    return trial.number


# What is shown


def test_a_study_is_shown_as_it_is(tmp_path: Path, description: Description) -> None:
    begun = time.time() * 1000 - 1
    study = drive(open_study(tmp_path, description.space))
    mirror(description).update(study)
    found = runs(description)
    assert sorted(found) == ["trial-0000", "trial-0001", "trial-0002", "trial-0003"]
    statuses = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}
    for trial in study.trials():
        shown = found[f"trial-{trial.number:04d}"]
        tags, best = shown.data.tags, shown.data.metrics.get("best/score")
        assert shown.info.status == statuses[trial.state.name]
        assert shown.data.params == {"x": str(trial.params["x"]), "y": "1"}
        assert history(description, shown) == in_files(study, trial.number)
        assert history(description, shown, "other") == [
            (step, 1.0) for step, _ in in_files(study, trial.number)
        ]
        assert (best is None) if trial.state.name == "FAIL" else (best == trial.value)
        assert begun <= shown.info.start_time <= shown.info.end_time <= time.time() * 1000 + 1
        assert tags["rungs.trial"] == str(trial.number)
        assert tags["rungs.state"] == trial.state.name
        assert tags["rungs.origin"] == f"start point {trial.number}"
        assert tags["rungs.folder"] == str(tmp_path)
        assert tags["rungs.commit"] == "1a2b3c"
        assert (
            ("unlucky [x]" in tags["rungs.reason"])
            if trial.state.name == "FAIL"
            else ("rungs.reason" not in tags)
        )
    assert {shown.info.status for shown in found.values()} == set(statuses.values())


def test_a_running_trial_is_shown_epoch_by_epoch_and_a_suggested_one_as_such(
    tmp_path: Path, description: Description
) -> None:
    description = unstopped(description, trials=6)
    study = open_study(tmp_path, description.space)
    kept = mirror(description)
    kept.update(study)
    assert not runs(description), "what never began is not there"
    drive(study, 4)
    number = begin(study, epochs=1)
    kept.update(study)
    shown = runs(description)[f"trial-{number:04d}"]
    assert shown.info.status == "RUNNING"
    assert shown.data.tags["rungs.origin"] == "suggested"
    assert len(history(description, shown)) == 1
    study.release()
    kept.update(study)
    assert runs(description)[f"trial-{number:04d}"].data.tags["rungs.state"] == "WAITING"
    drive(study)
    kept.update(study)
    shown = runs(description)[f"trial-{number:04d}"]
    assert shown.data.tags["rungs.state"] == study.trials()[number].state.name
    assert history(description, shown) == in_files(study, number)


def test_values_that_are_no_numbers_long_histories_and_any_names_are_shown(
    tmp_path: Path, description: Description
) -> None:
    study = open_study(tmp_path, description.space)
    number = begin(study, epochs=0)
    folder = study.folder.trial(number)
    folder.path.mkdir(parents=True)
    for epoch in range(1, 701):
        metrics = {
            "score": epoch / 7,
            "top@5, in %": 1.0,
            "loss": math.nan if epoch == 700 else 0.5,
        }
        folder.append_metrics({"epoch": epoch, "seconds": 0.5, "metrics": metrics, "details": {}})
    for epoch in (1, 2, 3):
        study.report(number, epoch, 0.5)
    mirror(description).update(study)
    shown = runs(description)["trial-0000"]
    assert history(description, shown) == in_files(study, number)
    assert len(history(description, shown, "top_5_ in _")) == 700
    assert math.isnan(history(description, shown, "loss")[-1][1])
    assert description.mlflow
    points = MlflowClient(description.mlflow.uri).get_metric_history(shown.info.run_id, "score")
    times = [point.timestamp for point in sorted(points, key=lambda point: point.step)]
    assert [later - earlier for earlier, later in pairwise(times)] == [500] * 699


def test_files_that_come_later_are_shown_later(tmp_path: Path, description: Description) -> None:
    study = drive(open_study(tmp_path / "study", description.space))
    (tmp_path / "study" / "trials").rename(tmp_path / "elsewhere")
    kept = mirror(description)
    kept.update(study)
    assert [history(description, shown) for shown in runs(description).values()] == [[]] * 4
    (tmp_path / "elsewhere").rename(tmp_path / "study" / "trials")
    kept.update(study)
    for trial in study.trials():
        assert history(description, runs(description)[f"trial-{trial.number:04d}"]) == in_files(
            study, trial.number
        )


# Resuming


def test_nothing_is_sent_twice(tmp_path: Path, server: Server) -> None:
    description = shown_at(server.uri)
    study = drive(open_study(tmp_path, description.space))
    kept = mirror(description)
    kept.update(study)
    before, server.requests = everything(description), 0
    kept.update(study)
    assert server.requests == 0
    mirror(description).update(study)
    assert server.requests == 2, "for the experiment and what is in it"
    assert everything(description) == before


@pytest.mark.parametrize("sent", [False, True], ids=["nothing was sent", "all was sent"])
def test_a_later_launch_goes_on_in_the_same_runs(
    tmp_path: Path, description: Description, sent: bool
) -> None:
    description = unstopped(description, trials=6)
    study = open_study(tmp_path, description.space)
    drive(study, 1)
    begin(study, epochs=1)
    if sent:
        mirror(description).update(study)
    study = drive(open_study(tmp_path, description.space))
    mirror(description).update(study)
    found = runs(description)
    assert len(found) == 6
    for trial in study.trials():
        shown = found[f"trial-{trial.number:04d}"]
        assert history(description, shown) == in_files(study, trial.number)
        assert shown.info.status != "RUNNING"


def test_metrics_that_a_killed_launcher_had_sent_are_known_by_themselves(
    tmp_path: Path, description: Description
) -> None:
    description = unstopped(description, trials=1)
    study = open_study(tmp_path, description.space)
    begin(study, epochs=1)
    mirror(description).update(study)
    study.release()
    drive(study)
    second = in_files(study, 0)[1]
    assert description.mlflow
    client = MlflowClient(description.mlflow.uri)
    client.log_batch(
        runs(description)["trial-0000"].info.run_id, [Metric("score", second[1], 1, second[0])]
    )
    mirror(description).update(study)
    assert history(description, runs(description)["trial-0000"]) == in_files(study, 0)


def test_another_study_in_the_same_experiment_has_runs_of_its_own(
    tmp_path: Path, database: str
) -> None:
    description = shown_at(database)
    assert description.mlflow
    mirror(description).update(drive(open_study(tmp_path / "one", description.space), 2))
    other = replace(description, mlflow=replace(description.mlflow, study="another"))
    mirror(other).update(drive(open_study(tmp_path / "two", description.space), 1))
    client = MlflowClient(database)
    experiment = client.get_experiment_by_name(description.mlflow.experiment)
    assert experiment
    found = client.search_runs([experiment.experiment_id])
    assert sorted(str(run.info.run_name) for run in found) == [
        "trial-0000",
        "trial-0000",
        "trial-0001",
    ]


@pytest.mark.parametrize("later", [False, True], ids=["at once", "by a later launch"])
def test_a_run_that_was_deleted_stays_so_and_keeps_nothing_up(
    tmp_path: Path, description: Description, later: bool
) -> None:
    description = unstopped(description, trials=4)
    study = open_study(tmp_path, description.space)
    drive(study, 1)
    begin(study, epochs=1)
    kept = mirror(description)
    kept.update(study)
    assert description.mlflow
    MlflowClient(description.mlflow.uri).delete_run(runs(description)["trial-0001"].info.run_id)
    study.end(1)
    drive(study)
    if later:
        kept = mirror(description)
    kept.update(study)
    assert sorted(runs(description)) == ["trial-0000", "trial-0002", "trial-0003"]


# A server that isn't there


def test_a_server_that_is_not_there_is_told_at_once() -> None:
    begun = time.monotonic()
    with pytest.raises(StudyError, match=rf"MLflow at {NOBODY} can't be used: .*[Rr]efused"):
        mirror(shown_at(NOBODY))
    assert time.monotonic() - begun < 5


def test_an_experiment_that_was_deleted_is_told(database: str) -> None:
    description = shown_at(database)
    mirror(description)
    assert description.mlflow
    client = MlflowClient(database)
    experiment = client.get_experiment_by_name(description.mlflow.experiment)
    assert experiment
    client.delete_experiment(experiment.experiment_id)
    with pytest.raises(StudyError, match=r"experiment .* was deleted; restore it"):
        mirror(description)


def test_without_mlflow_it_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(StudyError, match=r"pip install -e '\.\[mlflow\]'"):
        mirror(shown_at(database))


def test_a_server_that_goes_away_stops_nothing_and_gets_all_when_it_is_back(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_mirror, "TURN_S", 0.01)
    monkeypatch.setattr(mlflow_mirror, "RETRY_S", 0.01)
    description = shown_at(server.uri, trials=8)
    study = open_study(tmp_path, description.space)
    console = Console(file=StringIO(), width=200)
    kept = MlflowMirror(description, console)
    with kept.following(study):
        drive(study, 2)
        until(lambda: len(runs(description)) == 2)
        server.stop()
        drive(study, 3)
        until(lambda: "tried again" in text_of(console))
        time.sleep(0.1)
        server.start()
        until(lambda: len(runs(description)) == 5)
        drive(study)
    assert text_of(console).count("tried again") == 1, "it is told once"
    assert "lacks" not in text_of(console)
    assert len(runs(description)) == 8
    for trial in study.trials():
        shown = runs(description)[f"trial-{trial.number:04d}"]
        assert history(description, shown) == in_files(study, trial.number)
        assert shown.info.status != "RUNNING"


def test_a_server_that_is_gone_at_the_end_gets_the_rest_by_the_next_launch(
    tmp_path: Path, server: Server
) -> None:
    description = shown_at(server.uri)
    study = open_study(tmp_path, description.space)
    console = Console(file=StringIO(), width=200)
    with MlflowMirror(description, console).following(study):
        server.stop()
        drive(study)
    assert "MLflow lacks the end of this study; --resume sends it" in text_of(console)
    server.start()
    with mirror(description).following(study):
        pass
    assert [shown.info.status for shown in runs(description).values()].count("RUNNING") == 0
    assert len(runs(description)) == 4


def test_mlflow_is_as_patient_as_before_when_the_search_is_over(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    description = shown_at(database)
    with mirror(description).following(open_study(tmp_path, description.space)):
        assert (environment("TIMEOUT"), environment("MAX_RETRIES")) == ("10", "0")
    assert (environment("TIMEOUT"), environment("MAX_RETRIES")) == ("77", None)


def environment(name: str) -> str | None:
    return os.environ.get(f"MLFLOW_HTTP_REQUEST_{name}")


def text_of(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def until(holds: Any) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


# The option


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("http://me:secret@localhost:5000", "must hold no password.*MLFLOW_TRACKING_PASSWORD"),
        ("postgresql://me:secret@localhost/x", "must hold no password"),
        ("http://[::1", "must be a URI"),
    ],
)
def test_a_uri_with_a_password_is_refused_and_not_repeated(
    tmp_path: Path, uri: str, message: str
) -> None:
    with pytest.raises(StudyError, match=message) as refused:
        mlflow_of(StudyFolder(tmp_path), uri, small_space())
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("uri", "kept"),
    [
        ("http://localhost:5000", "http://localhost:5000"),
        ("https://me@tracking.example/path", "https://me@tracking.example/path"),
        ("sqlite:////data/mlflow.db", "sqlite:////data/mlflow.db"),
        ("sqlite:///mlflow.db", "sqlite:///{here}/mlflow.db"),
        ("mlruns", "{here}/mlruns"),
        ("databricks", "databricks"),
    ],
)
def test_a_study_stays_where_it_was_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, kept: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    space, folder = small_space(), StudyFolder(tmp_path / "study")
    assert mlflow_of(folder, None, space) is None
    tracking = mlflow_of(folder, uri, space)
    assert tracking and (tracking.uri, tracking.experiment) == (kept.format(here=tmp_path), "small")
    replace(described(space), mlflow=tracking).write(folder)
    assert read_description(folder).mlflow == tracking
    assert mlflow_of(folder, None, space) == mlflow_of(folder, uri, space) == tracking
    with pytest.raises(
        StudyError, match=r"is shown in MLflow at .*, got --mlflow .*; give this one another --name"
    ):
        mlflow_of(folder, "http://elsewhere", space)


def test_a_study_that_was_begun_without_mlflow_stays_without(tmp_path: Path) -> None:
    open_study(tmp_path)
    with pytest.raises(StudyError, match="is not shown in MLflow, got --mlflow"):
        mlflow_of(StudyFolder(tmp_path), NOBODY, small_space())


def test_the_experiment_may_have_a_name_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "/Users/me/ours")
    assert Tracking.new(NOBODY, small_space()).experiment == "/Users/me/ours"


@pytest.mark.parametrize(
    "text", ["here", "{uri: http://a}", "{uri: http://a, experiment: b, study: 3}", "[]", "{}"]
)
def test_a_damaged_description_is_refused(tmp_path: Path, text: str) -> None:
    folder = StudyFolder(tmp_path)
    Description(space=small_space(), objective=OBJECTIVE, import_paths=("/a",), origin={}).write(
        folder
    )
    written = folder.description.read_text()
    assert "mlflow: null" in written
    folder.description.write_text(written.replace("mlflow: null", f"mlflow: {text}"))
    with pytest.raises(
        StudyError, match="mlflow must be null or a mapping of uri, experiment, study"
    ):
        read_description(folder)

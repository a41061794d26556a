"""A study in MLflow, a run for each trial: a copy of what the journal and the trials' files say."""

import logging
import os
import re
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from optuna.trial import FrozenTrial, TrialState

from results.console import Console
from results.mlflow.tracking import Tracking
from results.study.best import best_epoch
from results.study.description import Description
from results.study.folder import StudyError, StudyFolder
from results.study.notes import Notes
from search_spaces import Space
from search_spaces.space import Objective
from trainables.trial_folder import TrialFolder

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

TURN_S, RETRY_S = 5.0, 30.0
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
STATUSES = {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "KILLED", TrialState.FAIL: "FAILED"}
OTHER_CHARACTERS = re.compile(r"[^\w./: -]")  # than those that a metric's name may have


class Study(Protocol):
    """A study that is being written, as far as the mirror sees it."""

    folder: StudyFolder
    space: Space
    objective: Objective

    def trials(self) -> list[FrozenTrial]:
        """All of them, as they are now."""


@dataclass(kw_only=True, slots=True)
class _SentTrial:
    """What MLflow has of a trial: its run, how many parameters, up to which epoch, which state."""

    run_id: str
    params: int = 0
    epochs: int = 0
    state: str | None = None

    def is_all_of(self, trial: FrozenTrial) -> bool:
        """Whether there will never be more."""
        ended = trial.state.is_finished() and trial.state.name == self.state
        return ended and self.epochs >= max(trial.intermediate_values, default=0)


class MlflowMirror:
    """Shows a study's trials in MLflow.

    Args:
        description: The study's.
        console: Where is said, once, that MLflow can't be reached any more.

    Raises:
        StudyError: when MLflow is not installed, can't be reached now, or has deleted the
            experiment.
    """

    def __init__(self, description: Description, console: Console):
        assert description.mlflow is not None
        self._tracking, self._console = description.mlflow, console
        self._commit = description.origin.get("commit")
        self._sent: dict[int, _SentTrial] | None = None
        self._done: set[int] = set()
        self._warned: set[str] = set()
        try:
            with quick_and_quiet():
                self._client, self._experiment = connect(self._tracking)
        except ImportError as error:
            raise StudyError(
                f"MLflow is not installed: pip install -e '.[mlflow]' ({error})"
            ) from error
        except Exception as error:  # Each of MLflow's stores raises others.
            raise StudyError(
                f"MLflow at {self._tracking.uri} can't be used: {root_cause(error)}"
            ) from error

    @contextmanager
    def following(self, study: Study) -> Iterator[None]:
        """Meanwhile a thread updates MLflow every few seconds, and for the last time on leaving."""
        shown = f"shown in MLflow, experiment {self._tracking.experiment}, at {self._tracking.uri}"
        self._console.say(shown)
        over = threading.Event()
        thread = threading.Thread(
            target=self._follow, args=(study, over), name="mlflow", daemon=True
        )
        with quick_and_quiet():
            thread.start()
            try:
                yield
            finally:
                over.set()
                thread.join()

    def update(self, study: Study) -> None:
        """Send what MLflow lacks.

        Raises:
            Exception: of any kind, when MLflow can't be used; the next call then asks it anew what
                it has.
        """
        from mlflow import MlflowException

        sent = self._known() if self._sent is None else self._sent
        self._sent = None
        for trial in study.trials():
            if trial.number in self._done or trial.datetime_start is None:
                continue
            try:
                if trial.number not in sent:
                    sent[trial.number] = _SentTrial(run_id=self._create_run(study, trial))
                self._send(study, trial, sent[trial.number])
            except MlflowException as error:
                if error.error_code != "INVALID_PARAMETER_VALUE":
                    raise
                # It would be refused for ever: a run that was deleted, say.
                self._done.add(trial.number)
                self._warn_once(
                    "refused", f"MLflow refuses trial {trial.number}: {root_cause(error)}"
                )
        self._sent = sent

    def _follow(self, study: Study, over: threading.Event) -> None:
        late = not self._updated(study)
        while not over.wait(RETRY_S if late else TURN_S):
            late = not self._updated(study)
        if not self._updated(study):
            self._warn_once("lacking", "MLflow lacks the end of this study; --resume sends it")

    def _updated(self, study: Study) -> bool:
        try:
            self.update(study)
        except Exception as error:  # The search goes on whatever it is.
            self._warn_once(
                "late", f"MLflow is not up to date, which is tried again: {root_cause(error)}"
            )
            return False
        return True

    def _warn_once(self, what: str, text: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            self._console.say(text, style="yellow")

    def _known(self) -> dict[int, _SentTrial]:
        """What MLflow has of the study. Trials whose runs were deleted there are left alone."""
        from mlflow.entities import ViewType

        sent: dict[int, _SentTrial] = {}
        mine, token = f"tags.`rungs.study` = '{self._tracking.study}'", None
        while token != "":
            page = self._client.search_runs(
                [self._experiment], mine, ViewType.ALL, page_token=token
            )
            for run in page:
                number = int(run.data.tags["rungs.trial"])
                sent[number] = self._sent_to(run)
                if run.info.lifecycle_stage == "deleted":
                    self._done.add(number)
            token = page.token or ""
        return sent

    def _sent_to(self, run: "Run") -> _SentTrial:
        """What a run has.

        Its status was sent last of all; without it the metrics tell how many of them there are.
        """
        tags, run_id = run.data.tags, run.info.run_id
        if run.info.status in STATUSES.values():
            epochs, state = int(tags["rungs.epochs"]), tags["rungs.state"]
        else:
            history = self._client.get_metric_history(run_id, tags["rungs.objective"])
            epochs, state = max((metric.step for metric in history), default=0), None
        return _SentTrial(run_id=run_id, params=len(run.data.params), epochs=epochs, state=state)

    def _create_run(self, study: Study, trial: FrozenTrial) -> str:
        assert trial.datetime_start is not None
        notes = Notes.of(trial)
        start, repeats = notes.start_point, notes.repeats
        tags = {
            "rungs.study": self._tracking.study,
            "rungs.folder": str(study.folder.path.resolve()),
            "rungs.trial": str(trial.number),
            "rungs.origin": "suggested" if start is None else f"start point {start}",
            "rungs.objective": metric_name(study.objective.name),
            **({"rungs.commit": self._commit} if self._commit else {}),
            **({"rungs.repeats": str(repeats)} if repeats is not None else {}),
        }
        begun, name = milliseconds(trial.datetime_start), f"trial-{trial.number:04d}"
        return self._client.create_run(
            self._experiment, start_time=begun, tags=tags, run_name=name
        ).info.run_id

    def _send(self, study: Study, trial: FrozenTrial, sent: _SentTrial) -> None:
        from mlflow.entities import Param, RunTag

        rows = [
            row
            for row in timed_rows(study.folder.trial(trial.number), trial)
            if row["epoch"] > sent.epochs
        ]
        values = {**study.space.fixed, **trial.params}
        params = (
            [Param(name, str(value)) for name, value in values.items()]
            if len(values) > sent.params
            else []
        )
        has_turned = sent.state != trial.state.name
        if rows or params or has_turned:
            epochs = rows[-1]["epoch"] if rows else sent.epochs
            tags = {"rungs.state": trial.state.name, "rungs.epochs": str(epochs)}
            if (reason := Notes.of(trial).reason) is not None:
                tags["rungs.reason"] = reason
            metrics = metrics_of(rows, study.objective) + (
                best_metrics(trial, study.objective) if has_turned else []
            )
            noted = [RunTag(*tag) for tag in tags.items()]
            self._client.log_batch(sent.run_id, metrics, params, noted, synchronous=True)
            if trial.datetime_complete and has_turned:
                ended = milliseconds(trial.datetime_complete)
                self._client.set_terminated(sent.run_id, STATUSES[trial.state], ended)
            sent.params, sent.epochs, sent.state = len(values), epochs, trial.state.name
        if sent.is_all_of(trial):
            self._done.add(trial.number)


def following(mirror: MlflowMirror | None, study: Study) -> AbstractContextManager[None]:
    """A mirror's `following`, if there is a mirror."""
    return mirror.following(study) if mirror else nullcontext()


def connect(tracking: Tracking) -> tuple["MlflowClient", str]:
    """MLflow, and its ID of the experiment, which is made if need be.

    Raises:
        ImportError: when it is not installed.
        StudyError: when the experiment was deleted.
        Exception: of any kind, when it can't be used.
    """
    # A search talks to nobody that it wasn't told of.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    client = MlflowClient(tracking.uri)
    experiment = client.get_experiment_by_name(tracking.experiment)
    if experiment is None:
        return client, client.create_experiment(tracking.experiment)
    if experiment.lifecycle_stage == "deleted":
        raise StudyError(
            f"its experiment {tracking.experiment} was deleted; restore it, or remove it for good"
        )
    return client, experiment.experiment_id


@contextmanager
def quick_and_quiet() -> Iterator[None]:
    """Meanwhile MLflow's requests fail soon instead of after minutes.

    What was started before isn't affected.
    """
    before = {name: os.environ[name] for name in SETTINGS if name in os.environ}
    os.environ.update(SETTINGS)
    try:
        yield
    finally:
        for name in SETTINGS:
            os.environ.pop(name, None)
        os.environ.update(before)


def timed_rows(folder: TrialFolder, trial: FrozenTrial) -> list[dict[str, Any]]:
    """A trial's metrics with the `time` when each epoch ended, ms, counted back from the last."""
    if not folder.metrics.exists():
        return []
    time = round(folder.metrics.stat().st_mtime * 1000)
    if trial.datetime_complete:
        # The file may be a copy that was fetched later.
        time = min(time, milliseconds(trial.datetime_complete))
    rows = folder.read_metrics()
    for row in reversed(rows):
        row["time"] = time
        time -= round(row["seconds"] * 1000)
    return rows


def metrics_of(rows: list[dict[str, Any]], objective: Objective) -> list["Metric"]:
    """All metrics of some epochs; an epoch's objective is the last, and so says that all came."""
    from mlflow.entities import Metric

    return [
        Metric(metric_name(name), value, row["time"], row["epoch"])
        for row in rows
        for name, value in sorted(
            row["metrics"].items(), key=lambda item: item[0] == objective.name
        )
    ]


def best_metrics(trial: FrozenTrial, objective: Objective) -> list["Metric"]:
    """What a finished trial is compared by, at its best epoch, so that MLflow can sort by it."""
    from mlflow.entities import Metric

    best = best_epoch(trial, objective)
    if best is None or trial.datetime_complete is None:
        return []
    time = milliseconds(trial.datetime_complete)
    return [
        Metric(f"best/{metric_name(name)}", value, time, best.epoch)
        for name, value in zip(objective.names, best.values, strict=False)
    ]


def metric_name(name: str) -> str:
    """A metric's name as MLflow takes it."""
    return OTHER_CHARACTERS.sub("_", name)


def milliseconds(moment: datetime) -> int:
    """Since 1970, as MLflow counts."""
    return round(moment.timestamp() * 1000)


def root_cause(error: BaseException) -> str:
    """What is at the bottom of an error that others wrap, in one line.

    A key that isn't there says nothing.
    """
    while (cause := error.__cause__ or error.__context__) and not isinstance(cause, LookupError):
        error = cause
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

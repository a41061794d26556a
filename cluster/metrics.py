"""What Ray's metrics endpoint tells of a search; Ray puts `ray_` before the names.

`cluster/monitoring/prometheus.yaml` gathers it, `cluster/monitoring/grafana.json` shows it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from optuna.trial import TrialState
from ray.util.metrics import Counter, Gauge, Histogram

from cluster.search.study import Study
from cluster.slots import Slots

REFRESH_S = 2.0
LATENCIES_S = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0]
OF_STUDY = ("study",)


class Metrics:
    """A search in figures, each with the study's name as a tag."""

    def __init__(self, study: Study, slots: Slots):
        self._study, self._slots = study, slots
        self._tags = {"study": study.space.name}
        self._refreshed_s = 0.0
        self._trials = Gauge("rungs_trials", "Trials by state.", tag_keys=("study", "state"))
        self._epochs = Counter("rungs_epochs", "Epochs that were trained.", tag_keys=OF_STUDY)
        self._best = Gauge(
            "rungs_best_value", "The objective's best value so far.", tag_keys=OF_STUDY
        )
        self._places = Gauge(
            "rungs_slots", "Places where trials can train at once.", tag_keys=OF_STUDY
        )
        self._busy = Gauge("rungs_busy_slots", "Places where trials train.", tag_keys=OF_STUDY)
        self._suggest = Histogram(
            "rungs_suggest_seconds", "For a suggestion.", LATENCIES_S, OF_STUDY
        )
        self._report = Histogram(
            "rungs_report_seconds", "For writing and judging a value.", LATENCIES_S, OF_STUDY
        )

    @contextmanager
    def suggesting(self) -> Iterator[None]:
        """Times a suggestion."""
        begun = time.perf_counter()
        yield
        self._suggest.observe(time.perf_counter() - begun, self._tags)

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Times and counts an epoch's report."""
        begun = time.perf_counter()
        yield
        self._report.observe(time.perf_counter() - begun, self._tags)
        self._epochs.inc(1.0, self._tags)

    def refresh(self) -> None:
        """Tell how things are, when it is time."""
        if time.monotonic() - self._refreshed_s < REFRESH_S:
            return
        self._refreshed_s = time.monotonic()
        states = self._study.states()
        for state in TrialState:
            self._trials.set(states[state], {**self._tags, "state": state.name.lower()})
        if self._study.best:
            self._best.set(self._study.best.value, self._tags)
        self._places.set(self._slots.room, self._tags)
        self._busy.set(self._slots.taken, self._tags)

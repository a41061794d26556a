"""Reading a study from its folder: while it runs, after it ended, after a crash."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from results.study.best import BestEpoch, best_epoch, ranked
from results.study.description import Description, read_description
from results.study.folder import StudyFolder, lock_holder
from results.study.journal import Journal, read_journal
from results.study.journal_replay import Record
from results.study.notes import Notes
from results.study.repeats import counted, repeated_by
from search_spaces import Space


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyRecord:
    """A study as its journal tells it.

    Attributes:
        folder: Where it lies.
        description: What `study.yaml` says.
        trials: All trials, by number.
        holder: Process and host of the launcher that runs it now; None when none does.
        journal: The journal's lines, which also tell when what happened; none for a database.
        repeated_by: For each failed trial that is trained again, the trial that repeats it.
    """

    folder: StudyFolder
    description: Description
    trials: list[FrozenTrial]
    holder: dict[str, Any] | None
    journal: Sequence[Record] = ()
    repeated_by: Mapping[int, int] = field(default_factory=dict)

    def ranked(self) -> list[BestEpoch]:
        """The trials' best epochs, the best trial first."""
        return ranked(self.trials, self.description.objective)

    def start_points(self) -> list[BestEpoch]:
        """The best epochs of the start points that have a value."""
        starts = [trial for trial in self.trials if Notes.of(trial).start_point is not None]
        objective = self.description.objective
        return [best for trial in starts if (best := best_epoch(trial, objective))]

    def counted(self) -> list[FrozenTrial]:
        """The trials that count in the budget: all but the failed ones that are trained again."""
        return counted(self.trials)

    def condition(self) -> str:
        """What is going on: running, finished, interrupted, or dead (its launcher was killed)."""
        if self.holder is not None:
            return (
                f"running (process {self.holder.get('pid', '?')} on {self.holder.get('host', '?')})"
            )
        if is_over(self.trials, self.description.space):
            return "finished"
        if any(trial.state == TrialState.RUNNING for trial in self.trials):
            return "dead: its launcher ended without a word"
        return "interrupted" if self.trials else "never started"


def is_over(trials: Sequence[FrozenTrial], space: Space) -> bool:
    """Whether a study has used up its trials, or its epochs."""
    if sum(trial.state.is_finished() for trial in counted(trials)) >= space.budget.trials:
        return True
    used_up = space.epochs is not None and epochs_of(trials) >= space.epochs
    return used_up and not any(
        trial.datetime_start and not trial.state.is_finished() for trial in trials
    )


def epochs_of(trials: Sequence[FrozenTrial]) -> int:
    """How many epochs all trials together have reported."""
    return sum(len(trial.intermediate_values) for trial in trials)


def read_study(folder: StudyFolder) -> StudyRecord:
    """Read a study; nothing is written, so a study that runs is not disturbed.

    Raises:
        StudyError: when there is no study in the folder, or its journal is damaged or another
            space's; names the line.
        SpaceError: when its `study.yaml` was edited into a wrong one.
    """
    return read_described(folder, read_description(folder))


def read_described(folder: StudyFolder, description: Description) -> StudyRecord:
    """Read a study whose `study.yaml` was read before.

    Raises:
        StudyError: when its trials can't be read, or are another space's.
    """
    folder = replace(folder, mirror=description.checkpoints, begun_in=description.begun_in)
    holder = lock_holder(folder)
    space, objective, database = description.space, description.objective, description.database
    if database:
        journal = Journal(records=[], trials=database.trials(space, objective))
    else:
        journal = read_journal(folder.journal, space, objective)
    return StudyRecord(
        folder=folder,
        description=description,
        trials=journal.trials,
        holder=holder,
        journal=journal.records,
        repeated_by=repeated_by(journal.trials),
    )

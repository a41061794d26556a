"""The study: all trials of one search.

Whatever happens to a trial is written to the journal here, and nowhere else, before anything
follows from it. So a search that is killed at any moment loses nothing but what was not yet
reported, and a study that is opened again knows all that it knew.
"""

import math
import os
from bisect import insort
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from cluster.search.sampler import make_sampler
from cluster.search.scheduler import Decision
from cluster.search.schedulers import make_scheduler
from results.export.export import Export, trial_job
from results.study.best import BestEpoch, best_epoch, ranked
from results.study.database import Database
from results.study.folder import StudyError, StudyFolder
from results.study.identity import SPACE_KEY, identity
from results.study.journal import read_journal
from results.study.notes import Notes, frozen_epoch
from results.study.repeats import repeated_by, to_repeat
from search_spaces import Space
from search_spaces.auto import choose_search
from search_spaces.problems import MAX_WHOLE, is_whole
from search_spaces.space import Objective
from search_spaces.suggest import suggest
from trainables.job import Job

HOPELESS_FAILURES = 5


class Study:
    """The writer of a study's journal.

    Opening a journal that was cut short at any moment puts it in order.

    Args:
        folder: Where all of the study lies.
        space: What it searches.
        objective: What it compares by.
        import_paths: Folders that the task's module may be imported from.
        database: What holds the trials in the place of the journal file.
        split_seed: Of the data's splits; default: the space's seed.
        code: A digest of the task's code, which failed trials note; None: not known.

    Attributes:
        slots: How many trials train at once, as whoever trains them says.
        scheduler: Who decides about the trials.
        best: The best epoch of all trials so far.

    Raises:
        StudyError: when the journal is another space's, or damaged; names the line.
    """

    def __init__(
        self,
        folder: StudyFolder,
        space: Space,
        objective: Objective,
        import_paths: Sequence[str] = (),
        database: Database | None = None,
        split_seed: int | None = None,
        code: str | None = None,
    ):
        self._split_seed = space.seed if split_seed is None else split_seed
        # Trials find themselves in the folder that the search is started from.
        self.working_folder = Path.cwd()
        space, _ = choose_search(space, objective, resumes=False)
        self.folder, self.space, self.objective = folder, space, objective
        self.import_paths = tuple(import_paths)
        self.slots = 1
        self.scheduler = make_scheduler(space, objective, self)
        self._study, self._storage = self._open(database)
        self._study_id = self._storage.get_study_id_from_name(self._study.study_name)
        self._checkpoints = folder.checkpoints()
        self._check_checkpoints()
        self.best: BestEpoch | None = None
        self._code = code
        self._enqueue_start_points()
        self.trained_again = self._enqueue_failed()
        self._ids = {trial.number: self._id_of(trial.number) for trial in self.trials()}
        self._epochs = sum(len(trial.intermediate_values) for trial in self.trials())
        self._queue: list[int] = []
        self._running: set[int] = set()
        self._frozen: dict[int, int] = {}
        self._alone = {trial.number for trial in self.trials() if Notes.of(trial).alone}
        self._repeated = set(repeated_by(self.trials()))  # Only opening a study adds to it.
        self._put_in_order()

    def trials(self) -> list[FrozenTrial]:
        """All trials as the journal has them."""
        return self._study.get_trials(deepcopy=False)

    def counted(self) -> list[FrozenTrial]:
        """The trials that count in the budget: all but the failed ones that are trained again."""
        return [trial for trial in self.trials() if trial.number not in self._repeated]

    def states(self) -> Counter[TrialState]:
        """How many trials are in each state."""
        return Counter(trial.state for trial in self.trials())

    def newcomers(self) -> int:
        """How many new trials may still begin."""
        left = self.space.budget.trials - (len(self._ids) - len(self._repeated))
        return int(max(0, min(left, self.epochs_left())))

    def epochs_left(self) -> float:
        """How many epochs of all trials together may still be trained."""
        most = self.space.epochs
        return math.inf if most is None else max(0, most - self._epochs)

    def noted(self, key: str) -> Any:
        """What was noted with the study under a key; None: nothing."""
        return self._study.user_attrs.get(key)

    def note(self, key: str, value: Any) -> None:
        """Note something with the study, in its journal."""
        self._study.set_user_attr(key, value)

    def next_trial(self) -> FrozenTrial | None:
        """A trial to train: one that was left unfinished, then a frozen one, then a new one.

        None when there is none now, or one that is to train alone does, or waits for others to end.
        While others train there may be one later; see `is_over`.
        """
        if self._alone & self._running:
            return None
        if (number := self._next_queued()) is not None:
            return None if self._must_wait(number) else self._begin(number)
        if (number := self._to_thaw(self._frozen)) is not None:
            return None if self._must_wait(number) else self._thaw(number)
        if self.newcomers():
            return self._begin(None)
        if not self._running:
            self._prune(list(self._frozen))
        return None

    def is_over(self) -> bool:
        """Whether there will be no more trials to train, whatever the running ones report."""
        if self._next_queued() is not None or self.newcomers():
            return False
        return not (self.scheduler.freezes and (self._running or self._frozen))

    def job(self, trial: FrozenTrial) -> Job:
        """What a process needs to train a trial."""
        return replace(
            trial_job(self.folder, self.space, self.objective, trial),
            split_seed=self._split_seed,
            import_paths=self.import_paths,
            working_folder=self.working_folder,
            known_epoch=last_epoch(trial),
        )

    def report(self, number: int, epoch: int, value: float, second: float | None = None) -> bool:
        """Write a trial's value at an epoch, and say whether it may train on.

        If it may not, it is finished. With two objectives, `second` is the value of the other one.
        An epoch that is not beyond those that the journal has (a resumed trial may report some
        again) changes nothing, and neither does a trial that isn't running any more.

        Raises:
            ValueError: when the epoch is no whole number from 1 that the journal can hold.
        """
        if not (is_whole(epoch) and 1 <= epoch <= MAX_WHOLE):
            raise ValueError(f"epoch must be a whole number from 1, got {epoch!r}")
        trial = self._trial(number)
        if trial.state != TrialState.RUNNING:
            return False
        if epoch <= (after := last_epoch(trial)):
            return True
        value, second = float(value), None if second is None else float(second)
        if second is not None:
            value = value if math.isfinite(second) else math.nan
            if math.isfinite(second) and second != Notes.of(trial).second_at(epoch):
                self._note(number, Notes(second_values={epoch: second}))
        value = value if math.isfinite(value) else math.nan
        self._storage.set_trial_intermediate_value(self._ids[number], epoch, value)
        self._epochs += 1
        self.scheduler.record(number, epoch, value, second, after=after)
        goes_on = self._decide(self._trial(number))
        self._renew_best(self._trial(number))
        return goes_on

    def end(self, number: int) -> None:
        """A running trial's training ended by itself.

        It is complete at the best that it reported, or failed if that is nothing.
        """
        if self._trial(number).state != TrialState.RUNNING:
            return
        if best_epoch(self._trial(number), self.objective) is None:
            self.fail(number, "the training ended without a report")
        else:
            self._complete(self._trial(number))
            self._renew_best(self._trial(number))

    def fail(self, number: int, reason: str) -> None:
        """A running trial crashed for good.

        One that is finished, or left to a later launch, stays as it is.
        """
        if self._trial(number).state != TrialState.RUNNING:
            return
        self._note(number, Notes(reason=_as_text(reason), code=self._code))
        self._finish(number, TrialState.FAIL)
        if self.best and self.best.number == number:
            self.best = None
            self._find_best()

    def set_apart(self, number: int, reason: str) -> None:
        """A running trial ran out of the memory that it shared: it goes on when it can be alone.

        From now on nothing begins before it, and nothing beside it.
        """
        if self._trial(number).state == TrialState.RUNNING:
            warning = f"trains alone from now on, as beside others it failed: {_as_text(reason)}"
            self._note(number, Notes(alone=True, warning=warning))
            self._alone.add(number)
            self._leave(number)

    def is_alone(self, number: int) -> bool:
        """Whether a trial is to be trained with no other one beside it."""
        return number in self._alone

    def warn(self, number: int, text: str) -> None:
        """Keep something that the user should know of a running trial."""
        if self._trial(number).state == TrialState.RUNNING:
            self._note(number, Notes(warning=_as_text(text)))

    def release(self) -> None:
        """Leave every running trial to a later launch, which goes on from its last checkpoint.

        It becomes WAITING, Optuna's only state beside RUNNING for a trial without an end, and is
        handed out again under its number, with its values. Frozen trials stay frozen.
        """
        for trial in self._in_state(TrialState.RUNNING):
            self._leave(trial.number)

    def hopeless(self) -> str | None:
        """Why going on is pointless, if it is: all of several trials failed for one reason."""
        finished = [trial for trial in self.counted() if trial.state.is_finished()]
        reasons = [Notes.of(trial).reason for trial in finished if trial.state == TrialState.FAIL]
        if len(reasons) == len(finished) >= HOPELESS_FAILURES and len(set(reasons)) == 1:
            return reasons[0]
        return None

    def export(self, best: BestEpoch) -> Export:
        """A trial's configuration and what it reached."""
        job = self.job(self._trial(best.number))
        return Export(job=job, import_paths=self.import_paths, study=self.space.name, best=best)

    def _open(self, database: Database | None) -> tuple[optuna.Study, BaseStorage]:
        self.folder.path.mkdir(parents=True, exist_ok=True)
        storage, begun = (
            database.open(self.space, self.objective) if database else self._open_journal()
        )
        name = database.study if database else self.space.name
        sampler = make_sampler(self.space, self.objective, self.scheduler)
        if begun:
            study = optuna.load_study(study_name=name, storage=storage, sampler=sampler)
        else:
            direction = self.objective.direction
            study = optuna.create_study(
                study_name=name, storage=storage, sampler=sampler, direction=direction
            )
        if SPACE_KEY not in study.user_attrs:
            study.set_user_attr(SPACE_KEY, identity(self.space))
        return study, storage

    def _open_journal(self) -> tuple[BaseStorage, bool]:
        # The launcher's lock is held: a lock file of the journal was left by a process that is no
        # more.
        self.folder.journal.with_name(self.folder.journal.name + ".lock").unlink(missing_ok=True)
        cut_torn_line(self.folder.journal)
        begun = bool(read_journal(self.folder.journal, self.space, self.objective).records)
        return JournalStorage(WholeJournal(self.folder.journal)), begun

    def _check_checkpoints(self) -> None:
        """A trial must not go on from the checkpoint of another one, whose journal was removed."""
        unknown = sorted(self._checkpoints - {trial.number for trial in self.trials()})
        if unknown:
            raise StudyError(
                f"{self.folder.path / 'trials'} has checkpoints of trials that the journal doesn't "
                f"know ({', '.join(map(str, unknown))}); remove that folder, or give this study "
                "another --name"
            )

    def _enqueue_start_points(self) -> None:
        enqueued = {Notes.of(trial).start_point for trial in self.trials()}
        for i, point in enumerate(self.space.start[: self.space.budget.trials]):
            if i not in enqueued:
                self._study.enqueue_trial(dict(point), user_attrs=Notes(start_point=i).to_attrs())

    def _enqueue_failed(self) -> str | None:
        """Have failed trials trained again where that may help; in words, how many and why."""
        failed, why = to_repeat(self.trials(), self.objective, self._code)
        for trial in failed:
            notes = Notes(start_point=Notes.of(trial).start_point, repeats=trial.number)
            self._study.enqueue_trial(trial.params, user_attrs=notes.to_attrs())
        plural = "" if len(failed) == 1 else "s"
        return f"trains {len(failed)} failed trial{plural} again: {why}" if failed else None

    def _put_in_order(self) -> None:
        """Come to the state that the study had: the rungs, who is frozen, the queue, the best.

        What was to be decided when a crash cut it off is decided now; what was running waits.
        """
        for trial in self.counted():
            self._tell_scheduler(trial)
        for trial in self.trials():
            if (epoch := frozen_epoch(trial)) is not None:
                self._freeze(trial, epoch)
            elif trial.state == TrialState.RUNNING:
                self._running.add(trial.number)
            elif trial.state == TrialState.WAITING:
                self._queue.append(trial.number)
        for number in sorted(self._running):
            if self._trial(number).intermediate_values:
                self._decide(self._trial(number))
        self.release()
        self._prune_out_of_reach()
        self._find_best()
        self._drop_checkpoints()

    def _tell_scheduler(self, trial: FrozenTrial) -> None:
        after, notes = 0, Notes.of(trial)
        for epoch, value in sorted(trial.intermediate_values.items()):
            second = notes.second_at(epoch)
            self.scheduler.record(trial.number, epoch, value, second, after=after)
            after = epoch
        if notes.passed_epoch is not None:
            self.scheduler.passed(trial.number, notes.passed_epoch)

    def _next_queued(self) -> int | None:
        """The first trial that was left; if no more epochs may be trained, of those that began."""
        if self.epochs_left() > 0:
            return next(iter(self._queue), None)
        begun = (number for number in self._queue if self._trial(number).datetime_start)
        return next(begun, None)

    def _must_wait(self, number: int) -> bool:
        """Whether a trial is to be alone, while others train."""
        return bool(self._running) and self.is_alone(number)

    def _leave(self, number: int) -> None:
        """Have a running trial wait for its next turn."""
        self._storage.set_trial_state_values(self._ids[number], state=TrialState.WAITING)
        self._running.discard(number)
        insort(self._queue, number)

    def _begin(self, number: int | None) -> FrozenTrial:
        """Have a trial run, a new one if it has no number yet.

        Optuna's `ask` would do, but that it hands out any WAITING trial, also a frozen one.
        """
        if number is None:
            trial_id = self._storage.create_new_trial(self._study_id)
        else:
            self._queue.remove(number)
            trial_id = self._ids[number]
            self._storage.set_trial_state_values(trial_id, state=TrialState.RUNNING)
        trial = optuna.Trial(self._study, trial_id)
        self._ids[trial.number] = trial_id
        self._running.add(trial.number)
        self._checkpoints.add(trial.number)
        if not self._trial(trial.number).params and not trial.user_attrs:
            self._note(trial.number, self._expected(trial.number, 0))
        suggest(self.space, trial)
        return self._trial(trial.number)

    def _to_thaw(self, frozen: dict[int, int], leaving: int | None = None) -> int | None:
        """The frozen trial to go on with, when the trial `leaving` doesn't run any more."""
        if not frozen or self.epochs_left() <= 0:
            return None
        closing = not self.newcomers() and not self._running - {leaving}
        return self.scheduler.thaw(frozen, closing=closing)

    def _thaw(self, number: int) -> FrozenTrial:
        epoch = self._frozen.pop(number)
        self._storage.set_trial_state_values(self._ids[number], state=TrialState.RUNNING)
        self._pass(number, epoch)
        self._running.add(number)
        return self._trial(number)

    def _freeze(self, trial: FrozenTrial, epoch: int) -> None:
        """The note comes first: whoever finds it in a running trial knows how to go on."""
        if Notes.of(trial).frozen_epoch != epoch:
            self._note(trial.number, Notes(frozen_epoch=epoch))
        if trial.state == TrialState.RUNNING:
            trial_id = self._ids[trial.number]
            self._storage.set_trial_state_values(trial_id, state=TrialState.WAITING)
        self._running.discard(trial.number)
        self._frozen[trial.number] = epoch
        self.folder.trial(trial.number).keep_last_alone()

    def _prune_out_of_reach(self) -> None:
        under_way = {*self._running, *self._queue}
        self._prune(self.scheduler.out_of_reach(self._frozen, under_way, self.newcomers()))

    def _prune(self, frozen: list[int]) -> None:
        """End frozen trials, each at its last epoch."""
        for number in frozen:
            value = self._trial(number).intermediate_values[self._frozen.pop(number)]
            self._storage.set_trial_state_values(
                self._ids[number], state=TrialState.PRUNED, values=[value]
            )
        if frozen:
            self._drop_checkpoints()

    def _find_best(self) -> None:
        bests = ranked(self.trials(), self.objective)
        if bests:
            self._renew_best(self._trial(bests[0].number))
        else:
            self.folder.best.unlink(missing_ok=True)

    def _decide(self, trial: FrozenTrial) -> bool:
        """Whether a trial goes on after the last epoch it reported; if not, it leaves its slot."""
        epoch, value = max(trial.intermediate_values.items())
        if math.isfinite(value) and epoch >= self.space.budget.max_epochs:
            self._complete(trial)
            return False
        if not math.isfinite(value) or self.epochs_left() <= 0:
            self._finish(trial.number, TrialState.PRUNED)
            return False
        decision = self._decision(trial, epoch)
        if decision is Decision.STOP:
            self._finish(trial.number, TrialState.PRUNED)
        elif decision is Decision.FREEZE:
            self._freeze(trial, epoch)
            self._prune_out_of_reach()
        return decision is Decision.GO_ON

    def _decision(self, trial: FrozenTrial, epoch: int) -> Decision:
        """The scheduler's decision; that a trial passed a rung is noted in the journal.

        After a crash the rung is not asked again: others have reached it since, so the answer might
        be another one. A trial that would be frozen, and thawed at once, goes on in its slot.
        """
        if Notes.of(trial).passed_epoch == epoch:
            return Decision.GO_ON
        number, earlier = trial.number, [each for each in trial.intermediate_values if each < epoch]
        after = max(earlier, default=0)
        decision = self.scheduler.decide(number, epoch, after=after)
        if decision is Decision.FREEZE and self._is_next(number, epoch):
            decision = Decision.GO_ON
        if decision is Decision.GO_ON and any(after < rung <= epoch for rung in self.space.rungs):
            self._pass(number, epoch)
        return decision

    def _is_next(self, number: int, epoch: int) -> bool:
        """Whether a trial, were it frozen, would be the next to be handed out."""
        if self._next_queued() is not None:
            return False
        return self._to_thaw({**self._frozen, number: epoch}, leaving=number) == number

    def _pass(self, number: int, epoch: int) -> None:
        self._note(number, self._expected(number, epoch))
        self._note(number, Notes(passed_epoch=epoch))
        self.scheduler.passed(number, epoch)

    def _expected(self, number: int, epoch: int) -> Notes:
        expected = self.scheduler.expected(number, epoch)
        return Notes(expected={epoch: expected} if expected else {})

    def _note(self, number: int, notes: Notes) -> None:
        for key, value in notes.to_attrs().items():
            self._storage.set_trial_user_attr(self._ids[number], key, value)

    def _complete(self, trial: FrozenTrial) -> None:
        best = best_epoch(trial, self.objective)
        assert best is not None
        self._finish(trial.number, TrialState.COMPLETE, best.value)

    def _finish(self, number: int, state: TrialState, value: float | None = None) -> None:
        self._study.tell(number, value, state=state)
        self._running.discard(number)
        self._drop_checkpoints()

    def _drop_checkpoints(self) -> None:
        """Keep the checkpoints of unfinished trials and of the best `budget.keep`; free the others.

        All of them would fill a disk: each has a model and an optimizer.
        """
        finished = [
            self._trial(number)
            for number in self._checkpoints
            if self._trial(number).state.is_finished()
        ]
        kept = {best.number for best in ranked(finished, self.objective)[: self.space.budget.keep]}
        for trial in finished:
            if trial.number not in kept:
                self.folder.delete_checkpoint(trial.number)
                self._checkpoints.discard(trial.number)

    def _renew_best(self, trial: FrozenTrial) -> None:
        """Compare a trial with the best so far, and write `best.yaml` if it is better."""
        best = best_epoch(trial, self.objective)
        if best is None or (
            self.best and best.rank(self.objective) <= self.best.rank(self.objective)
        ):
            return
        self.best = best
        self.export(best).write(self.folder.best)

    def _id_of(self, number: int) -> int:
        """What the storage calls a trial; a database counts on over all of its studies."""
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)

    def _trial(self, number: int) -> FrozenTrial:
        return self._storage.get_trial(self._ids[number])

    def _in_state(self, state: TrialState) -> list[FrozenTrial]:
        return [trial for trial in self.trials() if trial.state == state]


def last_epoch(trial: FrozenTrial) -> int:
    """The last epoch that a trial reported; 0 before its first."""
    return max(trial.intermediate_values, default=0)


def _as_text(text: str) -> str:
    """What a journal can hold: a reason may quote a file's name that is no valid text."""
    return text.encode("utf-8", "backslashreplace").decode()


def cut_torn_line(journal: Path) -> None:
    """Drop a last line that a crash cut short.

    The next line would be written right behind it, and the two could not be read any more.
    """
    if journal.is_file():
        content = journal.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(journal, whole)


class WholeJournal(JournalFileBackend):
    """A journal file that holds whole lines only, also when the disk is full.

    A write that fails for lack of room may have written a part. A study that goes on when there is
    room again would add to half a line, and Optuna could not read it any more.
    """

    def __init__(self, path: Path):
        super().__init__(str(path))
        self._path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append all lines, or none.

        Raises:
            OSError: when they can't be written.
        """
        size = self._path.stat().st_size
        try:
            super().append_logs(logs)
        except OSError:
            os.truncate(self._path, size)
            raise

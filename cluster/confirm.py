"""Training the best configurations again on fresh seeds, as a small study of its own."""

import json
from dataclasses import replace
from hashlib import sha256

from cluster.runner import RunOptions, explain_end, run_trials
from results.confirm.candidates import (
    Candidate,
    confirmation_of,
    print_confirmation,
    select_candidates,
)
from results.confirm.confirmation import read_confirmation
from results.console import Console
from results.exit_codes import EXIT_DONE
from results.export.export import trial_export
from results.study.description import Description
from results.study.folder import StudyError, StudyFolder
from results.study.record import StudyRecord, read_study
from results.text import program
from search_spaces import Budget, Search, Space
from trainables.mirror import inside
from trainables.seeding import derive_seed


def confirm(
    record: StudyRecord, *, top: int, seeds: int, options: RunOptions, console: Console
) -> int:
    """Train the best few and the start points again, read the test split, say which is the best.

    `best.yaml` then names that one. What was interrupted goes on; what was confirmed already is
    just printed. Gives the exit code.

    Raises:
        StudyError: when the search still runs, no trial has a value, or `confirm.json` is damaged.
    """
    if record.holder is not None:
        raise StudyError(
            f"{record.folder.path} is {record.condition()}: confirm it when the search is over"
        )
    candidates = select_candidates(record, top)
    confirmation = read_confirmation(record.folder)
    description = confirming(record.description, candidates, seeds)
    folder = StudyFolder(record.folder.confirmation / digest(description.space))
    halt = run_trials(folder, description, options, console)
    trainings = read_study(folder)
    if trainings.condition() != "finished":
        return explain_end(
            halt, f"{program()} confirm {record.folder.path} --top {top} --seeds {seeds}", console
        )
    if confirmation is None or confirmation.trainings != folder.path.name:
        confirmation = confirmation_of(trainings, candidates, seeds, earlier=confirmation)
        confirmation.write(record.folder)
    print_confirmation(confirmation, console)
    best_name = confirmation.candidates[0].name
    winner = next(candidate for candidate in candidates if candidate.name == best_name)
    trial_export(record, winner.best).write(record.folder.best)
    console.say(f"{record.folder.best} is now {winner.name}'s")
    return EXIT_DONE


def confirming(parent: Description, candidates: list[Candidate], seeds: int) -> Description:
    """A study on the parent's splits with its own seeds: start point `i` is candidate `i // seeds`.

    A training that failed may be repeated under another number, but is the same start point.
    """
    split_seed = parent.space.seed if parent.split_seed is None else parent.split_seed
    space = confirming_space(parent.space, candidates, seeds)
    checkpoints = (
        inside(parent.checkpoints, f"confirm/{digest(space)}") if parent.checkpoints else None
    )
    begun_in = f"{parent.begun_in}/confirm/{digest(space)}" if parent.begun_in else None
    return replace(
        parent,
        space=space,
        database=None,
        checkpoints=checkpoints,
        mlflow=None,
        split_seed=split_seed,
        begun_in=begun_in,
    )


def confirming_space(space: Space, candidates: list[Candidate], seeds: int) -> Space:
    """The space of the small study: nothing is suggested and nothing is stopped."""
    start = tuple(dict(candidate.values) for candidate in candidates for _ in range(seeds))
    return replace(
        space,
        name=f"{space.name}-confirm",
        start=start,
        search=Search(sampler="none", scheduler="none"),
        budget=Budget(
            trials=len(start),
            max_epochs=space.budget.max_epochs,
            retries=space.budget.retries,
            keep=len(start),
        ),
        seed=derive_seed(space.seed, "confirm"),
    )


def digest(space: Space) -> str:
    """A short name that differs where the space does."""
    return sha256(json.dumps(space.to_dict(), sort_keys=True).encode()).hexdigest()[:8]

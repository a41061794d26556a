"""From a described study to a finished one: lock, journal, Ray, view, signals."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Thread
from types import FrameType
from typing import Any

import optuna
import ray
from rich.text import Text

from cluster.autoscaler import machines_for
from cluster.connect import check_code, check_reachable, connect, current_cluster
from cluster.local_ray import token_text
from cluster.search.study import Study
from cluster.tune import search
from cluster.tune_hooks import Halt
from cluster.view import open_view
from results.console import Console
from results.exit_codes import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED
from results.mlflow.mirror import MlflowMirror, following
from results.study.description import (
    Description,
    as_begun,
    changes,
    code_digest,
    origin,
    with_changes,
)
from results.study.folder import StudyError, StudyFolder, StudyLock
from results.study.record import StudyRecord, read_study
from results.summary import nothing_found_text, print_summary
from results.text import budget_text, program, search_text
from trainables.trial_folder import remove_leftovers


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """How to run a study; nothing of it changes what is searched.

    Attributes:
        address: Of a Ray cluster; None starts Ray on this machine.
        concurrent: Trials at once, at most; None: as many as fit.
        quiet: Show no progress.
    """

    address: str | None = None
    concurrent: int | None = None
    quiet: bool = False


def run_study(
    folder: StudyFolder, description: Description, options: RunOptions, console: Console
) -> int:
    """Run a study to its end, to its time limit or until interrupted; gives the exit code.

    Raises:
        StudyError: when another launcher runs it, the folder holds another study or can't be
            written, there is no cluster, or no trial fits into it.
    """
    halt = run_trials(folder, description, options, console)
    record = read_study(folder)
    print_summary(record, console)
    return _conclude(record, halt, console)


def run_trials(
    folder: StudyFolder, description: Description, options: RunOptions, console: Console
) -> Halt:
    """Run a study's trials; gives what ended them early, if anything did.

    Raises:
        StudyError: as `run_study`.
    """
    space = description.space
    halt = Halt(space.budget.time_s)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    mirror = MlflowMirror(description, console) if description.mlflow else None
    with StudyLock(folder):
        remove_leftovers(folder.path)
        study = _open_study(folder, description, console)
        done = sum(trial.state.is_finished() for trial in study.counted())
        about = f": {space.task}, {budget_text(space)}; writes {folder.path}"
        console.say(Text.assemble((space.name, "bold"), about))
        if why := description.origin.get("search"):
            console.say(f"chosen: {search_text(space, why)}")
        if study.trained_again:
            console.say(study.trained_again)
        if not study.is_over():
            if done or len(study.trials()) > len(space.start):
                console.say(f"going on: {done} trials are finished")
            _search(study, mirror, halt, options, console)
        else:
            with following(mirror, study):
                pass  # The launcher before may have been killed before it had sent all.
    return halt


def _open_study(folder: StudyFolder, description: Description, console: Console) -> Study:
    """Open the journal, new or begun, and write what is to be noted in `study.yaml`.

    The description keeps by which code and command the study was begun; what has changed since is
    added to it, and said.
    """
    try:
        begun = as_begun(folder, description)
        found = changes(begun.origin, origin(description.space.task))
        if not folder.journal.exists():
            begun.write(
                folder
            )  # Before the journal, so that a crash between the two leaves a study.
        study = Study(
            replace(folder, mirror=description.checkpoints, begun_in=begun.begun_in),
            description.space,
            description.objective,
            description.import_paths,
            description.database,
            description.split_seed,
            code_digest(description.space.task),
        )
        trials, wanted = len(study.counted()), description.space.budget.trials
        if trials > wanted:
            raise StudyError(
                f"{folder.path} has {trials} trials already: budget.trials must not be below "
                f"that, got {wanted}"
            )
        with_changes(begun, found).write(folder)
    except OSError as error:
        raise StudyError(f"{folder.path} can't be written: {error}") from error
    for text in found:
        console.say(
            f"since this study began, {text}: its trials may not be comparable", style="yellow"
        )
    return study


def _search(
    study: Study, mirror: MlflowMirror | None, halt: Halt, options: RunOptions, console: Console
) -> None:
    resources, concurrent = study.space.resources, options.concurrent
    dashboard = connect(options.address).dashboard
    try:
        with (
            _signals_halt(halt, console),
            following(mirror, study),
            machines_for(resources, concurrent, halt, console) as after_last,
        ):
            if halt.stop_all():
                return
            check_code(study.space.task, study.import_paths)
            check_reachable(study.folder)
            cluster = current_cluster(dashboard)
            slots = cluster.slots(resources, concurrent)
            console.say(
                f"{cluster.cpus:g} CPUs, {cluster.gpus:g} GPUs: {slots} trials at once; "
                f"{dashboard_text(dashboard)}"
            )
            with open_view(study, halt, console, quiet=options.quiet) as view:
                search(
                    study,
                    cluster,
                    concurrent=concurrent,
                    view=view,
                    halt=halt,
                    after_last=after_last,
                )
            study.folder.fetch()
    finally:
        ray.shutdown()


def dashboard_text(address: str) -> str:
    """Where the dashboard is, and how to come there from another machine."""
    if not address:
        return "no dashboard"
    port = address.rpartition(":")[2]
    return (
        f"dashboard http://{address}\n(from elsewhere: ssh -L {port}:{address} "
        f"{socket.gethostname()}, then "
        f"http://localhost:{port}; {token_text()})"
    )


@contextmanager
def _signals_halt(halt: Halt, console: Console) -> Iterator[None]:
    """The first interrupt ends the search in order; the second leaves at once."""

    def handle(number: int, frame: FrameType | None) -> None:
        if halt.reason:
            os._exit(EXIT_INTERRUPTED)
        halt.request("interrupted")
        # By a thread of its own: the signal may have come in the middle of a line, which can't be
        # broken into.
        Thread(
            target=console.say, args=("stopping; once more to leave at once", "yellow"), daemon=True
        ).start()

    before: dict[int, Any] = {
        number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def explain_end(halt: Halt, again: str, console: Console) -> int:
    """Say why it ended early, if it did, and by which command it goes on; gives the exit code."""
    if halt.reason == "interrupted":
        console.say(f"interrupted; go on with: {again}", style="yellow")
        return EXIT_INTERRUPTED
    if halt.reason == "time":
        console.say(f"the time is over; go on with: {again}", style="yellow")
    elif halt.reason:
        console.say(f"ended early: {halt.reason}", style="red")
        console.say(f"once that is mended: {again}")
        return EXIT_FAILED
    return EXIT_DONE


def _conclude(record: StudyRecord, halt: Halt, console: Console) -> int:
    """Say how it ended and what to do next; a search that found nothing has failed."""
    path = record.folder.path
    code = explain_end(halt, f"{program()} --resume {path}", console)
    if code != EXIT_INTERRUPTED and not record.ranked():
        console.say(nothing_found_text(record), style="red")
        console.say("once that is mended, the same command trains the failed trials again")
        return EXIT_FAILED
    if code == EXIT_DONE:
        console.say(
            f"look at it:            {program()} report {path}\n"
            f"confirm the best:      {program()} confirm {path}\n"
            f"train the best again:  {program()} train {record.folder.best}\n"
            f"export the best:       {program()} export {path} --top 3\n"
            f"more trials:           {program()} --resume {path} --trials N"
        )
    return code

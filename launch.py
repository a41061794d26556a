"""The command line of Rungs: searches a space, and looks after what comes out."""

import argparse
import gc
import os
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from results.console import Console
from results.exit_codes import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_MISTAKE
from results.study.folder import StudyError, StudyFolder
from results.text import program
from search_spaces import SpaceError, parse_duration
from search_spaces.checks import GREATEST_SEED
from search_spaces.problems import MAX_WHOLE
from trainables.config import TaskError
from trainables.machine import settle_home
from trainables.terminal import be_utf8, keep_output, outliving_terminal
from trainables.user_code.importing import describe

if TYPE_CHECKING:
    from results.study.description import Description

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

console = Console()


def search(args: argparse.Namespace) -> int:
    """Begin a study of a space, or go on with it if it was begun."""
    from results.study.description import (
        Description,
        checkpoints_of,
        database_of,
        mlflow_of,
        origin,
        with_first_paths,
    )
    from search_spaces import load_space
    from trainables.accepting import accept_at
    from trainables.knobs import check_knobs

    budget = {"trials": args.trials, "max_epochs": args.max_epochs, "time": args.time}
    seed = [] if args.seed is None else [f"seed={args.seed}"]
    space = load_space(args.space, overrides=[*args.set, *seed], budget=budget)
    import_paths = tuple(dict.fromkeys([str(space.file.parent.resolve()), str(Path.cwd())]))
    space, objective = accept_at(space, import_paths)
    folder = StudyFolder(
        Path(args.out) / study_name(space.name if args.name is None else args.name)
    )
    is_new = not folder.exists()
    if is_new:  # One that was begun before this was refused goes on as it is.
        check_knobs(space)
    description = Description(
        space=with_first_paths(space, folder),
        objective=objective,
        import_paths=import_paths,
        origin=origin(space.task),
        database=database_of(folder, args.storage, space),
        checkpoints=checkpoints_of(folder, args.checkpoints),
        mlflow=mlflow_of(folder, args.mlflow, space),
    )
    return rehearsed_run(folder, description, args) if is_new else run(folder, description, args)


def resume(args: argparse.Namespace) -> int:
    """Go on with a study; only its budgets may change."""
    from dataclasses import replace

    from results.study.description import lying_here, read_description
    from trainables.accepting import accept_at

    fixed = {
        "--max-epochs": args.max_epochs,
        "--set": args.set,
        "--seed": args.seed,
        "--name": args.name,
    }
    fixed |= {"--storage": args.storage, "--checkpoints": args.checkpoints, "--mlflow": args.mlflow}
    given = [option for option, value in fixed.items() if value not in (None, [])]
    if given:
        raise StudyError(
            f"--resume goes on with the same study: {', '.join(given)} would make it another one"
        )
    folder = StudyFolder(Path(args.resume))
    description = read_description(folder)
    folder = replace(folder, begun_in=description.begun_in)
    budget = description.space.budget
    if args.trials is not None and args.trials < budget.trials:
        raise StudyError(
            f"--trials may be raised on --resume, never lowered: the study has {budget.trials}, "
            f"got {args.trials}"
        )
    budget = replace(
        budget,
        trials=args.trials or budget.trials,
        time_s=parse_duration(args.time) if args.time else budget.time_s,
    )
    description = replace(description, space=replace(description.space, budget=budget))
    space_here = lying_here(description.space, folder)
    _, objective = accept_at(space_here, description.import_paths)
    if objective != description.objective:
        raise StudyError(
            f"{folder.description} names the objective {description.objective.name}, which isn't "
            "the task's"
        )
    return run(folder, description, args)


def rehearsed_run(folder: StudyFolder, description: "Description", args: argparse.Namespace) -> int:
    """Run a new study, unless its task breaks in the first steps of the first configuration."""
    from trainables.rehearsal_process import Rehearsal, needs_rehearsal

    # Another machine of a cluster may have what this one lacks, a GPU or files.
    if args.address or not needs_rehearsal(description.space):
        return run(folder, description, args)
    with Rehearsal(description.space, description.import_paths) as rehearsal:
        import cluster.runner  # noqa: F401 - it takes seconds, and so does the rehearsal

        mistake = rehearsal.mistake()
    if mistake is not None:
        print(mistake, end="", file=sys.stderr)
        return EXIT_MISTAKE
    return run(folder, description, args)


def run(folder: StudyFolder, description: "Description", args: argparse.Namespace) -> int:
    """Run a study whose space has been found to be right; only now is Ray imported."""
    from cluster.runner import RunOptions, run_study

    options = RunOptions(address=args.address, concurrent=args.concurrent, quiet=args.quiet)
    return run_study(folder, description, options, console)


def spaces(args: argparse.Namespace) -> int:
    """Every built-in space, its task and its parameters."""
    from results.text import space_lines
    from search_spaces import builtin_spaces, load_space

    for path in builtin_spaces():
        for line in space_lines(load_space(path)):
            console.say(line)
    return EXIT_DONE


def check(args: argparse.Namespace) -> int:
    """Validate a space without starting anything, or train a little of it in this process."""
    from search_spaces import load_space
    from trainables.accepting import accept_at
    from trainables.knobs import check_knobs

    space = load_space(args.space)
    import_paths = [str(space.file.parent.resolve())]
    space, objective = accept_at(space, import_paths)
    check_knobs(space)
    if args.run:
        from trainables.rehearsal import rehearse

        for line in rehearse(space, objective, import_paths):
            console.say(line)
    budget = space.budget
    console.say(
        f"{space.file.name}: ok. {space.task}, {objective.text}; "
        f"{len(space.parameters)} parameters, {len(space.start)} start points, "
        f"{budget.trials} trials of up to {budget.max_epochs} epochs"
    )
    return EXIT_DONE


def train(args: argparse.Namespace) -> int:
    """Train one exported configuration on the full budget."""
    from results.export.retrain import retrain

    if args.workers == 1:
        return retrain(Path(args.config), seed=args.seed, console=console)
    from cluster.group_train import train_together

    return retrain(
        Path(args.config), seed=args.seed, console=console, train=train_together(args.workers)
    )


def status(args: argparse.Namespace) -> int:
    """What a study has done and is doing: while it runs, after it ended, after a crash."""
    from results.study.record import read_study
    from results.summary import print_summary

    record = read_study(StudyFolder(Path(args.study)))
    console.say(Text.assemble((record.description.space.name, "bold"), f": {record.condition()}"))
    print_summary(record, console)
    return EXIT_DONE


def export(args: argparse.Namespace) -> int:
    """Write the best configurations so that anyone can train them again."""
    from results.export.folder import export_study
    from results.study.record import read_study

    record = read_study(StudyFolder(Path(args.study)))
    for written in export_study(record, Path(args.to or record.folder.exports), top=args.top):
        console.say(f"{written.path}: {written.text}")
    return EXIT_DONE


def confirm(args: argparse.Namespace) -> int:
    """Train the best again on fresh seeds, read the test split, and say which is the best."""
    from results.study.description import lying_here
    from results.study.record import read_study
    from trainables.accepting import accept_at

    record = read_study(StudyFolder(Path(args.study)))
    space_here = lying_here(record.description.space, record.folder)
    accept_at(space_here, record.description.import_paths)

    from cluster.confirm import confirm
    from cluster.runner import RunOptions

    options = RunOptions(address=args.address, concurrent=args.concurrent, quiet=args.quiet)
    return confirm(record, top=args.top, seeds=args.seeds, options=options, console=console)


@contextmanager
def without_cycle_search() -> Iterator[None]:
    """Don't look for unreachable cycles: what a command that soon ends imports and reads stays.

    Over the many objects of PyTorch and of a study that search takes a fifth of the time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@without_cycle_search()
def report(args: argparse.Namespace) -> int:
    """Write the page that shows a study; its brief form on the terminal comes in any case."""
    from results.report import report

    console.say(str(report(StudyFolder(Path(args.study)), console)))
    return EXIT_DONE


def watch(args: argparse.Namespace) -> int:
    """Serve the page on this machine alone; it renews itself while the search runs."""
    from results.report import watch

    watch(StudyFolder(Path(args.study)), args.port)
    return EXIT_DONE


@without_cycle_search()
def compare(args: argparse.Namespace) -> int:
    """Show several studies side by side."""
    from results.report import compare

    folders = [StudyFolder(Path(study)) for study in args.studies]
    console.say(str(compare(folders, Path(args.to), console)))
    return EXIT_DONE


def pictures(args: argparse.Namespace) -> int:
    """Draw what the best configuration's model does with validation data."""
    from results.pictures import draw
    from results.study.record import read_study

    for path in draw(read_study(StudyFolder(Path(args.study))), trial=args.trial, rows=args.rows):
        console.say(str(path))
    return EXIT_DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; a user's mistake becomes one message on standard error and exit code 2."""
    keep_output()
    os.environ["MPLBACKEND"] = (
        "agg"  # Pictures go to files, whatever a notebook's environment says.
    )
    settle_home()
    try:
        Path.cwd()
    except FileNotFoundError:
        print("error: the current folder is gone: go to another one", file=sys.stderr)
        return EXIT_MISTAKE
    try:
        args = parse(list(sys.argv[1:] if argv is None else argv))
        if args.command is watch:  # Nobody could end it any more by Ctrl-C.
            return run_command(args)
        with outliving_terminal():
            return run_command(args)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except (SpaceError, StudyError, TaskError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_MISTAKE
    except PermissionError as error:
        print(f"error: this user may not use {error.filename}: {error.strerror}", file=sys.stderr)
        return EXIT_MISTAKE


def run_command(args: argparse.Namespace) -> int:
    """Run a command; the user's code that runs in this process may try to end it."""
    try:
        return args.command(args)
    except SystemExit as error:
        traceback.print_exception(error)
        print(f"error: the task's code called sys.exit: {describe(error)}", file=sys.stderr)
        return EXIT_FAILED


def parse(argv: list[str]) -> argparse.Namespace:
    """Arguments with the function that serves them as `command`."""
    if argv and not argv[0].startswith("-"):
        return command_parser().parse_args(argv)
    parser = search_parser()
    args = parser.parse_args(argv)
    args.set = [pair for group in args.set for pair in group]
    args.command = search if args.resume is None else resume
    return args


def search_parser() -> argparse.ArgumentParser:
    """The options of a search."""
    parser = argparse.ArgumentParser(
        prog=program().removeprefix("python "),
        description="Search a space: Ray schedules the trials, Optuna suggests, ASHA stops early.",
        epilog="commands: " + ", ".join(COMMANDS) + "; each has its own --help",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--space", help="a YAML file, or the name of a built-in space")
    what.add_argument("--resume", metavar="STUDY", help="the folder of a study to go on with")
    parser.add_argument("--name", help="of the study; default: the space's")
    parser.add_argument(
        "--out", type=folder, default="runs", help="folder of the studies (default: runs)"
    )
    parser.add_argument("--trials", type=at_least_one, help="configurations to try")
    parser.add_argument(
        "--max-epochs", type=at_least_one, help="epochs of a trial that is never stopped"
    )
    parser.add_argument("--time", type=duration, help="limit of this launch: 90s, 30m, 2h")
    parser.add_argument("--seed", type=seed, help="of every random choice")
    parser.add_argument(
        "--set",
        nargs="+",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change the space",
    )
    parser.add_argument(
        "--address", help="of a Ray cluster: auto or HOST:PORT; default: this machine alone"
    )
    parser.add_argument(
        "--storage", metavar="URL", help="keep the trials in postgresql://USER@HOST/NAME"
    )
    parser.add_argument(
        "--checkpoints",
        metavar="URI",
        help="copy what trials write to s3://BUCKET/FOLDER or gs://...",
    )
    parser.add_argument(
        "--mlflow",
        metavar="URI",
        help="show the trials in MLflow: http://HOST:5000 or sqlite:///FILE",
    )
    parser.add_argument(
        "--concurrent", type=at_least_one, help="trials at once, at most; a cluster grows to it"
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    return parser


def command_parser() -> argparse.ArgumentParser:
    """The commands other than a search."""
    parser = argparse.ArgumentParser(prog=program().removeprefix("python "))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for function, argument, text in COMMANDS.values():
        command = commands.add_parser(function.__name__, help=text, description=text)
        command.set_defaults(command=function)
        if argument:
            command.add_argument(argument, nargs="+" if argument == "studies" else None)
        if function is check:
            command.add_argument(
                "--run", action="store_true", help="train two batches and validate, in this process"
            )
        if function is train:
            command.add_argument(
                "--workers", type=at_least_one, default=1, help="processes that train together"
            )
            command.add_argument("--seed", type=seed, help="another one than the export's")
        if function is export:
            command.add_argument(
                "--top",
                type=at_least_one,
                help="how many (default: 3; of two objectives the front)",
            )
            command.add_argument(
                "--to", type=folder, help="folder; default: exports/ in the study's"
            )
        if function is confirm:
            command.add_argument(
                "--top",
                type=at_least_one,
                default=3,
                help="how many, and the start points (default: 3)",
            )
            command.add_argument(
                "--seeds", type=at_least_one, default=3, help="trainings of each (default: 3)"
            )
            command.add_argument(
                "--address", help="of a Ray cluster: auto or HOST:PORT; default: this machine alone"
            )
            command.add_argument(
                "--concurrent", type=at_least_one, help="trainings at once, at most"
            )
            command.add_argument("--quiet", action="store_true", help="show no progress")
        if function is watch:
            command.add_argument(
                "--port", type=not_negative, default=8266, help="default: 8266; 0 takes a free one"
            )
        if function is compare:
            command.add_argument(
                "--to", default="compare.html", help="the page (default: compare.html)"
            )
        if function is pictures:
            command.add_argument("--trial", type=not_negative, help="another one than the best")
            command.add_argument(
                "--rows",
                type=not_negative,
                nargs="+",
                default=[0, 1, 2, 3],
                help="of the validation split (default: 0 1 2 3)",
            )
    return parser


COMMANDS = {
    "spaces": (spaces, None, "every built-in space, its task, its parameters"),
    "check": (check, "space", "validate a space; starts no search"),
    "train": (train, "config", "train one exported configuration on the full budget"),
    "status": (status, "study", "what a study has done and is doing"),
    "confirm": (confirm, "study", "train the best again on fresh seeds, and read the test split"),
    "report": (report, "study", "write report.html, which shows a study"),
    "watch": (watch, "study", "serve the report on this machine; it follows the search"),
    "compare": (compare, "studies", "show several studies side by side"),
    "export": (
        export,
        "study",
        "write the best: configuration, model, model card; and tables of all trials",
    ),
    "pictures": (pictures, "study", "draw what the best model does with validation data"),
}


def at_least_one(text: str) -> int:
    """An option's whole number from 1."""
    return whole_number(text, least=1)


def not_negative(text: str) -> int:
    """An option's whole number from 0."""
    return whole_number(text, least=0)


def seed(text: str) -> int:
    """An option's seed."""
    return whole_number(text, least=0, most=GREATEST_SEED)


def whole_number(text: str, *, least: int, most: int = MAX_WHOLE) -> int:
    """An option's whole number, or argparse's error."""
    if not text.lstrip("-").isdecimal() or not least <= int(text) <= most:
        upper = "" if most == MAX_WHOLE else f" to {most}"
        raise argparse.ArgumentTypeError(
            f"must be a whole number from {least}{upper}, got {text!r}"
        )
    return int(text)


def folder(text: str) -> str:
    """An option's folder, there or not; or argparse's error."""
    for path in (Path(text), *Path(text).parents):
        if path.exists() and not path.is_dir():
            raise argparse.ArgumentTypeError(f"must be a folder, got a path where {path} is a file")
    return text


def duration(text: str) -> str:
    """An option's duration, as it is written; or argparse's error."""
    try:
        parse_duration(text)
    except SpaceError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def study_name(name: str) -> str:
    """A name that is safe as a folder's.

    Raises:
        StudyError: when it is not.
    """
    if not NAME.fullmatch(name):
        raise StudyError(
            "--name must be letters, digits, '.', '_' and '-', and begin with a letter or digit, "
            f"got {name!r}"
        )
    return name


def cli() -> int:
    """What a terminal starts, as `rungs` or as `python launch.py`."""
    be_utf8()
    return main()


if __name__ == "__main__":
    sys.exit(cli())

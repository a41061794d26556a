"""The command line of Rungs: searches a space, and looks after what comes out."""

import argparse
import gc
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from results.console import Console
from results.exit_codes import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_MISTAKE
from results.study.folder import StudyError, StudyFolder
from results.text import budget_text, program, search_text
from search_spaces import SpaceError, parse_duration
from search_spaces.checks import GREATEST_SEED
from search_spaces.problems import MAX_WHOLE
from trainables.config import TaskError
from trainables.machine import settle_home
from trainables.terminal import be_utf8, keep_output, outliving_terminal
from trainables.user_code.importing import describe

if TYPE_CHECKING:
    from results.study.description import Description
    from search_spaces import Objective, Space

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
    space, why = searched_as(space, objective, folder)
    if is_new:  # One that was begun before this was refused goes on as it is.
        check_knobs(space)
    description = Description(
        space=with_first_paths(space, folder),
        objective=objective,
        import_paths=import_paths,
        origin={**origin(space.task), **({"search": why} if why else {})},
        database=database_of(folder, args.storage, space),
        checkpoints=checkpoints_of(folder, args.checkpoints),
        mlflow=mlflow_of(folder, args.mlflow, space),
    )
    return rehearsed_run(folder, description, args) if is_new else run(folder, description, args)


def searched_as(
    space: "Space", objective: "Objective", folder: StudyFolder | None = None
) -> tuple["Space", str | None]:
    """A space with a search, as its study has it, or chosen for it; and why, if it is chosen."""
    from dataclasses import replace

    from results.study.description import read_description
    from search_spaces.auto import choose_search
    from search_spaces.space import AUTO
    from trainables.task import Task, load_task

    if folder is not None and folder.exists() and space.search == AUTO:
        return replace(space, search=read_description(folder).space.search), None
    return choose_search(space, objective, resumes=isinstance(load_task(space.task), Task))


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
    from search_spaces.grid import grid_points
    from trainables.accepting import accept_at
    from trainables.knobs import check_knobs, idle_knobs

    space = load_space(args.space)
    import_paths = [str(space.file.parent.resolve())]
    space, objective = accept_at(space, import_paths)
    check_knobs(space)
    for text in idle_knobs(space):
        console.say(f"{space.file.name}: warning: {text}")
    space, why = searched_as(space, objective)
    if args.run:
        from trainables.rehearsal import rehearse

        for line in rehearse(space, objective, import_paths):
            console.say(line)
    on_grid = space.search.sampler == "grid"
    points = f", {len(grid_points(space.parameters))} points of a grid" if on_grid else ""
    console.say(
        f"{space.file.name}: ok. {space.task}, {objective.text}; "
        f"{len(space.parameters)} parameters{points}, {len(space.start)} start points, "
        f"{budget_text(space)}; {search_text(space, why)}"
    )
    return EXIT_DONE


def simulate(args: argparse.Namespace) -> int:
    """Predict a search's time and cost by trainings that were recorded; starts nothing."""
    from cluster.search.forecast import forecast, print_forecast
    from cluster.search.recorded import read_recording, stored_curves
    from search_spaces import load_space
    from trainables.accepting import accept_at

    space = load_space(args.space)
    space, objective = accept_at(space, [str(space.file.parent.resolve())])
    space, _ = searched_as(space, objective)
    curves = Path(args.curves) if args.curves else stored_curves(space)
    found = forecast(space, objective, read_recording(curves), args.workers)
    console.say(f"{space.name}: {budget_text(space)}; curves of {curves}")
    print_forecast(found, objective, console)
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

    Over the many objects of PyTorch and of a study that search takes a fifth of the time, most of
    it as the process ends.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # Python searches once more as it ends, but not what is frozen.
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
    os.environ["MPLBACKEND"] = "agg"  # Pictures go to files, whatever a notebook has set.
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
    if not argv:
        parser.print_help(sys.stderr)
        sys.exit(EXIT_MISTAKE)
    args = parser.parse_args(argv)
    args.set = [pair for group in args.set for pair in group]
    args.command = search if args.resume is None else resume
    return args


def search_parser() -> argparse.ArgumentParser:
    """The options of a search; its help shows all commands too."""
    width = max(map(len, COMMANDS))
    commands = [f"  {command:{width}}  {text}" for command, (_, text, _) in COMMANDS.items()]
    name = program().removeprefix("python ")
    parser = argparse.ArgumentParser(
        prog=name,
        usage=USAGE.format(name=name),
        description="Search a space: Ray schedules the trials, Optuna suggests, ASHA stops early.",
        epilog="\n".join(["commands, each with its own --help:", *commands]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    for name, settings in WHAT_TO_SEARCH:
        what.add_argument(name, **settings)
    for name, settings in SEARCH_OPTIONS:
        parser.add_argument(name, **settings)
    return parser


def command_parser() -> argparse.ArgumentParser:
    """The commands other than a search."""
    parser = argparse.ArgumentParser(prog=program().removeprefix("python "))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (function, text, arguments) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(command=function)
        for argument, settings in arguments:
            command.add_argument(argument, **settings)
    return parser


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


USAGE = """{name} --space SPACE [options]    search a space
       {name} --resume STUDY [options]   go on with a study
       {name} COMMAND ...                one of the commands below"""

Argument = tuple[str, dict[str, Any]]


def argument(name: str, **settings: Any) -> Argument:
    """What `add_argument` is given."""
    return name, settings


def count(name: str, text: str, **settings: Any) -> Argument:
    """An option that takes a whole number from 1."""
    return argument(name, type=at_least_one, metavar="N", help=text, **settings)


SPACE_TEXT = "a YAML file, or the name of a built-in space"
STUDY = argument("study", help="the folder of a study")
ADDRESS = argument(
    "--address", metavar="RAY", help="a cluster: auto or HOST:PORT; default: this machine alone"
)
QUIET = argument("--quiet", action="store_true", help="show no progress")

WHAT_TO_SEARCH = [
    argument("--space", help=SPACE_TEXT),
    argument("--resume", metavar="STUDY", help="the folder of a study to go on with"),
]
SEARCH_OPTIONS = [
    argument("--name", help="of the study; default: the space's"),
    argument(
        "--out",
        type=folder,
        default="runs",
        metavar="FOLDER",
        help="of the studies (default: runs)",
    ),
    count("--trials", "configurations to try"),
    count("--max-epochs", "of a trial that is never stopped"),
    argument("--time", type=duration, help="limit of this launch: 90s, 30m, 2h"),
    argument("--seed", type=seed, metavar="N", help="of every random choice"),
    argument(
        "--set",
        nargs="+",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change the space",
    ),
    count("--concurrent", "trials at once, at most; a cluster grows to it"),
    ADDRESS,
    argument("--storage", metavar="URL", help="keep the trials in postgresql://USER@HOST/NAME"),
    argument(
        "--checkpoints",
        metavar="URI",
        help="copy what trials write to s3://BUCKET/FOLDER or gs://...",
    ),
    argument(
        "--mlflow",
        metavar="URI",
        help="show the trials in MLflow: http://HOST:5000 or sqlite:///FILE",
    ),
    QUIET,
]

# Each command: the function, what it does, and what it takes.
COMMANDS: dict[str, tuple[Callable[[argparse.Namespace], int], str, list[Argument]]] = {
    "spaces": (spaces, "every built-in space, its task, its parameters", []),
    "check": (
        check,
        "validate a space; starts no search",
        [
            argument("space", help=SPACE_TEXT),
            argument(
                "--run", action="store_true", help="train two batches and validate, in this process"
            ),
        ],
    ),
    "simulate": (
        simulate,
        "predict how long a search takes and what it costs, by recorded trainings",
        [
            argument("space", help=SPACE_TEXT),
            count("--workers", "slots: how many trials train at once", required=True),
            argument(
                "--curves",
                metavar="FILE",
                help="a table of curves, or a former study's folder; default: the stored table",
            ),
        ],
    ),
    "train": (
        train,
        "train one exported configuration on the full budget",
        [
            argument("config", help="a study's best.yaml, or an export's config.yaml"),
            count("--workers", "processes that train together (default: 1)", default=1),
            argument("--seed", type=seed, metavar="N", help="another one than the export's"),
        ],
    ),
    "status": (status, "what a study has done and is doing", [STUDY]),
    "confirm": (
        confirm,
        "train the best again on fresh seeds, and read the test split",
        [
            STUDY,
            count("--top", "how many, and the start points (default: 3)", default=3),
            count("--seeds", "trainings of each (default: 3)", default=3),
            count("--concurrent", "trainings at once, at most"),
            ADDRESS,
            QUIET,
        ],
    ),
    "report": (report, "write report.html, which shows a study", [STUDY]),
    "watch": (
        watch,
        "serve the report on this machine; it follows the search",
        [
            STUDY,
            argument(
                "--port", type=not_negative, default=8266, help="default: 8266; 0 takes a free one"
            ),
        ],
    ),
    "compare": (
        compare,
        "show several studies side by side",
        [
            argument("studies", nargs="+", metavar="study", help="the folders of the studies"),
            argument("--to", default="compare.html", metavar="FILE", help="default: compare.html"),
        ],
    ),
    "export": (
        export,
        "write the best: configuration, model, model card; and tables of all trials",
        [
            STUDY,
            count("--top", "how many (default: 3; of two objectives the front)"),
            argument(
                "--to", type=folder, metavar="FOLDER", help="default: exports/ in the study's"
            ),
        ],
    ),
    "pictures": (
        pictures,
        "draw what the best model does with validation data",
        [
            STUDY,
            argument("--trial", type=not_negative, metavar="N", help="another one than the best"),
            argument(
                "--rows",
                type=not_negative,
                nargs="+",
                default=[0, 1, 2, 3],
                metavar="N",
                help="of the validation split (default: 0 1 2 3)",
            ),
        ],
    ),
}


def cli() -> int:
    """What a terminal starts, as `rungs` or as `python launch.py`."""
    be_utf8()
    return main()


if __name__ == "__main__":
    sys.exit(cli())

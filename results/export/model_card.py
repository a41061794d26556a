"""The README of an exported model, in the form that Hugging Face calls a model card."""

import inspect
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from results.confirm.confirmation import Confirmation, ConfirmedCandidate, read_confirmation
from results.export.export import CONFIG, Export, all_values
from results.export.weights import WEIGHTS
from results.states import state_name
from results.study.best import pareto_front
from results.study.notes import Notes
from results.study.record import StudyRecord
from results.summary import metrics_at, states_text
from results.text import metric_text
from search_spaces import dump_yaml
from trainables.accepting import file_settings
from trainables.task import BUILTIN_TASKS, Task, load_task


def model_card(
    record: StudyRecord, export: Export, folder: str, missing: str | None, code_files: list[str]
) -> str:
    """The card of a trial's export.

    Args:
        record: The trial's study.
        export: The trial's configuration, and what it reached.
        folder: The name of the folder that it is written to.
        missing: Why there are no weights; None if there are.
        code_files: The task's modules that lie in the folder.
    """
    task = load_task(export.job.task)
    sections = {
        "Task": _task(export, task),
        "Numbers": _numbers(record, export, task),
        "Configuration": _configuration(record, export),
        "What it needs": _needs(record, export, task, code_files),
        "Train it again": _train_again(task),
        "Load it": _load(task, folder, missing),
        "Made with": _made_with(record),
    }
    title = f"# {code(export.study)}, trial {export.best.number}\n\n{_place(record, export)}\n"
    return (
        _front_matter(export)
        + title
        + "".join(f"\n## {name}\n\n{text}\n" for name, text in sections.items())
    )


def code(value: Any) -> str:
    """A value as a code span, whatever it holds, also inside a table.

    Texts that need it are quoted as in JSON.
    """
    plain = isinstance(value, str) and value.isprintable() and value.strip() == value != ""
    text = (value if plain else json.dumps(value)).replace("|", r"\|")
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"


def literal(text: str) -> str:
    """A text that Markdown is to take for one, also inside a table."""
    return re.sub(r"[\\`*_{}\[\]<>|#~&$!]", r"\\\g<0>", text)


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _front_matter(export: Export) -> str:
    objective, task = export.job.objective, export.job.task
    about = {
        "library_name": "pytorch",
        "tags": ["rungs", "hyperparameter-search", *([task] if task in BUILTIN_TASKS else [])],
        "metrics": list(objective.names),
    }
    return f"---\n{dump_yaml(about)}---\n\n"


def _place(record: StudyRecord, export: Export) -> str:
    bests, objective, count = record.ranked(), record.description.objective, len(record.trials)
    number = export.best.number
    front = [best.number for best in pareto_front(bests, objective)] if objective.second else []
    if number in front:
        among = (
            f"One of the {len(front)} of {count} trials than which no other is better in both "
            "objectives"
        )
    else:
        rank = [best.number for best in bests].index(number) + 1
        among = (
            f"{'The best' if rank == 1 else f'Number {rank}'} of {count} trials"
            if count > 1
            else "The only trial"
        )
    confirmation = read_confirmation(record.folder)
    winner = confirmation.winner if confirmation else None
    fresh = (
        ", and the best of those trained again with fresh seeds"
        if winner and winner.trial == number
        else ""
    )
    return f"{among} of a hyperparameter search with Rungs{fresh}."


def _task(export: Export, task: Any) -> str:
    texts = [code(export.job.task), _doc(type(task) if isinstance(task, Task) else task)]
    if isinstance(task, Task):
        texts += [f"Data: {_doc(type(task).data) or 'as its settings below say.'}"]
    return "\n\n".join(text for text in texts if text)


def _doc(described: Any) -> str:
    """A docstring without its sections."""
    text = inspect.cleandoc(getattr(described, "__doc__", None) or "")
    return re.split(r"\n\n(?:Args|Attributes|Raises|Returns|Yields):\n", text)[0]


def _numbers(record: StudyRecord, export: Export, task: Any) -> str:
    job, best = export.job, export.best
    of = " on the validation split" if isinstance(task, Task) else ""
    rows = [
        (f"**{literal(part.name)}**{of} ({part.direction}d)", f"**{metric_text(value)}**")
        for part, value in zip(job.objective.parts, best.values, strict=False)
    ]
    rows += [
        (code(name), metric_text(value))
        for name, value in metrics_at(record, best).items()
        if name not in job.objective.names and isinstance(value, int | float)
    ]
    trial = record.trials[best.number]
    start = Notes.of(trial).start_point
    rows += [
        ("epoch", f"{best.epoch} of {job.max_epochs}, the best of those trained"),
        ("training", f"{state_name(trial, record)}; {max(trial.intermediate_values)} epochs"),
        *([("origin", f"start point {start}, made by hand")] if start is not None else []),
        ("seed", f"{job.seed}; of the splits {job.split_seed}"),
        ("search", f"{code(export.study)}, {states_text(record)}"),
    ]
    texts = [table(("", ""), rows), _caution(record), _confirmed(record, best.number)]
    return "\n\n".join(text for text in texts if text)


def _caution(record: StudyRecord) -> str:
    """What the reader must know of a value that was chosen."""
    count = len(record.trials)
    what = f"its epoch and the trial (of {count}) were" if count > 1 else "its epoch was"
    return (
        f"This is one run with one seed, and {what} chosen by this very value: it is the best "
        "of many noisy ones, so expect a little worse on new data."
    )


def _confirmed(record: StudyRecord, number: int) -> str:
    """What the trial reached with fresh seeds; empty if it wasn't confirmed."""
    confirmation = read_confirmation(record.folder)
    if confirmation is None:
        return ""
    return "".join(
        _fresh(confirmation, candidate)
        for candidate in confirmation.candidates
        if candidate.trial == number
    )


def _fresh(confirmation: Confirmation, candidate: ConfirmedCandidate) -> str:
    name, texts = literal(confirmation.objective), []
    if candidate.mean is not None:
        count = f"{confirmation.seeds} fresh seed{'' if confirmation.seeds == 1 else 's'}"
        interval = (
            f", {confirmation.confidence:.0%} interval {candidate.interval}"
            if candidate.interval
            else ""
        )
        texts.append(
            f"Trained again with {count}: mean {name} {metric_text(candidate.mean)}{interval}."
        )
    if candidate.test_value is not None:
        texts.append(f"On the test split: {name} {metric_text(candidate.test_value)}.")
    return " ".join([*texts, f"Verdict on the candidates: {literal(confirmation.verdict)}."])


def _configuration(record: StudyRecord, export: Export) -> str:
    space, searched = record.description.space, record.trials[export.best.number].params
    rows = [
        (
            code(name),
            code(value),
            "searched" if name in searched else "fixed" if name in space.fixed else "default",
        )
        for name, value in all_values(export.job).items()
    ]
    order = ("searched", "fixed", "default")
    return table(("setting", "value", ""), sorted(rows, key=lambda row: order.index(row[2])))


def _needs(record: StudyRecord, export: Export, task: Any, code_files: list[str]) -> str:
    """What the next person must have beside this folder."""
    commit = record.description.origin.get("commit")
    at = f" (it was made with commit {code(commit)})" if isinstance(commit, str) else ""
    lines = [
        f"**Rungs**{at}: in a checkout of it, `pip install -e .`; then run these commands there."
    ]
    if code_files:
        modules = ", ".join(map(code, code_files))
        lines.append(
            f"The task's modules are in `code/`: {modules}. Files that they read are not there."
        )
    elif export.job.task not in BUILTIN_TASKS:
        module = export.job.task.partition(":")[0]
        lines.append(
            f"The module {code(module)}, which was imported from an installed package and is not "
            "in this folder."
        )
    values = all_values(export.job)
    files = [(name, values[name]) for name in file_settings(task) if values.get(name) is not None]
    lines += [
        f"Data, which are not in this folder: {code(name)} is {code(path)}." for name, path in files
    ]
    return "\n".join(f"- {line}" for line in lines)


def _train_again(task: Any) -> str:
    together = f"\npython launch.py train {CONFIG} --workers 4" if isinstance(task, Task) else ""
    return (
        "With the `launch.py` of Rungs:\n\n```sh\npython launch.py train "
        f"{CONFIG}{together}\n```\n\n"
        "On the same machine and versions the same seed gives the same value again; it says "
        "whether it did."
    )


def _load(task: Any, folder: str, missing: str | None) -> str:
    if not isinstance(task, Task):
        return f"There are no weights here: {missing}."
    lines = (
        "from results.load import load_exported",
        f"loaded = load_exported({json.dumps(folder)})",
        "outputs = loaded.predict(next(loaded.splits.validation.batches(8)))",
    )
    text = "```python\n" + "\n".join(lines) + "\n```\n\n"
    if missing:
        return (
            f"{text}There are no weights here: {missing}. Train it again, then these lines "
            "load what came out."
        )
    return (
        f"{text}The weights of the best epoch are in `{WEIGHTS}`; `loaded.model` is the "
        "PyTorch module."
    )


def _made_with(record: StudyRecord) -> str:
    origin = record.description.origin
    versions = origin.get("versions")
    rows: dict[str, Any] = {"begun": origin.get("begun"), "commit of Rungs": origin.get("commit")}
    rows |= versions if isinstance(versions, Mapping) else {}
    known = [(str(name), code(str(value))) for name, value in rows.items() if value is not None]
    return table(("", ""), known) if known else "Nothing is known of that."

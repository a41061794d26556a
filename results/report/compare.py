"""Several studies side by side: what each found, how fast, and in what they differed."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from rich.table import Table

from results.console import Console
from results.report.facts import Facts, Step
from results.report.figures.search import step_line, time_unit
from results.report.figures.style import STUDY_COLOURS, Figure, axis, plain
from results.report.page import rendered
from results.report.words import stamp, versions_text
from results.study.folder import StudyError, StudyFolder
from results.study.identity import flat_names
from results.study.record import StudyRecord, read_study
from results.text import duration, metric_text, short_names, value_text
from trainables.trial_folder import write_atomically

Named = list[tuple[str, Facts]]
DASHES = ("solid", "dash", "dot", "dashdot")


def compare(folders: list[StudyFolder], to: Path, console: Console) -> Path:
    """Show studies side by side on the terminal, and write the page that does.

    Args:
        folders: Where they lie; each is read once.
        to: The HTML file to write.
        console: Where the tables are shown.

    Raises:
        StudyError: when there is no study in one of the folders, it can't be read, or the page
            can't be written.
        SpaceError: when its `study.yaml` was edited into a wrong space.
    """
    studies = _named([read_study(folder) for folder in folders])
    _print_tables(studies, console)
    _write_page(studies, to)
    return to


def _write_page(studies: Named, to: Path) -> None:
    figures = _figures(studies)
    text = rendered(
        "compare.html",
        title=" and ".join(name for name, _ in studies)
        if len(studies) < 4
        else f"{len(studies)} studies",
        written=stamp(datetime.now(UTC)),
        mixed=len({facts.objective.text for _, facts in studies}) > 1,
        names=[name for name, _ in studies],
        colours_of=[STUDY_COLOURS[i % len(STUDY_COLOURS)] for i in range(len(studies))],
        results=results(studies),
        differing=differing(studies),
        configurations=configurations(studies),
        groups=figures,
        figures=[figure for group in figures for figure in group],
        data={name: _data(facts) for name, facts in studies},
        version=None,
    )
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(to, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    except OSError as error:
        raise StudyError(f"{to} can't be written: {error.strerror}; choose another --to") from error


def _print_tables(studies: Named, console: Console) -> None:
    tables = (
        ("", results(studies)),
        ("differed in", differing(studies)),
        ("best", configurations(studies)),
    )
    for title, rows in tables:
        table = Table(
            title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold"
        )
        for head in ("", *(name for name, _ in studies)):
            table.add_column(head, overflow="fold")
        for name, cells in rows:
            table.add_row(name, *cells)
        if rows:
            console.print(table)


def _named(records: list[StudyRecord]) -> Named:
    """Each study by its folder's name.

    Of equals by the name of the folder above too, or a number.
    """
    names = [record.folder.path.resolve().name for record in records]
    if len(set(names)) < len(names):
        names = ["/".join(record.folder.path.resolve().parts[-2:]) for record in records]
    seen: Counter[str] = Counter()
    shown = []
    for name in names:
        seen[name] += 1
        shown.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return [(name, Facts.of(record)) for name, record in zip(shown, records, strict=True)]


Rows = list[tuple[str, list[str]]]


def results(studies: Named) -> Rows:
    """What each study found, and what it cost."""
    rows: tuple[tuple[str, Callable[[Facts], str]], ...] = (
        ("objective", lambda facts: facts.objective.text),
        ("best value", lambda facts: metric_text(facts.best.value) if facts.best else "none"),
        ("best trial", _best_trial),
        (
            "best start point",
            lambda facts: metric_text(facts.best_start.value) if facts.best_start else "none",
        ),
        (
            "trials",
            lambda facts: (
                ", ".join(f"{count} {state}" for state, count in facts.counts.most_common())
                or "none"
            ),
        ),
        ("epochs trained", lambda facts: str(facts.epochs)),
        ("trial-hours", lambda facts: f"{facts.trial_seconds / 3600:.3g}"),
        ("wall clock", lambda facts: duration(facts.wall_seconds)),
        ("last improved", _last_improved),
        ("state", lambda facts: facts.record.condition()),
    )
    return [(name, [text_of(facts) for _, facts in studies]) for name, text_of in rows]


def _best_trial(facts: Facts) -> str:
    best = facts.best
    return (
        f"{best.number}, epoch {best.epoch} of {facts.space.budget.max_epochs}" if best else "none"
    )


def _last_improved(facts: Facts) -> str:
    steps = facts.steps()
    return f"after {steps[-1].cost} epochs, {duration(steps[-1].seconds)}" if steps else "never"


def differing(studies: Named) -> Rows:
    """Every setting in which the studies differ: space, budget, seed, versions."""
    flat = [_settings(facts) for _, facts in studies]
    names = list(dict.fromkeys(name for settings in flat for name in settings))
    rows = [(name, [settings.get(name, "–") for settings in flat]) for name in names]
    return [(name, cells) for name, cells in rows if len(set(cells)) > 1]


def _settings(facts: Facts) -> dict[str, str]:
    description = facts.record.description
    origin = description.origin
    origin_settings = {
        "space": facts.space.name,
        "commit": origin.get("commit"),
        "versions": versions_text(origin.get("versions")),
    }
    settings = {**flat_names(facts.space.to_dict()), **origin_settings}
    return {name: _text(value) for name, value in settings.items()}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def configurations(studies: Named) -> Rows:
    """The best configuration of each study, what it held fixed included where that differs."""
    values = [_best_values(facts) for _, facts in studies]
    names = list(dict.fromkeys(name for each in values for name in each))
    searched = {parameter.name for _, facts in studies for parameter in facts.space.parameters}
    rows = [
        (name, [value_text(each[name]) if name in each else "–" for each in values])
        for name in names
    ]
    shown = short_names({*names, *searched})
    return [(shown[name], cells) for name, cells in rows if name in searched or len(set(cells)) > 1]


def _best_values(facts: Facts) -> dict[str, Any]:
    return {**facts.trials[facts.best.number].params, **facts.space.fixed} if facts.best else {}


def _data(facts: Facts) -> dict[str, Any]:
    steps = [
        [step.cost, step.seconds, step.value, step.trial, step.epoch] for step in facts.steps()
    ]
    return {
        "best": facts.best.value if facts.best else None,
        "epochs": facts.epochs,
        "best_so_far": steps,
    }


def _figures(studies: Named) -> list[list[Figure]]:
    """For each objective the best so far by epochs and by time."""
    objectives = list(dict.fromkeys(facts.objective.text for _, facts in studies))
    groups = []
    for number, objective in enumerate(objectives):
        lines = [
            (name, facts, facts.steps(), index)
            for index, (name, facts) in enumerate(studies)
            if facts.objective.text == objective and facts.best
        ]
        if lines:
            unit, scale = time_unit(max(facts.wall_seconds for _, facts, _, _ in lines))
            groups.append(
                [
                    _figure(
                        f"epochs_{number}", lines, "epochs trained, all trials together", _by_epochs
                    ),
                    _figure(
                        f"time_{number}",
                        lines,
                        f"{unit} since the start",
                        partial(_in_unit, scale=scale),
                    ),
                ]
            )
    return groups


def _in_unit(step: Step, scale: float) -> float:
    return step.seconds / scale


def _by_epochs(step: Step) -> float:
    return step.cost


def _figure(
    name: str,
    lines: Sequence[tuple[str, Facts, list[Step], int]],
    title: str,
    at: Callable[[Step], float],
) -> Figure:
    objective = lines[0][1].objective
    data = []
    for study, facts, steps, index in lines:
        end = at(Step(cost=facts.epochs, seconds=facts.wall_seconds, value=0, trial=0, epoch=0))
        line = step_line(
            [(at(step), step) for step in steps],
            end,
            facts,
            STUDY_COLOURS[index % len(STUDY_COLOURS)],
            study,
        )
        line["line"]["dash"] = DASHES[index // len(STUDY_COLOURS) % len(DASHES)]
        line["text"] = [f"<b>{plain(study)}</b>: {text}" for text in line["text"]]
        data.append(line)
    return Figure(
        name=name,
        title=f"Best {objective.name} so far, by "
        f"{title.partition(' ')[0] if name.startswith('epochs') else 'time'}",
        alt=f"The best {objective.name} so far of {len(lines)} studies.",
        caption=""
        if name.startswith("epochs")
        else "Each from its own start; pauses between launches are counted.",
        data=data,
        layout={
            "xaxis": axis(title, rangemode="tozero"),
            "yaxis": axis(objective.name),
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        },
        height=400,
    )

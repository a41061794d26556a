"""The report as one HTML file: everything is in it, and nothing is fetched."""

import base64
import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from results.report.agreement import agreement_text, importance_text
from results.report.beliefs import foretold_text
from results.report.facts import Facts
from results.report.figures.confirmed import confirmation_figure
from results.report.figures.curves import curves
from results.report.figures.model import believed, expectations
from results.report.figures.parallel import parallel
from results.report.figures.parameters import contour, importance_figure, slices
from results.report.figures.search import history, pareto, progress
from results.report.figures.style import COLOURS, Figure
from results.report.figures.timeline import timeline
from results.report.findings import Findings
from results.report.tables import best_table, data_of, trial_table
from results.report.words import about, banners, cards, headline, stamp
from results.states import FAILED
from results.study.folder import StudyError, StudyFolder
from results.text import metric_text, program, value_text
from trainables.trial_folder import write_atomically

FILE = "report.html"
MOST_PICTURE_BYTES = 3_000_000
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A picture of the task's own.

    Attributes:
        alt: What it shows.
        source: The image itself.
    """

    alt: str
    source: str


def write_page(folder: StudyFolder, text: str) -> Path:
    """Write a study's `report.html`.

    Raises:
        StudyError: when it can't be written.
    """
    path = folder.path / FILE
    try:
        write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    except OSError as error:
        raise StudyError(
            f"{path} can't be written: {error.strerror}; `{program()} watch {folder.path}` "
            "shows the page without writing it, or copy the study"
        ) from error
    return path


def page_html(
    folder: StudyFolder, findings: Findings | None, problem: str | None, version: str | None = None
) -> str:
    """The page of a study.

    Args:
        folder: Where the study lies.
        findings: What there is to show; None when not even its description can be read.
        problem: Why its trials can't be read, if so.
        version: With one, the page asks its server from time to time whether there is a newer one.
    """
    if findings is None:
        return rendered(
            "broken.html",
            title=folder.path.name,
            problem=problem,
            figures=[],
            data={},
            version=version,
        )
    return rendered("report.html", **_content(findings, problem), version=version)


def _content(findings: Findings, problem: str | None) -> dict[str, Any]:
    facts, comparison, shares = findings.facts, findings.comparison, findings.importances
    confirmation = findings.confirmation
    problems = (
        [f"The trials can't be read, and none is shown: {problem}"]
        if problem
        else list(banners(facts))
    )
    if findings.confirmation_problem:
        problems.append(findings.confirmation_problem)
    drawn: dict[str, list[Figure | None]] = {
        "confirmed": [confirmation_figure(confirmation)] if confirmation else [],
        "search": [history(facts), *progress(facts)],
        "curves": [curves(facts)],
        "pareto": [pareto(facts)],
        "parallel": [parallel(facts, shares)],
        "importance": [importance_figure(facts, shares), contour(facts, comparison, shares)],
        "slices": [*slices(facts, comparison, shares)],
        "expectations": [expectations(facts, findings.foretold)],
        "beliefs": [*believed(facts, findings.beliefs)],
        "timeline": [timeline(facts)],
    }
    figures = {name: [figure for figure in group if figure] for name, group in drawn.items()}
    return {
        "title": facts.space.name,
        "written": stamp(facts.now),
        "problems": problems,
        "facts": facts,
        "headline": headline(facts),
        "cards": cards(facts),
        "best": best_table(facts, confirmation),
        "advice": findings.advice,
        "confirmation": confirmation,
        "pictures": list(pictures(facts)),
        "groups": figures,
        "figures": [figure for group in figures.values() for figure in group],
        "importance_text": importance_text(comparison, shares),
        "agreement_text": agreement_text(facts),
        "foretold_text": foretold_text(facts, findings.foretold),
        "comparison": comparison,
        "failures": [trial for trial in facts.trials if trial.state == FAILED],
        "warned": [trial for trial in facts.trials if trial.warning],
        "table": trial_table(facts),
        "about": about(facts),
        "data": data_of(facts),
    }


def pictures(facts: Facts) -> Iterator[Picture]:
    """The pictures in the study's folder, the best trial's first, as far as there is room."""
    best = f"trial-{facts.best.number:04d}-" if facts.best else "none"
    paths = sorted(
        facts.record.folder.pictures.glob("*.png"),
        key=lambda path: (not path.name.startswith(best), path.name),
    )
    room = MOST_PICTURE_BYTES
    for path in paths:
        content = path.read_bytes()
        room -= len(content)
        if room >= 0 and content.startswith(PNG):
            yield Picture(
                alt=path.stem, source="data:image/png;base64," + base64.b64encode(content).decode()
            )


def rendered(template: str, *, figures: list[Figure], data: dict[str, Any], **values: Any) -> str:
    """A template filled in, with the styles, the scripts and the data that its page needs."""
    drawn = {figure.name: figure.spec() for figure in figures}
    scripts = [plotly_js(), _own("page.js")] if figures else [_own("page.js")]
    return (
        _environment()
        .get_template(template)
        .render(
            **values,
            figures=figures,
            colours=COLOURS,
            style=Markup(_own("page.css")),
            scripts=[Markup(script) for script in scripts],
            hashes=[_hash(script) for script in scripts],
            data=embedded(data),
            drawn=embedded(drawn),
        )
    )


def embedded(content: Any) -> Markup:
    """JSON that can stand in a script element: nothing in it can end that; not finite is null."""
    try:
        text = _json(content)
    except ValueError:
        text = _json(_finite(content))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _json(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"), allow_nan=False)


def _finite(content: Any) -> Any:
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    return [_finite(value) for value in content] if isinstance(content, list | tuple) else content


def _soft(name: str) -> Markup:
    """A dotted name that may be broken over lines."""
    return Markup(str(escape(name)).replace(".", ".<wbr>").replace("_", "_<wbr>"))


@cache
def plotly_js() -> str:
    """Plotly's script."""
    return (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


@cache
def _own(name: str) -> str:
    return (files("results.report") / "templates" / name).read_text(encoding="utf-8")


@cache
def _hash(script: str) -> str:
    """What the page's policy calls a script that may run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("results.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(metric=metric_text, value=value_text, soft=_soft)
    return environment

"""The comparison as tables in Markdown."""

from collections.abc import Callable, Iterator, Sequence
from statistics import fmean

from benchmarks.factorizers import REFERENCES
from benchmarks.markdown import mean_text, table
from benchmarks.systems.results import RESCALED, SETTINGS, Results, finalists
from benchmarks.systems.searches import SPLIT

Cell = Callable[[Results, str], str]
SEARCHES = SETTINGS[SETTINGS.index(RESCALED) + 1 :]
UNTRAINED = tuple(REFERENCES)


def tables(all_results: Sequence[Results], other_splits: Sequence[int]) -> Iterator[str]:
    """Lines of Markdown: what all reached, by how much searches are better, what they cost."""
    whole = f"split {SPLIT}, mean and half of the 95 % interval"
    splits = ", ".join(map(str, other_splits))
    yield from of_spaces(f"Fresh seeds, validation data of {whole}", SETTINGS, all_results, spread)
    yield from of_spaces(f"The same models, test data of {whole}", SETTINGS, all_results, tested)
    yield from of_spaces(
        "Better than the rescaled setting by, and Welch's p", SEARCHES, all_results, gain
    )
    heads = ("of this", *(f"split {split}" for split in other_splits))
    yield from others(f"Validation data of splits {splits}", heads, all_results, other_splits)
    yield from of_spaces("What the searches spent and saw", SEARCHES, all_results, cost)
    low_rank = [each for each in all_results if UNTRAINED[0] in each.configurations]
    yield from of_spaces("What needs no training, validation data", UNTRAINED, low_rank, spread)


def of_spaces(
    title: str, settings: Sequence[str], all_results: Sequence[Results], cell: Cell
) -> Iterator[str]:
    """A line for each space, a column for each setting; nothing where there is no space."""
    lines = ((each.label, *(cell(each, setting) for setting in settings)) for each in all_results)
    if all_results:
        yield from table(title, ("space", *settings), lines)


def others(
    title: str, heads: Sequence[str], all_results: Sequence[Results], splits: Sequence[int]
) -> Iterator[str]:
    """A line for each setting that was trained on other splits."""
    lines = (
        (each.label, setting, *(on_split(each, setting, s) for s in splits))
        for each in all_results
        for setting in finalists(each)
    )
    yield from table(title, ("space", *heads), lines)


def spread(results: Results, setting: str) -> str:
    """The mean, and half of its interval."""
    return mean_text(results.sample(setting, "validation"))


def tested(results: Results, setting: str) -> str:
    """The same on the test split."""
    return mean_text(results.sample(setting, "test"))


def gain(results: Results, setting: str) -> str:
    """How much better than the rescaled setting, in the metric's own unit."""
    found = results.gain(setting)
    return f"{found[0]:+.4f} (p {found[1]:.2g})" if found else ""


def on_split(results: Results, setting: str, split: int) -> str:
    """The mean there."""
    values = results.sample(setting, "validation", split)
    return f"{fmean(values):.4f}" if values else ""


def cost(results: Results, way: str) -> str:
    """The mean over searches."""
    rows = [row for (each, _), row in results.found.items() if each == way]
    if not rows:
        return ""
    trials, epochs, value = (
        fmean(getattr(row, name) for row in rows) for name in ("trials", "epochs", "value")
    )
    return f"{trials:.0f} trials, {epochs:.0f} epochs: {value:.4f}"

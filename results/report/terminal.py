"""The report for the terminal: the same facts in brief."""

from results.confirm.confirmation import read_confirmation
from results.console import Console
from results.report.advice import advice
from results.report.facts import Facts
from results.report.importance import compare_at_epoch, importances
from results.report.words import headline
from results.study.folder import StudyError, StudyFolder
from results.study.record import StudyRecord
from results.summary import print_summary
from results.text import duration

SHOWN_PARAMETERS = 5


def print_report(record: StudyRecord, console: Console) -> None:
    """What came out, the best trials, what it cost, what mattered and what to mind."""
    facts = Facts.of(record)
    console.say(f"{facts.space.name}: {record.condition()}", style="bold")
    console.say(headline(facts))
    print_summary(record, console)
    console.say(f"cost: {facts.epochs} epochs, {_hours(facts)}")
    console.say(_importance_line(facts))
    _confirmation(console, record.folder)
    for one in advice(facts):
        console.say(f"mind: {one.title}. {one.detail}", style="yellow")


def _confirmation(console: Console, folder: StudyFolder) -> None:
    try:
        confirmation = read_confirmation(folder)
    except StudyError as error:
        console.say(str(error), style="yellow")
        return
    if confirmation:
        console.say(
            "fresh seeds: "
            f"{'; '.join(filter(None, (confirmation.verdict, confirmation.optimism_text)))}"
        )


def _hours(facts: Facts) -> str:
    return (
        f"{duration(facts.trial_seconds)} of all trials, {duration(facts.wall_seconds)} from "
        "the first to the last"
    )


def _importance_line(facts: Facts) -> str:
    comparison = compare_at_epoch(facts)
    found = [one for one in importances(facts, comparison) if not one.conditional][
        :SHOWN_PARAMETERS
    ]
    shares = ", ".join(f"{facts.names[one.name]} {one.share:.0%}" for one in found)
    where = f"at epoch {comparison.epoch}, {len(comparison.values)} trials"
    return (
        f"what mattered ({where}): {shares}" if found else "what mattered: too few trials to tell"
    )

"""The report for the terminal: the same facts in brief."""

from results.console import Console
from results.report.facts import Facts
from results.report.findings import Findings
from results.report.words import headline
from results.summary import print_summary
from results.text import duration

SHOWN_PARAMETERS = 5


def print_findings(findings: Findings, console: Console) -> None:
    """What came out, the best trials, what it cost, what mattered and what to mind."""
    facts = findings.facts
    console.say(f"{facts.space.name}: {facts.record.condition()}", style="bold")
    console.say(headline(facts))
    print_summary(facts.record, console)
    console.say(f"cost: {facts.epochs} epochs, {_hours(facts)}")
    console.say(_importance_line(findings))
    if findings.confirmation_problem:
        console.say(findings.confirmation_problem, style="yellow")
    if confirmation := findings.confirmation:
        texts = filter(None, (confirmation.verdict, confirmation.optimism_text))
        console.say(f"fresh seeds: {'; '.join(texts)}")
    for warning in findings.advice:
        console.say(f"mind: {warning.title}. {warning.detail}", style="yellow")


def _hours(facts: Facts) -> str:
    return (
        f"{duration(facts.trial_seconds)} of all trials, {duration(facts.wall_seconds)} from "
        "the first to the last"
    )


def _importance_line(findings: Findings) -> str:
    names, comparison = findings.facts.names, findings.comparison
    always = [each for each in findings.importances if not each.conditional][:SHOWN_PARAMETERS]
    if not always:
        return "what mattered: too few trials to tell"
    shares = ", ".join(f"{names[each.name]} {each.share:.0%}" for each in always)
    where = f"at epoch {comparison.epoch}, {len(comparison.values)} trials"
    return f"what mattered ({where}): {shares}"

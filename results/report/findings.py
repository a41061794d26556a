"""All that a report says of a study, computed once for the page and for the terminal."""

from dataclasses import dataclass
from typing import Self

from results.confirm.confirmation import Confirmation, read_confirmation
from results.report.advice import Advice, advice
from results.report.beliefs import Belief, Foretold, beliefs, foretold
from results.report.facts import Facts
from results.report.importance import Comparison, Importance, compare_at_epoch, importances
from results.study.description import read_description
from results.study.folder import StudyError, StudyFolder
from results.study.record import StudyRecord, read_study
from search_spaces import SpaceError


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """What a report says.

    Attributes:
        facts: The study in numbers.
        comparison: The trials at one epoch.
        importances: How much each parameter mattered there, the most important first.
        foretold: What the search's model expected, and what came.
        beliefs: What a model of the curves believes of each parameter on the full budget.
        advice: What to mind.
        confirmation: What came of fresh seeds, if anything.
        confirmation_problem: Why that can't be read, if so.
    """

    facts: Facts
    comparison: Comparison
    importances: list[Importance]
    foretold: list[Foretold]
    beliefs: list[Belief]
    advice: list[Advice]
    confirmation: Confirmation | None
    confirmation_problem: str | None

    @classmethod
    def of(cls, record: StudyRecord) -> Self:
        """Compute them; reads what lies beside the journal: metrics, fresh seeds."""
        facts = Facts.of(record)
        comparison = compare_at_epoch(facts)
        confirmation, confirmation_problem = _read_confirmation(record.folder)
        return cls(
            facts=facts,
            comparison=comparison,
            importances=importances(facts, comparison),
            foretold=foretold(facts),
            beliefs=beliefs(facts),
            advice=advice(facts),
            confirmation=confirmation,
            confirmation_problem=confirmation_problem,
        )


def _read_confirmation(folder: StudyFolder) -> tuple[Confirmation | None, str | None]:
    try:
        return read_confirmation(folder), None
    except StudyError as error:
        return None, str(error)


def read_what_is_whole(folder: StudyFolder) -> tuple[StudyRecord | None, str | None]:
    """What can be read of a study, and why the rest can't.

    Of a study whose trials can't be read there is a record without any; of one whose description
    can't be read there is none.

    Raises:
        StudyError: when there is no study in the folder.
    """
    if not folder.exists():
        raise StudyError(f"{folder.path} is no study: it has no {folder.description.name}")
    try:
        return read_study(folder), None
    except (StudyError, SpaceError) as error:
        problem = str(error)
    try:
        description = read_description(folder)
    except (StudyError, SpaceError):
        return None, problem
    return StudyRecord(folder=folder, description=description, trials=[], holder=None), problem

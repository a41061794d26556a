"""What `search: auto` chooses.

pytest tests/search_spaces/test_auto.py
"""

from typing import Any

import pytest

from search_spaces.auto import choose_search
from search_spaces.problems import SpaceError
from search_spaces.reader import space_from_mapping
from search_spaces.space import AUTO, Space

SPACE: dict[str, Any] = {
    "task": "module:name",
    "objective": {"maximize": "score"},
    "parameters": {"x": {"float": [0, 1]}},
    "budget": {"trials": 9, "max_epochs": 9},
}


def space(**keys: Any) -> Space:
    return space_from_mapping({**SPACE, **keys}, name="s", file="s.yaml")


@pytest.mark.parametrize("keys", [{}, {"search": "auto"}])
def test_nothing_and_auto_leave_the_search_open(keys: dict[str, Any]) -> None:
    assert space(**keys).search == AUTO
    again = space_from_mapping(space(**keys).to_dict(), name="s", file="s.yaml")
    assert again.search == AUTO


@pytest.mark.parametrize(
    ("objective", "resumes", "sampler", "scheduler"),
    [
        ({"maximize": "score"}, True, "curves", "freeze_thaw"),
        ([{"maximize": "score"}, {"minimize": "cost"}], True, "gp", "promotion"),
        ({"maximize": "score"}, False, "tpe", "asha"),
    ],
)
def test_what_is_chosen_follows_from_what_is_searched(
    objective: Any, resumes: bool, sampler: str, scheduler: str
) -> None:
    left_open = space(objective=objective)
    assert left_open.objective is not None
    chosen, why = choose_search(left_open, left_open.objective, resumes=resumes)

    assert (chosen.search.sampler, chosen.search.scheduler) == (sampler, scheduler)
    assert why
    assert choose_search(chosen, left_open.objective, resumes=not resumes) == (chosen, None)


@pytest.mark.parametrize(
    "search",
    [{"sampler": "auto"}, {"scheduler": "auto"}, {"sampler": "curves", "scheduler": "asha"}],
)
def test_what_does_not_go_together_is_refused(search: dict[str, str]) -> None:
    with pytest.raises(SpaceError, match="sampler"):
        space(search=search)

"""Proves where a value lies in its range: pytest tests/results/report/figures/test_scales.py."""

import pytest

from results.report.figures.scales import place, ticks, value_at
from tests.results.report.studies import space


def test_places_follow_the_scale_that_was_searched() -> None:
    lr, kind, _, dropout = (
        one
        for name in ("optim.lr", "model.kind", "model.depth", "model.dropout")
        for one in space().parameters
        if one.name == name
    )
    assert place(lr, 0.01) == pytest.approx(2 / 3) and value_at(lr, 2 / 3) == pytest.approx(0.01)
    assert place(kind, "deep") == 0.5 and place(dropout, 0.25) == 0.5
    for parameter in space().parameters:
        places, texts = ticks(parameter)
        assert (
            len(places) == len(texts)
            and places == sorted(places)
            and places[0] == 0
            and places[-1] == 1
        )

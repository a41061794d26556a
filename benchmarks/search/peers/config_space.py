"""A problem's ranges in the terms of ConfigSpace, which SMAC and DEHB take."""

from typing import Any

from ConfigSpace import ConfigurationSpace, Float, Integer

from benchmarks.search.curves import Range
from benchmarks.search.setting import Setting


def hyperparameter(r: Range) -> Any:
    """A range in ConfigSpace's terms."""
    if r.whole:
        return Integer(r.name, (int(r.low), int(r.high)), log=r.log)
    return Float(r.name, (r.low, r.high), log=r.log)


def space(setting: Setting) -> ConfigurationSpace:
    """All ranges."""
    made = ConfigurationSpace(seed=setting.seed)
    for r in setting.problem.ranges:
        made.add(hyperparameter(r))
    return made

"""What a suggestion costs: each sampler after 1,000 trials over twelve parameters.

    python -m benchmarks.suggestions [--trials 1000]

Prints the median processor time of ten suggestions, in memory: what the journal takes is in
`benchmarks/scale.py`. All trials were trained to the end, so all are at the highest common rung;
`grid` has twelve parameters of two or three values. What freeze-thaw search takes to decide is in
`benchmarks/decisions.py`.
"""

import argparse
import time
from statistics import median
from typing import Any

import optuna
from optuna.trial import TrialState, create_trial

from cluster.search.sampler import RANDOM_EVERY, make_sampler
from search_spaces import Objective, Space, space_from_mapping
from search_spaces.space import SAMPLERS
from search_spaces.suggest import distribution, suggest

EPOCHS, SUGGESTIONS = 27, 10
LOSS = Objective(name="loss", direction="minimize")
RANGES: dict[str, Any] = {
    **{f"x{i}": {"float": [0.0, 1.0]} for i in range(9)},
    "rate": {"float": [1e-5, 1e-1], "log": True},
    "width": {"int": [1, 64], "log": True},
    "kind": {"choice": ["a", "b", "c"]},
}
GRID: dict[str, Any] = {
    **{f"x{i}": {"int": [0, 1]} for i in range(11)},
    "kind": {"choice": ["a", "b", "c"]},
}


def space_of(sampler: str, trials: int) -> Space:
    """Twelve parameters."""
    mapping = {
        "task": "any:function",
        "objective": {"minimize": "loss"},
        "parameters": GRID if sampler == "grid" else RANGES,
        "search": {"sampler": sampler},
        "budget": {"trials": trials, "max_epochs": EPOCHS},
    }
    return space_from_mapping(mapping, name="suggestions", file="suggestions.yaml")


def begun_study(space: Space, trials: int) -> optuna.Study:
    """A study in memory with so many random trials, each trained to the end."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    distributions = {each.name: distribution(each) for each in space.parameters}
    for _ in range(trials):
        trial = study.ask(distributions)
        loss = sum(value for name, value in trial.params.items() if name.startswith("x"))
        study.add_trial(
            create_trial(
                state=TrialState.COMPLETE,
                value=loss,
                params=trial.params,
                distributions=distributions,
                intermediate_values={epoch: loss + 1 / epoch for epoch in range(1, EPOCHS + 1)},
            )
        )
    finished = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    study = optuna.create_study(sampler=make_sampler(space, LOSS))
    study.add_trials(finished)
    return study


def suggestion_s(sampler: str, trials: int) -> float:
    """The median processor time of a suggestion; random ones are left out where some are."""
    space = space_of(sampler, 10 * trials if sampler != "grid" else 3 * 2**11)
    study, seconds = begun_study(space, trials), list[float]()
    while len(seconds) < SUGGESTIONS:
        begun = time.process_time()
        trial = study.ask()
        suggest(space, trial)
        if trial.number % RANDOM_EVERY != RANDOM_EVERY - 1:
            seconds.append(time.process_time() - begun)
    return median(seconds)


def main() -> None:
    """Measure every sampler that suggests."""
    parser = argparse.ArgumentParser(description="Measure what a suggestion costs.")
    parser.add_argument("--trials", type=int, default=1000)
    trials = parser.parse_args().trials
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for sampler in SAMPLERS:
        if sampler not in ("none", "curves"):
            print(f"{sampler:8}{1000 * suggestion_s(sampler, trials):8.1f} ms", flush=True)


if __name__ == "__main__":
    main()

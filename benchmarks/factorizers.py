"""Whether a learned factorizer beats randomized SVD that takes as long for an image.

python -m benchmarks.factorizers                       some ten minutes of one CPU core
python -m benchmarks.factorizers --width 2048 --rank 128 --seeds 3

All factorize the embedded features of the task `low_rank` at one rank. Shown is by how much a
method's cosine stays below that of the truncated SVD, which is the optimum, on the test images, and
how long an image takes in batches of eight on one core. `benchmarks/sketches.py` says what the
methods are; the networks are those that `benchmarks.systems` found, trained anew.
"""

import argparse
import copy
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.markdown import mean_text, table
from benchmarks.sketches import NO_PENALTY, LearnedSketch, OneBasis, Sketch, principal_directions
from benchmarks.systems.rows import Store
from search_spaces import load_space
from trainables.low_rank.task import LowRank, LowRankConfig
from trainables.parts.data import Splits
from trainables.seeding import derive_seed, seed_everything
from trainables.task import make_config
from trainables.training import evaluate, train

OVERSAMPLING = 8
TIMED_ROUNDS = 15
SLACK = 1.05  # What takes up to 5 % longer takes as long.
NO_TRAINING = {
    "model.basis": "tokens",
    "model.coefficients": "projection",
    "model.orthogonalize": "qr",
    "model.power_steps": 1,
}
"""The network that comes near to the SVD before any training."""
SKETCH_EPOCHS = 20
SKETCH_VALUES = {
    "optim.lr": 1e-2,
    "optim.scheduler": "cosine",
    "optim.weight_decay": 0.0,
    "optim.patience_epochs": 0,
    **NO_PENALTY,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Features, and the rank that they are factorized at.

    Attributes:
        values: The task's settings.
        split_seed: Which images are in which split.
    """

    values: Mapping[str, Any]
    split_seed: int = 0

    def config(self, values: Mapping[str, Any] | None = None) -> LowRankConfig:
        """The task's, some settings changed."""
        return make_config(LowRank(), {**self.values, **(values or {})})

    def splits(self) -> Splits:
        """The features."""
        return LowRank().data(self.config(), self.split_seed)

    @property
    def rank(self) -> int:
        """Of the factors."""
        return self.config().model.rank


Method = Callable[[Problem, int], nn.Module]
"""Makes what factorizes a problem's features, by a fresh seed."""


def random_sketch(power_steps: int, oversampling: int, problem: Problem, seed: int) -> nn.Module:
    """Randomized SVD."""
    seed_everything(derive_seed("fresh", seed))
    width = problem.splits().train.tensors["features"].shape[-1]
    directions_WK = torch.randn(width, problem.rank + oversampling)
    return Sketch(directions_WK, rank=problem.rank, power_steps=power_steps)


def one_basis(problem: Problem, seed: int) -> nn.Module:
    """The training images' principal directions: learned, but by no gradient."""
    return OneBasis(principal_directions(problem.splits(), problem.rank))


def learned_sketch(power_steps: int, problem: Problem, seed: int) -> nn.Module:
    """A sketch whose directions were trained."""
    task, config = LearnedSketch(power_steps), problem.config(SKETCH_VALUES)
    return trained(task, config, SKETCH_EPOCHS, problem, seed)


def untrained(problem: Problem, seed: int) -> nn.Module:
    """A network as it begins."""
    seed_everything(derive_seed("fresh", seed))
    return LowRank().model(problem.config(NO_TRAINING), problem.splits())


def network(values: Mapping[str, Any], epochs: int, problem: Problem, seed: int) -> nn.Module:
    """A network that was trained by these values."""
    return trained(LowRank(), problem.config(values), epochs, problem, seed)


def trained(
    task: LowRank, config: LowRankConfig, epochs: int, problem: Problem, seed: int
) -> nn.Module:
    """The model of the best epoch, by the validation images."""
    best, weights = -1.0, dict[str, Tensor]()
    for report in train(
        task,
        config,
        seed=derive_seed("fresh", seed),
        split_seed=problem.split_seed,
        max_epochs=epochs,
    ):
        if report.state is not None and report.metrics["cosine"] > best:
            best, weights = report.metrics["cosine"], copy.deepcopy(report.state()["evaluated"])
    model: nn.Module = task.model(config, problem.splits())
    model.load_state_dict(weights)
    return model


RANDOMIZED: dict[str, Method] = {
    f"randomized SVD, {steps} power steps, {more} directions more": partial(
        random_sketch, steps, more
    )
    for steps in range(3)
    for more in (0, OVERSAMPLING)
}
LEARNED: dict[str, Method] = {
    "one basis for all": one_basis,
    **{
        f"learned sketch, {steps} power steps": partial(learned_sketch, steps) for steps in range(3)
    },
}
REFERENCES: dict[str, Method] = {
    "untrained": untrained,
    "randomized SVD": partial(random_sketch, 1, 0),
}
"""What needs no training, with one power step, beside what searches of the task find."""


def measured(model: nn.Module, problem: Problem) -> tuple[dict[str, float], dict[str, float]]:
    """The task's metrics on the validation and on the test images."""
    task: Any = LowRank()
    config, splits = problem.config(), problem.splits()
    validation, test = (
        evaluate(task, config, model, splits, split)[0]
        for split in (splits.validation, splits.test())
    )
    return validation, test


@torch.no_grad()
def times_ms(models: Mapping[str, nn.Module], problem: Problem) -> dict[str, float]:
    """Milliseconds that each takes for an image: the median of rounds in which all take turns."""
    batches = [
        batch["features"].float()
        for batch in problem.splits().validation.batches(problem.config().data.batch_size)
    ]
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(TIMED_ROUNDS):
        for name, model in models.items():
            begun_s = time.perf_counter()
            for features_BTW in batches:
                model(features_BTW)
            seconds[name].append(time.perf_counter() - begun_s)
    images = sum(map(len, batches))
    return {name: 1000 * median(each) / images for name, each in seconds.items()}


@dataclass(frozen=True, slots=True)
class Figures:
    """Of a method.

    Attributes:
        method: Its name.
        gaps: To the truncated SVD's cosine on the test images, for each seed.
        ms: What an image takes.
    """

    method: str
    gaps: list[float]
    ms: float

    @property
    def gap(self) -> float:
        """The mean."""
        return fmean(self.gaps)


def figures(methods: Mapping[str, Method], problem: Problem, seeds: int) -> list[Figures]:
    """Those of each method, by so many seeds; the first seed's model is timed."""
    models = {
        name: [make(problem, seed).eval() for seed in range(seeds)]
        for name, make in methods.items()
    }
    ms = times_ms({name: of_seeds[0] for name, of_seeds in models.items()}, problem)
    return [
        Figures(name, [measured(model, problem)[1]["gap"] for model in of_seeds], ms[name])
        for name, of_seeds in models.items()
    ]


def verdict(learned: Figures, rivals: list[Figures]) -> str:
    """Whether a method comes nearer to the SVD than each rival that takes no longer."""
    as_fast = [rival for rival in rivals if rival.ms <= SLACK * learned.ms]
    if not as_fast:
        return f"{learned.method}: faster than every randomized SVD"
    rival = min(as_fast, key=lambda each: each.gap)
    word = "beats" if learned.gap < rival.gap else "does not beat"
    return (
        f"{learned.method}: {word} {rival.method} "
        f"({learned.gap:.4f} in {learned.ms:.3f} ms, {rival.gap:.4f} in {rival.ms:.3f} ms)"
    )


def found_networks(store: Store, problem: Problem) -> dict[str, Method]:
    """What this search found for the task, as `benchmarks.systems` has it."""
    methods: dict[str, Method] = {}
    for space in map(load_space, ("low_rank", "low_rank_learned")):
        fixed = {name: value for name, value in space.fixed.items() if name not in problem.values}
        for (name, way, seed), row in store.found().items():
            if (name, seed) == (space.name, 0):
                values = {**fixed, **row.values}
                make = partial(network, values, space.budget.max_epochs)
                methods[f"network of {name}, {way}"] = make
    return methods


def lines(problem: Problem, learned: Mapping[str, Method], seeds: int) -> Iterator[str]:
    """The table, and a verdict for each method that learns."""
    found = figures({**RANDOMIZED, "untrained network": untrained, **learned}, problem, seeds)
    of_method = {each.method: each for each in found}
    yield from table(
        f"Gap to the truncated SVD's cosine at rank {problem.rank}, test images, {seeds} seeds",
        ("method", "gap", "ms an image"),
        (
            (each.method, mean_text(each.gaps), f"{each.ms:.3f}")
            for each in sorted(found, key=lambda each: each.ms)
        ),
    )
    rivals = [of_method[name] for name in RANDOMIZED]
    yield from (verdict(of_method[name], rivals) for name in learned)


def main() -> None:
    """Print it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.factorizers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--width", type=int, default=256, help="of the features (default: 256)")
    parser.add_argument("--rank", type=int, default=16, help="default: 16")
    parser.add_argument("--seeds", type=int, default=5, help="default: 5")
    parser.add_argument(
        "--found",
        type=Path,
        default=Path(__file__).parent / "systems" / "stored",
        metavar="FOLDER",
        help="the rows of benchmarks.systems",
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    values = {**load_space("low_rank").fixed, "data.width": options.width}
    problem = Problem({**values, "model.rank": options.rank})
    learned = {**LEARNED, **found_networks(Store(options.found), problem)}
    print("\n".join(lines(problem, learned, options.seeds)))


if __name__ == "__main__":
    main()

"""fANOVA: how much of what a forest of regression trees predicts each parameter alone explains.

Hutter, Hoos and Leyton-Brown 2014, https://proceedings.mlr.press/v32/hutter14.html. The numbers are
those of `optuna.importance.FanovaImportanceEvaluator`, which walks each tree in Python for every
value; a tree's leaves taken together as arrays are several times as fast. Each
tree is grown by itself, without what scikit-learn's forest checks anew for every one.

Shapes: N trials, F features (columns of the encoded parameters), L leaves, C cells: the pieces into
which a tree cuts the range of a parameter.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeRegressor

from search_spaces import Parameter
from search_spaces.problems import same

Array = NDArray[np.float64]


def fanova(
    parameters: Sequence[Parameter],
    configurations: Sequence[Mapping[str, Any]],
    targets: Sequence[float],
    *,
    trees: int,
    depth: int,
) -> dict[str, float]:
    """Each parameter's share of the variance, from 0 to 1.

    They add up to 1, or are all 0 where the targets don't differ.

    Args:
        parameters: Those that all configurations have.
        configurations: Values by name; more names than those of the parameters do no harm.
        targets: What each configuration reached.
        trees: Number of trees in the forest.
        depth: Splits from a tree's root to a leaf, at most.
    """
    ordered = sorted(parameters, key=lambda parameter: parameter.name)
    columns = [_encoded(parameter, configurations) for parameter in ordered]
    ends = np.cumsum([column.shape[1] for column in columns]).tolist()
    starts = [0, *ends[:-1]]
    features = [list(range(start, end)) for start, end in zip(starts, ends, strict=True)]
    bounds_F2 = np.concatenate([_bounds(parameter) for parameter in ordered])
    with sklearn.config_context(assume_finite=True, skip_parameter_validation=True):
        forest = list(_forest(np.concatenate(columns, axis=1), np.array(targets), trees, depth))
    fractions = [_fractions(tree, bounds_F2, features) for tree in forest]
    explained = [fraction for fraction in fractions if fraction is not None]
    if not explained:
        return {parameter.name: 0.0 for parameter in ordered}
    mean = np.mean(explained, axis=0)
    shares = mean / mean.sum() if mean.sum() else np.full(len(ordered), 1 / len(ordered))
    return {parameter.name: float(share) for parameter, share in zip(ordered, shares, strict=True)}


def _forest(values_NF: Array, target_N: Array, trees: int, depth: int) -> Iterator[Any]:
    """Trees, each grown on N draws from the trials, with the draws of scikit-learn's forest."""
    values_NF, count = values_NF.astype(np.float32), len(target_N)
    seeds = np.random.RandomState(0).randint(np.iinfo(np.int32).max, size=trees)
    for seed in seeds.tolist():
        drawn = np.random.RandomState(seed).randint(0, count, count)
        times_N = np.bincount(drawn, minlength=count)
        tree = DecisionTreeRegressor(max_depth=depth, random_state=seed)
        yield tree.fit(values_NF, target_N, times_N, check_input=False).tree_


def _encoded(parameter: Parameter, configurations: Sequence[Mapping[str, Any]]) -> Array:
    """A parameter's columns: its number, or one for each choice."""
    values = [configuration[parameter.name] for configuration in configurations]
    if parameter.kind != "choice":
        return np.array(values, dtype=float)[:, None]
    return np.array([[same(value, each) for each in parameter.choices] for value in values], float)


def _bounds(parameter: Parameter) -> Array:
    """The lower and upper end of each of a parameter's columns."""
    if parameter.kind == "choice":
        return np.tile([0.0, 1.0], (len(parameter.choices), 1))
    return np.array([[parameter.low, parameter.high]], dtype=float)


def _fractions(tree: Any, bounds_F2: Array, features: Sequence[list[int]]) -> Array | None:
    """The part of a tree's variance that each parameter explains; None of a tree without any."""
    low_LF, high_LF, value_L = _leaves(tree, bounds_F2)
    side_LF = high_LF - low_LF
    variance = _variance(value_L, side_LF.prod(axis=1))
    if variance <= 0:
        return None
    marginals = [_marginal_variance(low_LF, high_LF, value_L, bounds_F2, own) for own in features]
    return np.array(marginals) / variance


def _leaves(tree: Any, bounds_F2: Array) -> tuple[Array, Array, Array]:
    """The boxes into which a tree cuts the space, and its prediction in each."""
    left, right = tree.children_left.tolist(), tree.children_right.tolist()
    feature, threshold = tree.feature.tolist(), tree.threshold.tolist()
    low = np.tile(bounds_F2[:, 0], (tree.node_count, 1))
    high = np.tile(bounds_F2[:, 1], (tree.node_count, 1))
    for node in range(tree.node_count):  # A node comes before its children.
        if left[node] >= 0:
            children = [left[node], right[node]]
            low[children], high[children] = low[node], high[node]
            high[left[node], feature[node]] = threshold[node]
            low[right[node], feature[node]] = threshold[node]
    is_leaf = tree.children_left < 0
    return low[is_leaf], high[is_leaf], tree.value[is_leaf, 0, 0]


def _marginal_variance(
    low_LF: Array, high_LF: Array, value_L: Array, bounds_F2: Array, own: list[int]
) -> float:
    """The variance of the prediction over one parameter's range, averaged over all others."""
    others = np.delete(high_LF - low_LF, own, axis=1).prod(axis=1)
    inside_CL = np.ones((1, len(value_L)), dtype=bool)
    size_C = np.ones(1)
    for feature in own:
        cuts = np.unique(np.concatenate([low_LF[:, feature], bounds_F2[feature]]))
        middle = (cuts[1:] + cuts[:-1])[:, None] / 2
        within = (low_LF[:, feature] < middle) & (middle <= high_LF[:, feature])
        inside_CL = (inside_CL[:, None] & within).reshape(-1, len(value_L))
        size_C = (size_C[:, None] * np.diff(cuts)).ravel()
    weight_CL = inside_CL * others
    return _variance(weight_CL @ value_L / weight_CL.sum(axis=1), size_C)


def _variance(values: Array, weights: Array) -> float:
    weights = weights / weights.sum()
    return float(weights @ (values - weights @ values) ** 2)

"""The curve model's numbers against scikit-learn's process and against finite differences.

pytest tests/results/curves/test_model.py
"""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import norm, rankdata
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from results.curves.model import CurveModel, Observations, normal_scores

OWNERS = np.array([0, 1, 2, 2])  # Two ranges, and a choice of two.
NEGLIGIBLE = -30.0


def test_scores_are_those_of_middle_ranks() -> None:
    losses = [3.0, np.inf, 1.0, 3.0, 3.0, np.inf, 2.0]
    expected = norm.ppf((rankdata(losses) - 0.5) / len(losses))
    assert normal_scores(np.array(losses)) == pytest.approx(expected)


def observations(count: int, seed: int = 0) -> Observations:
    rng = np.random.default_rng(seed)
    features_NF = rng.random((count, len(OWNERS)))
    return Observations(
        features_NF=features_NF,
        times_N=rng.random(count),
        trials_N=rng.integers(count // 2, size=count),
        losses_N=features_NF[:, 0] + rng.normal(size=count) / 10,
    )


def test_at_one_epoch_it_is_the_gaussian_process_of_scikit_learn() -> None:
    seen = replace(observations(40), times_N=np.zeros(40), trials_N=np.arange(40))
    log_scales = np.log([0.5, 0.8, 1.3])
    theta = np.array([*log_scales, 0.5, 0.0, np.log(0.1), 0.3, NEGLIGIBLE, NEGLIGIBLE])
    model = CurveModel(OWNERS, theta)
    model.fit(seen, iterations=0)
    kernel = ConstantKernel(np.exp(0.3)) * Matern(np.exp(log_scales)[OWNERS], nu=2.5)
    reference = GaussianProcessRegressor(kernel + WhiteKernel(0.1), optimizer=None)
    reference.fit(seen.features_NF, normal_scores(seen.losses_N))

    new_MF = np.random.default_rng(1).random((7, len(OWNERS)))
    means_M, stds_M = model.predict(new_MF, np.zeros(7))
    expected_M, with_noise_M = reference.predict(new_MF, return_std=True)

    np.testing.assert_allclose(means_M, expected_M, atol=1e-4)
    np.testing.assert_allclose(stds_M**2 + 0.1, with_noise_M**2, atol=1e-4)


def test_the_gradient_is_that_of_finite_differences() -> None:
    model = CurveModel(OWNERS)
    model.fit(observations(30), iterations=2)
    theta = model.theta + np.random.default_rng(0).normal(size=len(model.theta)) / 4

    expected = approx_fprime(theta, lambda theta: model._loss(theta)[0], 1e-6)

    np.testing.assert_allclose(model._loss(theta)[1], expected, rtol=1e-3, atol=1e-3)


def test_it_learns_which_parameter_counts_and_trusts_a_trials_own_beginning() -> None:
    rng = np.random.default_rng(0)
    places_N2, luck_N = rng.random((60, 2)), rng.normal(size=60) / 2
    times = np.array([0.0, 0.5])
    seen = Observations(
        features_NF=np.repeat(places_N2, 2, axis=0),
        times_N=np.tile(times, 60),
        trials_N=np.repeat(np.arange(60), 2),
        losses_N=(np.sin(5 * places_N2[:, :1]) + luck_N[:, None] - times).ravel(),
    )
    model = CurveModel(np.arange(2))
    model.fit(seen, iterations=50)
    counts, counts_not = model.theta[:2]
    lucky, unlucky = int(luck_N.argmin()), int(luck_N.argmax())
    same_MF = np.full((2, 2), 0.5)
    (good, bad), own_std = model.predict(same_MF, np.ones(2), np.array([lucky, unlucky]))
    (new, _), new_std = model.predict(same_MF, np.ones(2))

    assert counts < counts_not
    assert good < new < bad
    assert (own_std < new_std).all()

"""A model of learning curves: what a configuration's loss will be at an epoch, and how surely."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, solve_triangular
from scipy.optimize import minimize
from scipy.special import ndtri

SQRT5 = np.sqrt(5)
JITTER = 1e-6
BAND = 0.9


@dataclass(frozen=True)
class Observations:
    """Losses that were seen.

    Attributes:
        features_NF: Of the configurations; see `Encoding`.
        times_N: The epochs as a part of the full budget on a logarithmic scale: 0 ... 1.
        trials_N: The trials' numbers.
        losses_N: Smaller is better; only their order counts.
    """

    features_NF: np.ndarray
    times_N: np.ndarray
    trials_N: np.ndarray
    losses_N: np.ndarray


class CurveModel:
    """A Gaussian process over configuration and epoch.

    Two losses are alike as far as their configurations are (Matern 5/2 with a length scale for each
    parameter), more so if they are the same trial's (whose seed and luck stay with it), and the
    less so the further their epochs are apart; a part of the likeness is for ever. On top of it all
    losses may fall together with the logarithm of the epoch. (The idea is Freeze-Thaw's, Swersky et
    al. 2014, https://arxiv.org/abs/1406.3896, with one kernel in the place of two.) Losses enter by
    the normal scores of their ranks, so that neither a diverged training nor the scale of a metric
    counts.

    Attributes:
        theta: The logarithms of the length scales, then the six numbers that `_Terms` names.
    """

    def __init__(self, owner_F: np.ndarray, theta: np.ndarray | None = None):
        self._owner_F = owner_F
        self._dimensions = int(owner_F.max()) + 1
        self._prior_mean = np.array([np.log(0.7)] * self._dimensions + [*PRIOR_MEAN])
        self._prior_std = np.array([1.0] * self._dimensions + [*PRIOR_STD])
        self.theta = self._prior_mean.copy() if theta is None else theta

    def fit(self, seen: Observations, *, iterations: int) -> None:
        """Learn from observations, and move `theta` to where they are more likely."""
        self._seen, self._scores_N = seen, normal_scores(seen.losses_N)
        if iterations:
            self._distances = _Distances(seen, self._owner_F)
            bounds = [(-3.0, 3.0)] * self._dimensions + [*BOUNDS]
            options = {"maxiter": iterations, "maxfun": iterations + 3}
            self.theta = minimize(
                self._loss, self.theta, jac=True, method="L-BFGS-B", bounds=bounds, options=options
            ).x
        terms = _Terms.of(self.theta)
        kernel_NN = self._likeness(seen.features_NF, seen.times_N, seen.trials_N, terms)
        kernel_NN.flat[:: len(kernel_NN) + 1] += terms.noise
        self._cholesky_NN = np.linalg.cholesky(kernel_NN)
        self._weights_N = cho_solve((self._cholesky_NN, True), self._scores_N)

    def predict(
        self, features_MF: np.ndarray, times_M: np.ndarray, trials_M: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the normal score; without trials, of new ones."""
        terms = _Terms.of(self.theta)
        likeness_MN = self._likeness(features_MF, times_M, trials_M, terms)
        explained_NM = solve_triangular(
            self._cholesky_NN, likeness_MN.T, lower=True, check_finite=False
        )
        prior_M = terms.signal + terms.own + terms.trend * times_M**2
        variance_M = prior_M - (explained_NM**2).sum(axis=0)
        return likeness_MN @ self._weights_N, np.sqrt(np.maximum(variance_M, 1e-8))

    def _likeness(
        self,
        features_MF: np.ndarray,
        times_M: np.ndarray,
        trials_M: np.ndarray | None,
        terms: "_Terms",
    ) -> np.ndarray:
        """The kernel between these and what was seen, without noise."""
        scales_F = terms.scales_D[self._owner_F]
        radii_MN = _radii(features_MF / scales_F, self._seen.features_NF / scales_F)
        likeness_MN = terms.signal * _matern(radii_MN)
        if trials_M is not None:
            likeness_MN += terms.own * (trials_M[:, None] == self._seen.trials_N)
        gaps_MN = np.abs(times_M[:, None] - self._seen.times_N)
        likeness_MN *= terms.lasting + (1 - terms.lasting) * np.exp(-gaps_MN / terms.time_scale)
        likeness_MN += terms.trend * np.outer(times_M, self._seen.times_N)
        return likeness_MN

    def band(
        self, features_MF: np.ndarray, times_M: np.ndarray, trials_M: np.ndarray | None = None
    ) -> np.ndarray:
        """The low end, the middle and the high end (3 x M) of the losses that are to be expected.

        `BAND` of all reports should lie between the ends. They are losses that were seen, or lie
        between two of them, since a rank can't tell how far beyond the best a better one is.
        """
        means_M, stds_M = self.predict(features_MF, times_M, trials_M)
        stds_M = np.sqrt(stds_M**2 + _Terms.of(self.theta).noise)
        width = ndtri((1 + BAND) / 2)
        is_finite_N = np.isfinite(self._seen.losses_N)
        scores_N, losses_N = self._scores_N[is_finite_N], self._seen.losses_N[is_finite_N]
        order_N = np.argsort(scores_N)
        scores_3M = np.stack([means_M - width * stds_M, means_M, means_M + width * stds_M])
        return np.interp(scores_3M, scores_N[order_N], losses_N[order_N])

    def _loss(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """The negative logarithm of the posterior density of theta, and its gradient."""
        terms, seen = _Terms.of(theta), self._distances
        parts = terms.kernel(seen)
        noisy_NN = parts.kernel_NN.copy()
        noisy_NN.flat[:: len(noisy_NN) + 1] += terms.noise
        try:
            cholesky_NN = np.linalg.cholesky(noisy_NN)
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(theta)
        identity_NN = np.eye(len(noisy_NN))
        root_NN = solve_triangular(cholesky_NN, identity_NN, lower=True, check_finite=False)
        inverse_NN = root_NN.T @ root_NN
        weights_N = inverse_NN @ self._scores_N
        from_prior = (theta - self._prior_mean) / self._prior_std
        loss = self._scores_N @ weights_N / 2 + np.log(np.diag(cholesky_NN)).sum()
        slope_NN = inverse_NN - np.outer(weights_N, weights_N)
        gradient = terms.gradient(seen, parts, slope_NN) / 2
        return loss + from_prior @ from_prior / 2, gradient + from_prior / self._prior_std


# In the order of theta: lasting (its logit), time_scale, noise, signal, own, trend.
PRIOR_MEAN = (0.5, np.log(0.5), np.log(0.02), 0.0, np.log(0.1), np.log(0.5))
PRIOR_STD = (1.0, 0.7, 1.2, 0.5, 1.2, 1.0)
BOUNDS = ((-3.0, 4.0), (-3.0, 2.0), (-8.0, 0.5), (-2.0, 2.0), (-7.0, 1.0), (-5.0, 2.0))


class _Distances:
    """How far observations are from each other: by parameter (squared), in time, in being one."""

    def __init__(self, seen: Observations, owner_F: np.ndarray):
        features = seen.features_NF.T
        squares_FNN = (features[:, :, None] - features[:, None, :]) ** 2
        firsts = np.searchsorted(owner_F, np.arange(owner_F.max() + 1))
        has_choices = len(firsts) < len(owner_F)
        self.squares_DNN = np.add.reduceat(squares_FNN, firsts) if has_choices else squares_FNN
        self.gaps_NN = np.abs(seen.times_N[:, None] - seen.times_N)
        self.trend_NN = np.outer(seen.times_N, seen.times_N)
        self.same_NN = (seen.trials_N[:, None] == seen.trials_N).astype(float)


@dataclass(frozen=True)
class _Kernel:
    """A kernel, and the parts of it that its gradient needs."""

    radii_NN: np.ndarray
    matern_NN: np.ndarray
    fading_NN: np.ndarray
    in_time_NN: np.ndarray
    timed_NN: np.ndarray
    kernel_NN: np.ndarray


@dataclass(frozen=True)
class _Terms:
    """What theta says: of likeness, the part that lasts; how soon the rest fades; variances."""

    scales_D: np.ndarray
    lasting: float
    time_scale: float
    noise: float
    signal: float
    own: float
    trend: float

    @classmethod
    def of(cls, theta: np.ndarray) -> "_Terms":
        lasting, time_scale, noise, signal, own, trend = theta[-6:]
        return cls(
            scales_D=np.exp(theta[:-6]),
            lasting=float(1 / (1 + np.exp(-lasting))),
            time_scale=float(np.exp(time_scale)),
            noise=float(np.exp(noise)) + JITTER,
            signal=float(np.exp(signal)),
            own=float(np.exp(own)),
            trend=float(np.exp(trend)),
        )

    def kernel(self, seen: _Distances) -> _Kernel:
        radii_NN = np.sqrt(np.tensordot(1 / self.scales_D**2, seen.squares_DNN, 1) + 1e-12)
        matern_NN = _matern(radii_NN)
        fading_NN = np.exp(-seen.gaps_NN / self.time_scale)
        in_time_NN = self.lasting + (1 - self.lasting) * fading_NN
        likeness_NN = self.signal * matern_NN + self.own * seen.same_NN
        timed_NN = likeness_NN * in_time_NN
        kernel_NN = timed_NN + self.trend * seen.trend_NN
        return _Kernel(radii_NN, matern_NN, fading_NN, in_time_NN, timed_NN, kernel_NN)

    def gradient(self, seen: _Distances, parts: _Kernel, slope_NN: np.ndarray) -> np.ndarray:
        """The trace of the slope times the kernel's derivative by each of theta."""
        timed_NN = slope_NN * parts.in_time_NN
        matern_slope_NN = 5 / 3 * (1 + SQRT5 * parts.radii_NN) * np.exp(-SQRT5 * parts.radii_NN)
        by_square = seen.squares_DNN.reshape(len(self.scales_D), -1)
        by_scale_D = by_square @ (timed_NN * self.signal * matern_slope_NN).ravel()
        whole_NN = slope_NN * parts.timed_NN / parts.in_time_NN
        fading_slope = np.sum(whole_NN * parts.fading_NN * seen.gaps_NN)
        return np.array(
            [
                *(by_scale_D / self.scales_D**2),
                np.sum(whole_NN * (1 - parts.fading_NN)) * self.lasting * (1 - self.lasting),
                fading_slope * (1 - self.lasting) / self.time_scale,
                np.trace(slope_NN) * (self.noise - JITTER),
                np.sum(timed_NN * parts.matern_NN) * self.signal,
                np.sum(timed_NN * seen.same_NN) * self.own,
                np.sum(slope_NN * seen.trend_NN) * self.trend,
            ]
        )


def normal_scores(losses_N: np.ndarray) -> np.ndarray:
    """Where each would be, by its rank, in a sample of the standard normal distribution.

    Equal losses, as accuracies of few rows often are, share the middle of their ranks.
    """
    _, places_N, counts = np.unique(losses_N, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts + 1) / 2
    scores_N: np.ndarray = ndtri((ranks[places_N] + 0.5) / len(losses_N))
    return scores_N


def _matern(radii: np.ndarray) -> np.ndarray:
    """Matern 5/2."""
    result: np.ndarray = (1 + SQRT5 * radii + 5 / 3 * radii**2) * np.exp(-SQRT5 * radii)
    return result


def _radii(a_MF: np.ndarray, b_NF: np.ndarray) -> np.ndarray:
    squares_MN = (a_MF**2).sum(1)[:, None] + (b_NF**2).sum(1) - 2 * a_MF @ b_NF.T
    return np.sqrt(np.maximum(squares_MN, 1e-12))

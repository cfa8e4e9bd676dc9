"""The Universal Scalability Law (Gunther), fitted to points.

X(N) = a * N / (1 + s * (N - 1) + k * N * (N - 1)). `a` is what one job slot does, `s` is contention
(what is done one at a time), `k` is coherency (what each pair of jobs costs). With k > 0 the
throughput has a peak at sqrt((1 - s) / k).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from walnats_anyio.tune._optional import optional
from walnats_anyio.tune._result import Band, Fit

FEWEST_LEVELS = 4
"""Three parameters need one point more to be wrong about."""

GOOD_RESIDUAL = 0.04
"""Root mean square distance from the points, as a share, up to which the law describes them."""

GOOD_WORST = 0.10
"""The largest distance of a single point."""

DRAWS = 2000
"""Parameters drawn from their joint distribution, for the interval of the peak."""

NO_PEAK = 100.0
"""A peak beyond so many times the highest level is not told from none."""


@dataclass(frozen=True)
class Measured:
    """The throughput at one level, with its standard error."""

    max_jobs: int
    throughput: float
    error: float


def law(n: Any, a: float, s: float, k: float) -> Any:
    """Throughput at `n`, a number or an array of numbers."""
    return a * n / (1 + s * (n - 1) + k * n * (n - 1))


def require() -> None:
    """See whether SciPy is there.

    Raises:
        ModuleNotFoundError: it is not.
    """
    optional("scipy.optimize")


def fit_law(points: Sequence[Measured]) -> Fit | None:
    """Fit the law; None where there are too few levels, or no parameters can be found."""
    points = [point for point in points if point.throughput > 0]
    if len({point.max_jobs for point in points}) < FEWEST_LEVELS:
        return None
    np, optimize = optional("numpy"), optional("scipy.optimize")
    n = np.array([point.max_jobs for point in points], dtype=float)
    x = np.array([point.throughput for point in points], dtype=float)
    # Relative weights: 3 % of 10 jobs/s count as much as 3 % of 1,000. What repeats more exactly
    # than 1 % is not believed to be that exact: a level is more than its few runs.
    sigma = np.array([max(point.error, 0.01 * point.throughput) for point in points])
    start = (max(x / n), 0.1, 1e-4)
    bounds = ((0.0, 0.0, 0.0), (np.inf, 1.0, 1.0))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optimize.OptimizeWarning)
            found, covariance = optimize.curve_fit(
                law, n, x, p0=start, sigma=sigma, bounds=bounds, absolute_sigma=False, maxfev=20_000
            )
    except RuntimeError:
        return None
    return _fit_of(found, covariance, n, x)


def _fit_of(found: Any, covariance: Any, n: Any, x: Any) -> Fit:
    np = optional("numpy")
    if not np.all(np.isfinite(covariance)):  # a parameter the points say nothing about
        covariance = np.zeros((3, 3))
    a, s, k = (float(value) for value in found)
    expected = law(n, a, s, k)
    distances = (x - expected) / expected
    residual = float(np.sqrt(np.mean(distances**2)))
    errors = np.sqrt(np.diag(covariance))
    top = float(n.max())
    peak = _peak(s, k, top)
    low, high = _peak_interval(found, covariance, top)
    return Fit(
        a=a,
        s=s,
        k=k,
        a_error=float(errors[0]),
        s_error=float(errors[1]),
        k_error=float(errors[2]),
        residual=residual,
        good=residual <= GOOD_RESIDUAL and float(np.max(np.abs(distances))) <= GOOD_WORST,
        peak=peak,
        peak_low=low,
        peak_high=high,
        band=tuple(_band(found, covariance, n)),
    )


def _peak(s: float, k: float, top: float) -> float | None:
    if s >= 1:
        return 1.0
    peak = math.sqrt((1 - s) / k) if k > 0 else math.inf
    return max(1.0, peak) if peak <= NO_PEAK * top else None


def _peak_interval(found: Any, covariance: Any, top: float) -> tuple[float | None, float | None]:
    """The middle 95 % of the peaks of parameters drawn from their joint distribution."""
    np = optional("numpy")
    random = np.random.default_rng(1)
    drawn = random.multivariate_normal(found, covariance, DRAWS, check_valid="ignore")
    s, k = np.clip(drawn[:, 1], 0, 1), np.clip(drawn[:, 2], 1e-12, None)
    peaks = np.sort(np.maximum(1.0, np.sqrt((1 - s) / k)))
    low, high = float(peaks[int(0.025 * DRAWS)]), float(peaks[int(0.975 * DRAWS)])
    return (
        low if low <= NO_PEAK * top else None,
        high if high <= NO_PEAK * top else None,
    )


def _band(found: Any, covariance: Any, n: Any) -> list[Band]:
    """The law and its confidence band, by the delta method."""
    np, t = optional("numpy"), optional("scipy.stats").t
    levels = sorted(
        {
            *(int(level) for level in n),
            *(int(level) for level in np.geomspace(n.min(), n.max(), 60)),
        }
    )
    factor = float(t.ppf(0.975, max(1, len(n) - 3)))
    bands: list[Band] = []
    for level in levels:
        slope = _gradient(level, found)
        half = factor * math.sqrt(max(0.0, float(slope @ covariance @ slope)))
        value = float(law(level, *found))
        bands.append(
            Band(max_jobs=level, throughput=value, low=max(0.0, value - half), high=value + half)
        )
    return bands


def _gradient(n: float, found: Any) -> Any:
    """The law's derivatives by its three parameters."""
    np = optional("numpy")
    a, s, k = found
    below = 1 + s * (n - 1) + k * n * (n - 1)
    return np.array([n / below, -a * n * (n - 1) / below**2, -a * n * n * (n - 1) / below**2])

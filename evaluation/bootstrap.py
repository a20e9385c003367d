"""Confidence intervals by the bootstrap: resample the prompts, as those of the benchmark are a sample too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..frozen_model import Frozen
from .benchmarks.base import BootstrapSample, Metric

RESAMPLES = 2000
LEVEL = 95


class Estimate(Frozen):
    """A mean and its interval; a single value has none."""

    mean: float
    low: float | None = None
    high: float | None = None


def estimate(values: Sequence[float], seed: int = 0) -> Estimate:
    """Return the mean over prompts with its 95 % percentile interval.

    The same resamples are drawn for every list of the same length. The interval of the differences of two lists is therefore
    the paired one.

    Raises:
        ValueError: there is nothing to average.
    """
    if not values:
        raise ValueError("nothing to average")
    array = np.asarray(values, dtype=np.float64)
    if len(array) == 1:
        return Estimate(mean=float(array[0]))
    means = array[resamples(len(array), seed)].mean(axis=1)
    return _with_interval(float(array.mean()), means)


def estimate_metric(
    metric: Metric,
    rows: Sequence[Mapping[str, float]],
    groups: Sequence[str],
    minus: Sequence[Mapping[str, float]] | None = None,
    seed: int = 0,
) -> Estimate | None:
    """Return a metric of prompts with its 95 % percentile interval; None if it is not defined for their scores.

    Args:
        metric: what is computed.
        rows: the scores of each prompt.
        groups: the group of each.
        minus: scores of the same prompts by another method: the difference is returned, its resamples paired.
        seed: of the resamples.
    """

    def of(picks: NDArray[np.int64]) -> NDArray[np.float64]:
        values = metric.of(BootstrapSample(rows, groups, picks))
        return values if minus is None else values - metric.of(BootstrapSample(minus, groups, picks))

    if not rows:
        return None
    value = float(of(np.arange(len(rows), dtype=np.int64)[None])[0])
    if np.isnan(value):
        return None
    if len(rows) == 1:
        return Estimate(mean=value)
    drawn = of(resamples(len(rows), seed))
    return _with_interval(value, drawn[~np.isnan(drawn)])  # a resample may lack a small group altogether


def _with_interval(value: float, drawn: NDArray[np.float64]) -> Estimate:
    if not len(drawn):
        return Estimate(mean=value)
    low, high = np.percentile(drawn, [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return Estimate(mean=value, low=float(low), high=float(high))


@lru_cache(maxsize=8)
def resamples(n: int, seed: int) -> NDArray[np.int64]:
    """Return indices of prompts for every resample, int64 of shape (resamples, n)."""
    return np.random.default_rng(seed).integers(0, n, size=(RESAMPLES, n))

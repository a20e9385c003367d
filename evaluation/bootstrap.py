"""Confidence intervals of means by the bootstrap: resample the prompts, as those of the benchmark are a sample too."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

RESAMPLES = 2000
LEVEL = 95


class Estimate(BaseModel):
    """A mean and its interval, which one value alone does not have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    means = array[_resamples(len(array), seed)].mean(axis=1)
    low, high = np.percentile(means, [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return Estimate(mean=float(array.mean()), low=float(low), high=float(high))


@lru_cache(maxsize=8)
def _resamples(n: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, n, size=(RESAMPLES, n))

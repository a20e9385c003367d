"""Intervals: they cover what they should, and paired differences are tighter than unpaired ones."""

import numpy as np
import pytest

from gems.evaluation.bootstrap import estimate


def test_an_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        found = estimate(list(rng.normal(10, 3, size=60)))
        covered += found.low <= 10 <= found.high
    assert 0.90 <= covered / 200 <= 0.98


def test_it_is_the_same_every_time_and_near_the_normal_one():
    values = list(np.random.default_rng(2).normal(0, 1, size=400))
    one, two = estimate(values), estimate(values)
    assert one == two
    assert one.mean == pytest.approx(np.mean(values))
    assert one.high - one.low == pytest.approx(2 * 1.96 * np.std(values) / 20, rel=0.1)


def test_a_paired_difference_is_tighter_than_the_two_intervals():
    rng = np.random.default_rng(3)
    hard = rng.uniform(0, 100, size=100)
    better = hard + 5 + rng.normal(0, 1, size=100)
    difference = estimate(list(better - hard))
    assert 4.5 < difference.low < difference.high < 5.5
    assert estimate(list(hard)).high > estimate(list(better)).low


def test_of_nothing_there_is_no_mean():
    with pytest.raises(ValueError, match="nothing to average"):
        estimate([])

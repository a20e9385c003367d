"""Intervals: they cover what they should, and paired differences are tighter than unpaired ones."""

import numpy as np
import pytest

from gems.evaluation.benchmarks.base import BootstrapSample, Metric
from gems.evaluation.bootstrap import estimate, estimate_metric


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


SHARE = Metric("share", "Share", lambda draws: draws.mean("share"))
ODDS = Metric("odds", "Odds", lambda draws: draws.ratio("right", "asked"))


def rows(values, key="share"):
    return [{key: value} for value in values]


def test_a_mean_metric_has_the_interval_of_the_mean():
    values = list(np.random.default_rng(4).uniform(0, 1, size=50))
    found, plain = estimate_metric(SHARE, rows(values), [""] * 50), estimate(values)
    assert [found.mean, found.low, found.high] == pytest.approx([plain.mean, plain.low, plain.high])


def test_a_paired_difference_of_a_metric_is_that_of_the_differences():
    rng = np.random.default_rng(5)
    before = list(rng.uniform(0, 1, size=40))
    after = [value + 0.1 + rng.normal(0, 0.01) for value in before]
    found = estimate_metric(SHARE, rows(after), [""] * 40, rows(before))
    plain = estimate([b - a for a, b in zip(before, after, strict=True)])
    assert [found.mean, found.low, found.high] == pytest.approx([plain.mean, plain.low, plain.high])


def test_a_ratio_weighs_prompts_by_their_questions():
    counted = [{"right": 1.0, "asked": 1.0}, {"right": 0.0, "asked": 3.0}]
    assert estimate_metric(ODDS, counted, ["", ""]).mean == 0.25


def test_of_one_prompt_there_is_no_interval_and_of_none_nothing():
    one = estimate_metric(SHARE, rows([0.5]), [""])
    assert (one.mean, one.low, one.high) == (0.5, None, None)
    assert estimate_metric(SHARE, [], []) is None
    assert estimate_metric(SHARE, rows([1.0], "other"), [""]) is None


def test_a_group_is_of_its_prompts_alone():
    draws = BootstrapSample(rows([0.0, 1.0, 0.5]), ["a", "b", "b"], np.array([[0, 1, 2], [0, 0, 0]]))
    assert draws.mean("share", "b")[0] == 0.75
    assert np.isnan(draws.mean("share", "b")[1])  # a resample that has none of the group

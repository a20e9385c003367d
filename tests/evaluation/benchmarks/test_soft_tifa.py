"""The means of Soft-TIFA, and the numbers of a benchmark that is scored by them, by hand."""

import math

import pytest

from gems.evaluation.benchmarks.geneval2 import arithmetic_mean, geometric_mean, soft_tifa, soft_tifa_metrics
from gems.evaluation.bootstrap import estimate_metric


def test_means_of_one_prompt():
    assert arithmetic_mean([1, 0.5, 0]) == pytest.approx(0.5)
    assert geometric_mean([0.25, 1.0]) == pytest.approx(0.5)
    assert geometric_mean([0.9, 0.8, 0.7]) == pytest.approx((0.9 * 0.8 * 0.7) ** (1 / 3))


def test_a_single_zero_zeroes_the_geometric_mean():
    assert geometric_mean([1, 1, 1, 0]) == 0
    assert arithmetic_mean([1, 1, 1, 0]) == 0.75


@pytest.mark.parametrize("mean", [arithmetic_mean, geometric_mean])
def test_nothing_has_no_mean(mean):
    with pytest.raises(ValueError, match="at least one question"):
        mean([])


def by_metric(*judged):
    """Compute all metrics over prompts, each given as (group, skills, scores)."""
    rows = [soft_tifa(scores, skills) for _, skills, scores in judged]
    groups = [group for group, _, _ in judged]
    metrics = soft_tifa_metrics(sorted({s for _, skills, _ in judged for s in skills}), sorted(set(groups)))
    return {m.name: estimate_metric(m, rows, groups).mean for m in metrics}


def test_a_benchmark_by_hand():
    found = by_metric(
        ("03", ("object", "count", "attribute"), (1, 0, 1)),
        ("03", ("object", "count"), (1, 0.25)),
        ("04", ("object", "position"), (1, 1)),
    )
    assert found == pytest.approx(
        {
            "gm": 100 * (0 + math.sqrt(0.25) + 1) / 3,
            "am": 100 * (2 / 3 + 0.625 + 1) / 3,
            "skill attribute": 100,
            "skill count": 12.5,
            "skill object": 100,
            "skill position": 100,
            "atomicity 3": 25,
            "atomicity 4": 100,
        }
    )


def test_a_part_without_numbers_is_none():
    (_, _, count, *_) = soft_tifa_metrics(["count"], ["03"])
    assert estimate_metric(count, [soft_tifa([1.0], ["object"])], ["03"]) is None
    assert estimate_metric(count, [], []) is None

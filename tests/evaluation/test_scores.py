import math

import pytest
from pydantic import ValidationError

from gems.evaluation.scores import Judged, Scores, arithmetic_mean, geometric_mean, summarize


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


def test_a_benchmark_by_hand():
    scores = summarize(
        [
            Judged(id="a", atomicity=3, skills=("object", "count", "attribute"), scores=(1, 0, 1)),
            Judged(id="b", atomicity=3, skills=("object", "count"), scores=(1, 0.25)),
            Judged(id="c", atomicity=4, skills=("object", "position"), scores=(1, 1)),
        ]
    )
    assert (scores.prompts, scores.questions) == (3, 7)
    assert scores.soft_tifa_am == pytest.approx(100 * (2 / 3 + 0.625 + 1) / 3)
    assert scores.soft_tifa_gm == pytest.approx(100 * (0 + math.sqrt(0.25) + 1) / 3)
    assert scores.by_skill == pytest.approx({"attribute": 100, "count": 12.5, "object": 100, "position": 100})
    assert scores.by_atomicity == pytest.approx({3: 25, 4: 100})


def test_scores_survive_json():
    scores = summarize(
        [Judged(id="a", atomicity=3, skills=("object",), scores=(0.5,)), Judged(id="b", skills=("object",), scores=(1,))]
    )
    assert Scores.model_validate_json(scores.model_dump_json()) == scores
    assert scores.by_atomicity == {3: pytest.approx(50)}


def test_nothing_judged_is_an_error():
    with pytest.raises(ValueError, match="no scores"):
        summarize([])


@pytest.mark.parametrize(
    ("skills", "scores"), [(("object",), (0.5, 0.5)), (("object",), (1.5,)), (("object",), (math.nan,)), ((), ())]
)
def test_judgements_that_make_no_sense_are_refused(skills, scores):
    with pytest.raises(ValidationError):
        Judged(id="a", skills=skills, scores=scores)

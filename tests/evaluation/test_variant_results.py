"""What a study found, by hand: prompts are averaged over their images, failures count as nothing seen, costs are of a run."""

import json

import pytest

from gems.evaluation.benchmarks.base import Metric
from gems.evaluation.bootstrap import Estimate
from gems.evaluation.image_scores import ImageScore
from gems.evaluation.run_records import CheckSummary
from gems.evaluation.variant_results import prompt_costs, prompt_rows, results_to_json, summarize_variants
from gems.evaluation.variants import make_variants

from .colours import Colours, record

SAMPLES = Colours(3).read({})


def scored(**values):
    """Scores by hand: original=[[image, image], [image]] are those of the first and the second prompt."""
    return {
        (name, f"c{p:02d}", k): ImageScore({"share": value})
        for name, prompts in values.items()
        for p, images in enumerate(prompts)
        for k, value in enumerate(images)
    }


def made_for(scores, **more):
    return {key: record(key[1], key[0], key[2], image="abcdef"[key[2]], **more) for key in scores}


def test_images_of_a_prompt_are_averaged_before_prompts_are():
    scores = scored(original=[[1.0, 0.0], [1.0, 1.0], [0.0, 0.5]])
    assert prompt_rows("original", SAMPLES, scores) == {"c00": {"share": 0.5}, "c01": {"share": 1.0}, "c02": {"share": 0.25}}
    (result,) = summarize_variants(Colours(3), make_variants(["original"]), SAMPLES, made_for(scores), scores, "original", images=2)
    assert result.metrics["share"].mean == pytest.approx(100 * (0.5 + 1 + 0.25) / 3)
    assert result.metrics["share warm"].mean == pytest.approx(50)  # c00 is red, the others are blue and green
    assert result.metrics["share cold"].mean == pytest.approx(62.5)
    assert (result.prompts, result.pictures, result.failed, result.missing, result.unanswered) == (3, 6, 0, 0, 0)


def test_the_gain_is_over_the_prompts_that_both_have():
    scores = scored(original=[[0.0], [0.5], [1.0]], loop=[[1.0], [0.5]])
    results = summarize_variants(Colours(3), make_variants(["original", "loop"]), SAMPLES, made_for(scores), scores, "original")
    original, loop = results
    assert original.gain is None
    assert loop.gain.mean == pytest.approx(100 * (1.0 + 0.0) / 2)
    assert (loop.prompts, loop.missing) == (2, 1)
    assert loop.against == "original"


class Waiting(Colours):
    """Its first metric waits for numbers of an official scorer; there is a part between the two of the main table."""

    def metrics(self, samples):
        share, *parts = super().metrics(samples)
        return [Metric("overall", "Overall", lambda d: d.mean("official")), *parts, share]


def test_variants_are_compared_by_the_first_metric_that_all_have():
    bench = Waiting(3)
    scores = scored(original=[[0.0], [0.5], [1.0]], loop=[[1.0], [0.5], [1.0]])
    records = made_for(scores)

    def results():
        return summarize_variants(bench, make_variants(["original", "loop", "paper"]), SAMPLES, records, scores, "original")

    original, loop = results()  # nothing of the third was judged: it has no say
    assert (original.leading, loop.leading) == ("share", "share")
    assert loop.gain.mean == pytest.approx(100 * (1.0 + 0.0 + 0.0) / 3)
    for key in scores:
        if key[0] == "loop":
            scores[key] = ImageScore({**scores[key].values, "official": 7.0})
    original, loop = results()
    assert (original.leading, loop.leading) == ("share", "share")  # one has it, the other has not
    assert loop.metrics["overall"].mean == 7
    for key in scores:
        scores[key] = ImageScore({**scores[key].values, "official": 7.0 if key[0] == "loop" else 4.0})
    original, loop = results()
    assert (original.leading, loop.leading, loop.gain.mean) == ("overall", "overall", 3)


def test_where_no_metric_has_a_value_the_first_leads():
    scores = {("original", "c00", 0): ImageScore({"other": 1.0})}
    (result,) = summarize_variants(Waiting(3), make_variants(["original"]), SAMPLES, made_for(scores), scores, "original")
    assert (result.leading, result.metrics, result.gain) == ("overall", {}, None)


def test_failures_count_and_what_is_missing_does_not():
    scores = scored(original=[[1.0], [0.0]])
    records = made_for(scores)
    records["original", "c01", 0] = record("c01", image=None)
    (result,) = summarize_variants(
        Colours(3), make_variants(["original", "loop"]), SAMPLES, records, scores, "original", judge="me"
    )
    assert (result.judge, result.failed, result.missing, result.pictures) == ("me", 1, 1, 1)
    assert result.metrics["share"].mean == 50
    assert result.accepted.mean == 50


def test_unanswered_questions_are_counted():
    scores = {("original", "c00", 0): ImageScore({"share": 0.5}, 1), ("original", "c01", 0): ImageScore({"share": 0.0}, 2)}
    (result,) = summarize_variants(Colours(3), make_variants(["original"]), SAMPLES, made_for(scores), scores, "original")
    assert result.unanswered == 3


def test_costs_are_of_a_run_and_refinements_are_averaged_by_their_number():
    scores = scored(original=[[1.0, 1.0], [1.0]])
    records = {
        ("original", "c00", 0): record("c00", index=0, images=1, input_tokens=10, output_tokens=1, calls=2, cost=0.5),
        ("original", "c00", 1): record("c00", index=1, images=3, input_tokens=20, output_tokens=1, calls=4, cost=0.5,
                                       refiner_input_tokens=(5, 7), refiner_pictures=(1, 2)),
        ("original", "c01", 0): record("c01", images=5, calls=6, cost=1.0, refiner_input_tokens=(9,), refiner_pictures=(1,)),
    }  # fmt: skip
    (result,) = summarize_variants(Colours(3), make_variants(["original"]), SAMPLES, records, scores, "original", images=2)
    assert prompt_costs("original", SAMPLES, records, "images") == [2, 5]
    assert result.images.mean == 3.5
    assert result.calls.mean == 4.5
    assert result.tokens.mean == pytest.approx((16 + 0) / 2)
    assert result.cost.mean == 0.75
    assert result.refiner_input_tokens == (7, 7)
    assert result.refiner_pictures == (1, 2)


def test_where_a_run_has_no_price_there_is_no_cost():
    scores = scored(original=[[1.0], [1.0]])
    records = made_for(scores, cost=1.0) | {("original", "c01", 0): record("c01")}
    (result,) = summarize_variants(Colours(3), make_variants(["original"]), SAMPLES, records, scores, "original")
    assert result.cost is None


def test_one_prompt_has_no_interval():
    scores = scored(original=[[0.5]])
    (result,) = summarize_variants(Colours(3), make_variants(["original"]), SAMPLES, made_for(scores), scores, "original")
    assert result.metrics["share"] == Estimate(mean=50)


def test_programs_are_told_by_judge_and_variant():
    scores = scored(original=[[0.0], [0.5]], loop=[[1.0], [0.5]])
    records = made_for(scores, images=2, calls=3, cost=0.25, checks=CheckSummary(total=1, passed=1, gm=1, am=1))
    results = summarize_variants(Colours(3), make_variants(["original", "loop"]), SAMPLES, records, scores, "original", judge="me")
    told = json.loads(json.dumps(results_to_json(results)))["judges"]["me"]
    assert list(told) == ["original", "loop"]
    assert told["original"]["share"] == 25
    assert told["original"]["images_per_run"] == 2
    assert told["original"]["chat_calls_per_run"] == 3
    assert told["original"]["cost_per_run"] == 0.25
    assert told["original"]["accepted"] == 1
    assert told["original"]["intervals"]["share"] == pytest.approx([0, 50])
    assert told["loop"]["difference"]["against"] == "original"
    assert told["loop"]["difference"]["mean"] == 50
    assert told["loop"]["difference"]["metric"] == "share"
    assert "difference" not in told["original"]
    assert {k: told["loop"][k] for k in ("prompts", "pictures", "failed", "missing", "unanswered")} == {
        "prompts": 2, "pictures": 2, "failed": 0, "missing": 1, "unanswered": 0,
    }  # fmt: skip

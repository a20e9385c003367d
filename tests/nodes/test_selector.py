"""The selector's knobs: when it accepts, when it gives up, and the budgets it keeps."""

import pytest

from gems import Attempt, ImageRef, RunContext, Score, Usage, Verdict, preset
from gems.errors import SettingError
from gems.memory.state import RoleUsage
from gems.models.options import ChatOptions, ImageOptions, ModelOptions
from gems.nodes.budget import Money, cost_of, require_prices
from gems.nodes.selector import decide

IMAGE = ImageRef(sha256="0" * 64, width=1, height=1)
PRICED = ModelOptions(chat=ChatOptions(price_input=2, price_output=10), image=ImageOptions(price=0.5))


def attempt(round, *probabilities, candidate=0):
    found = tuple(Verdict(check=f"c{i}", passed=p > 0.5, probability=p) for i, p in enumerate(probabilities))
    score = Score.of(found)
    return Attempt(round=round, candidate=candidate, prompt="p", seed=round, image=IMAGE, verdicts=found, score=score)


def used(calls=0, tokens=0, images=0, seconds=0.0):
    verifier = RoleUsage(calls=calls, input_tokens=tokens, seconds=seconds)
    return Usage(roles={"verifier": verifier, "generator": RoleUsage(images=images)})


def test_an_image_is_accepted_from_a_score_on_and_the_reason_says_so():
    attempts = [attempt(1, 0.9, 0.9, 0.45), attempt(2, 0.9, 0.9, 0.2)]
    result = decide(attempts, RunContext(accept_at=0.7))
    assert (result.decision, result.best_round) == ("accept", 1)
    assert result.reason == "the score 0.714 reaches accept_at 0.7; 2 of 3 checks passed"
    assert decide(attempts, RunContext(accept_at=0.72)).decision == "refine"


def test_all_checks_passed_is_accepted_whatever_the_budgets_say():
    context = RunContext(accept_at=1, max_images=1, max_calls=1, max_rounds=1)
    assert decide([attempt(1, 0.6, 0.6)], context, used(calls=9)).decision == "accept"


def test_patience_counts_from_the_best_round_and_nought_is_never():
    attempts = [attempt(1, 0.9, 0.2), *(attempt(r, 0.1, 0.1) for r in (2, 3))]
    assert decide(attempts, preset("default", patience=2)).reason == "no better image in 2 rounds"
    assert decide(attempts, preset("default", patience=3)).decision == "refine"
    assert decide(attempts, preset("default", patience=0)).decision == "refine"


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"max_calls": 22}, "another round would take about 9 chat calls: 14 of max_calls 22 are used"),
        ({"max_calls": 23}, None),
        ({"max_tokens": 1899}, "another round would take about 900 tokens: 1000 of max_tokens 1899 are used"),
        ({"max_tokens": 1900}, None),
        ({"max_seconds": 5.5}, "another round would take about 2.5 seconds of the models: 4 of max_seconds 5.5 are used"),
        ({"max_seconds": 7}, None),
        ({"max_cost": 1.5}, "another round would take about 0.5018 in money: 1.002 of max_cost 1.5 are used"),
        ({"max_cost": 1.6}, None),
        ({"max_images": 2}, "2 of 2 images are used"),
        ({"max_images": 3}, None),
    ],
)
def test_no_round_is_begun_that_would_go_past_a_budget(limits, reason):
    attempts = [attempt(1, 0.9, 0.2), attempt(2, 0.9, 0.2)]
    before, now = used(5, 100, 1, 1.5), used(14, 1000, 2, 4.0)
    result = decide(attempts, RunContext(**limits), now, before, PRICED)
    assert result.decision == ("give up" if reason else "refine")
    assert reason is None or result.reason == reason


def test_the_first_round_takes_the_planning_with_it():
    assert decide([attempt(1, 0.2)], RunContext(max_calls=5), used(calls=3)).decision == "give up"
    assert decide([attempt(1, 0.2)], RunContext(max_calls=6), used(calls=3)).decision == "refine"


def test_money_is_counted_by_role_and_says_what_it_leaves_out():
    models = ModelOptions(
        chat=ChatOptions(price_input=1, price_output=4), roles={"verifier": ChatOptions(price_input=10, price_output=0)}
    )
    roles = {
        "planner": RoleUsage(calls=1, input_tokens=500_000, output_tokens=250_000),
        "verifier": RoleUsage(calls=2, input_tokens=100_000, output_tokens=900_000),
    }
    assert cost_of(Usage(roles=roles), models) == Money(0.5 + 1.0 + 1.0)
    drawn = Usage(roles={**roles, "generator": RoleUsage(images=3), "refiner": RoleUsage(calls=1)})
    assert cost_of(drawn, models) == Money(2.5, ("generator", "refiner"))  # no price; calls that told no tokens
    assert str(cost_of(drawn, models)) == "2.5000 (without the price of: generator, refiner)"
    assert cost_of(drawn, ModelOptions()) is None


def test_a_budget_of_money_needs_a_price():
    with pytest.raises(SettingError, match="no model has a price; put price_input"):
        require_prices(RunContext(max_cost=1), ModelOptions())
    require_prices(RunContext(max_cost=1), ModelOptions(image=ImageOptions(price=0)))
    require_prices(RunContext(), ModelOptions())


def test_an_image_about_which_something_is_unknown_is_not_accepted_by_its_score():
    one = attempt(1, 0.9, 0.9)
    unknown = one.model_copy(update={"verdicts": (*one.verdicts[:-1], Verdict(check=one.verdicts[-1].check))})
    scored = unknown.model_copy(update={"score": Score.of(unknown.verdicts)})
    assert scored.score.geometric > 0.4
    assert decide([scored], RunContext(accept_at=0.4)).decision == "refine"

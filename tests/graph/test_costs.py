"""What a run may take, told before it, against what runs take; and budgets over whole runs, with forks and crashes."""

from pathlib import Path

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from gems import Gems, GemsError, ImageStore, RunContext, Usage, build_graph, preset, run
from gems.context import PRESETS
from gems.evaluation.noise import noisy
from gems.graph.costs import Bounds, estimate, image_cost
from gems.models.options import ChatOptions, ImageOptions, ModelOptions
from gems.models.shapes.chat import ShapesChat
from gems.nodes.verifier import verifier
from gems.storage.serializer import serializer

from ..moody_chat import Moody

PROMPT = "two blue stars to the left of a red circle"
PRICES = ChatOptions(price_input=1, price_output=2)


def calls(result):
    return {role: result.usage.roles[role].calls if role in result.usage.roles else 0 for role in estimate(RunContext(), 1).calls}


@pytest.mark.parametrize("name", PRESETS)
def test_an_image_accepted_at_first_takes_what_was_told(tmp_path, make_sketcher, name):
    result = run("a red circle", preset=name, image=make_sketcher(0.0), runs=tmp_path)
    told = estimate(preset(name), len(result.checks))
    assert result.decision == "accept"
    assert calls(result) == {role: bounds.first for role, bounds in told.calls.items()}
    assert result.usage.images == told.images.first


@pytest.mark.parametrize("settings", [{}, {"fuse": True}, {"max_images": 3}], ids=str)
@pytest.mark.parametrize("name", PRESETS)
def test_a_run_that_never_gets_there_stays_within_what_was_told(tmp_path, make_sketcher, name, settings):
    result = run(PROMPT, preset=name, image=make_sketcher(1.0), runs=tmp_path, **{**settings, "patience": None})
    told = estimate(preset(name, **settings), len(result.checks))
    assert result.decision == "give up"
    assert result.usage.images == told.images.worst
    for role, taken in calls(result).items():
        assert told.calls[role].first <= taken <= told.calls[role].worst, role
    assert calls(result)["refiner"] == told.calls["refiner"].worst
    assert calls(result)["summarizer"] == told.calls["summarizer"].worst


def test_a_verifier_that_contradicts_itself_stays_within_what_was_told(tmp_path, sketcher):
    """Noise turns half of all answers over: whatever can be asked again is."""
    node = noisy(verifier(ShapesChat(), ImageStore(tmp_path / "images").read), fp=0.5, fn=0.5)
    context = preset("thorough", max_rounds=3)
    for seed in range(4):
        result = run(PROMPT, preset="thorough", image=sketcher, runs=tmp_path, seed=seed, max_rounds=3, nodes={"verifier": node})
        assert calls(result)["verifier"] <= estimate(context, len(result.checks)).calls["verifier"].worst


def test_what_images_cost_is_told_where_they_have_a_price():
    told = estimate(RunContext(candidates=2, max_rounds=3, max_images=5), 4)
    assert told.images == Bounds(2, 5)
    assert image_cost(told, ModelOptions(image=ImageOptions(price=0.1))) == (0.2, 0.5)
    assert image_cost(told, ModelOptions()) is None


def test_the_images_of_a_run_are_counted_exactly(tmp_path, make_sketcher):
    image = make_sketcher(1.0)
    result = run(PROMPT, image=image, runs=tmp_path, candidates=3, max_images=7, patience=None)
    assert [(a.round, a.candidate) for a in result.attempts] == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (3, 0)]
    assert len(image.made) == 7
    assert len({a.seed for a in result.attempts}) == 7
    assert result.state.result.reason == "7 of 7 images are used"


def test_kept_seeds_are_those_of_the_first_round(tmp_path, make_sketcher):
    result = run(PROMPT, image=make_sketcher(1.0), runs=tmp_path, candidates=2, max_rounds=2, keep_seed=True, seed=9)
    assert [a.seed for a in result.attempts] == [9, 10, 9, 10]


def test_a_run_never_goes_past_its_calls_and_the_reason_names_the_budget(tmp_path, make_sketcher):
    result = run(PROMPT, preset="paper", image=make_sketcher(1.0), runs=tmp_path, max_calls=30)
    assert result.state.round > 1
    assert result.usage.chat_calls <= 30
    assert f"{result.usage.chat_calls} of max_calls 30 are used" in result.state.result.reason


def test_the_first_round_always_runs(tmp_path, make_sketcher):
    result = run(PROMPT, image=make_sketcher(1.0), runs=tmp_path, max_tokens=1)
    assert (result.state.round, result.decision) == (1, "give up")


def test_a_fork_reckons_with_the_usage_of_its_own_past(tmp_path, make_sketcher):
    graph = build_graph(image=make_sketcher(1.0), image_store=ImageStore(tmp_path), checkpointer=InMemorySaver(serde=serializer()))
    config, context = {"configurable": {"thread_id": "t"}}, preset("paper", max_rounds=4)
    whole = graph.invoke({"prompt": PROMPT}, config, context=context)
    past = next(s for s in graph.get_state_history(config) if s.next == ("selector",) and s.values["result"].best_round)
    earlier = past.values["result"].usage
    assert isinstance(earlier, Usage)
    took = past.values["usage"].since(earlier).chat_calls
    limit = past.values["usage"].chat_calls + took
    for room, decision in ((0, "refine"), (-1, "give up")):
        rounds = max(a.round for a in past.values["attempts"])
        budget = preset("paper", max_rounds=rounds + 1, max_calls=limit + room)
        step = next(iter(graph.stream(None, past.config, context=budget)))
        assert step["selector"]["result"].decision == decision
        assert (f"about {took} chat calls" in step["selector"]["result"].reason) == (decision == "give up")
    assert whole["result"].usage == whole["usage"]


def test_a_run_that_was_killed_keeps_its_budget(tmp_path, make_sketcher):
    chat = Moody(mood={"Refinement": lambda n: (_ for _ in ()).throw(RuntimeError("power cut")) if n == 2 else None})
    settings = {"preset": "paper", "runs": tmp_path, "max_calls": 40}
    whole = run(PROMPT, image=make_sketcher(1.0), thread="whole", **settings)
    with pytest.raises(RuntimeError, match="power cut"):
        run(PROMPT, chat=chat, image=make_sketcher(1.0), thread="cut", **settings)
    gone_on = Gems(chat="shapes", image=make_sketcher(1.0), runs=tmp_path).resume("cut")
    assert gone_on.state.result.reason == whole.state.result.reason
    assert gone_on.usage.chat_calls == whole.usage.chat_calls


def test_what_a_run_has_cost_is_in_its_result_record_and_report(tmp_path, make_sketcher):
    result = run("a red circle", chat=PRICES, image=make_sketcher(0.0), runs=tmp_path, thread="t")
    total = result.usage.total
    assert result.cost.amount == pytest.approx((total.input_tokens + 2 * total.output_tokens) / 1e6)
    assert result.cost.unpriced == ("generator",)
    assert [past.cost for past in Gems(runs=tmp_path).list()] == [result.cost.amount]
    assert f"{result.cost.amount:.4f} (without the price of: generator)" in result.report_path.read_text()
    assert Gems(image=make_sketcher(0.0), runs=tmp_path).resume("t").cost == result.cost


def test_a_run_stops_before_it_costs_more_than_it_may(tmp_path, make_sketcher):
    settings = {"chat": PRICES, "image": make_sketcher(1.0), "runs": tmp_path, "preset": "paper"}
    first = run(PROMPT, max_rounds=1, **settings).cost.amount
    result = run(PROMPT, max_cost=3.5 * first, **settings)
    assert 1 < result.state.round < 5
    assert result.cost.amount <= 3.5 * first
    assert "of max_cost" in result.state.result.reason
    assert result.state.notes.count("max_cost does not count all of generator: its price or its tokens are not known.") == 1


def test_a_budget_of_money_without_a_price_is_an_error_before_anything_is_done(tmp_path, sketcher):
    with pytest.raises(GemsError, match="max_cost: no model has a price"):
        run(PROMPT, image=sketcher, runs=tmp_path, max_cost=1)
    assert sketcher.made == []
    assert list(Path(tmp_path).iterdir()) == []


def test_a_setting_of_checkers_that_is_none_is_refused_before_anything_is_done(tmp_path, sketcher):
    with pytest.raises(GemsError, match="setting checkers: Input should be 'none' or 'auto'"):
        run(PROMPT, image=sketcher, runs=tmp_path, checkers=False)
    assert sketcher.made == []

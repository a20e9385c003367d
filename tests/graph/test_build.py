"""The graph: its shape, swapping of its nodes, and what LangGraph offers on top."""

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from pydantic import BaseModel

from gems import Check, Gems, GemsState, ImageStore, Result, RunContext, Verdict, build_graph, preset, run
from gems.errors import NodeError
from gems.graph.build import ROLES
from gems.storage.serializer import serializer

PROMPT = "two blue stars to the left of a red circle"


def test_the_graph_is_drawn_as_designed(sketcher):
    drawn = build_graph(image=sketcher).get_graph()
    edges = {(e.source, e.target) for e in drawn.edges}
    assert edges == {
        ("__start__", "planner"), ("__start__", "decomposer"), ("planner", "load_skill"), ("load_skill", "planner"),
        ("planner", "review"), ("decomposer", "review"), ("review", "generator"), ("generator", "verifier"),
        ("verifier", "selector"), ("selector", "review"), ("review", "learner"), ("learner", "__end__"), ("review", "summarizer"),
        ("review", "refiner"), ("review", "verifier"), ("review", "selector"), ("summarizer", "refiner"), ("refiner", "generator"),
        ("refiner", "review"),
    }  # fmt: skip
    assert "refine" in drawn.draw_mermaid()


def test_a_swapped_verifier_takes_ten_lines(tmp_path, sketcher):
    store = ImageStore(tmp_path / "images")

    def my_verifier(state: GemsState):
        def bright(ref):
            return sum(store.open(ref).convert("L").resize((1, 1)).getpixel((0, 0)) > 100 for _ in state.checks)

        verdicts = [[Verdict(check=c.id, passed=bool(bright(a.image))) for c in state.checks] for a in state.pending]
        return {"attempts": [a.judged(v) for a, v in zip(state.pending, verdicts, strict=True)]}

    graph = build_graph(image=sketcher, image_store=store, verifier=my_verifier)
    out = graph.invoke({"prompt": PROMPT}, context=RunContext())
    assert out["result"].decision == "accept"
    assert "verifier" not in out["usage"].roles


@pytest.mark.parametrize("role", sorted(set(ROLES) - {"load_skill"}))
def test_every_role_can_be_swapped(tmp_path, sketcher, role):
    called = []

    def mine(state: GemsState):
        called.append(role)
        raise InterruptedError(role)

    graph = build_graph(image=sketcher, image_store=ImageStore(tmp_path), **{role: mine})
    with pytest.raises(InterruptedError):
        graph.invoke({"prompt": "five green stars to the left of a red circle"}, context=preset("loop", seed=5))
    assert called == [role]


def test_a_role_that_does_not_exist_is_refused():
    with pytest.raises(TypeError, match="unknown role judge: the roles are planner"):
        build_graph(judge=lambda state: {})
    for node in (None, 3, {"attempts": 3}):
        with pytest.raises(NodeError, match=r"the role verifier is swapped for .*, which is no node: give a function"):
            build_graph(verifier=node)


@pytest.mark.parametrize(
    ("role", "update", "error"),
    [
        ("planner", {"draft": 3}, "the role planner returned draft=3: draft: Input should be a valid string"),
        ("decomposer", {"checks": ["Is it red?"]}, "the role decomposer returned checks=.*: checks.0: Input should be"),
        ("verifier", {"attempts": ["x"]}, "the role verifier returned attempts=.*: attempts.0: Input should be"),
        (
            "verifier",
            Command(update={"attempt": []}),
            "the role verifier returned attempt, which is no field: did you mean attempts",
        ),
    ],
)
def test_what_the_state_cannot_take_is_refused_before_it_is_stored_and_the_run_resumes(tmp_path, sketcher, role, update, error):
    options = {"image": sketcher, "runs": tmp_path}
    with pytest.raises(NodeError, match=error):
        run("a red circle", **options, thread="t", preset="original", nodes={role: lambda state: update})
    [listed] = Gems(**options).list(state="failed")
    assert listed.error.startswith(f"the role {role} returned")
    node = {
        "planner": lambda state: {"draft": "a red circle"},
        "decomposer": lambda state: {"checks": [Check(id="c1", kind="object", question="Is there a red circle in the image?")]},
        "verifier": lambda state: {"attempts": [a.judged([]) for a in state.pending]},
    }[role]
    assert Gems(**options, nodes={role: node}).resume("t").decision in ("accept", "give up")


def test_an_object_and_a_graph_are_nodes_too(tmp_path, sketcher):
    from langgraph.graph import END, START, StateGraph

    class Checker:
        def __call__(self, state: GemsState):
            return {"checks": [Check(id="c1", kind="object", question="Is there a red circle in the image?")]}

    class Draft(BaseModel):
        draft: str

    inner = StateGraph(GemsState, output_schema=Draft)
    inner.add_node("shout", lambda state: {"draft": "a red circle in the center"})
    inner.add_edge(START, "shout")
    inner.add_edge("shout", END)
    graph = build_graph(image=sketcher, image_store=ImageStore(tmp_path), decomposer=Checker(), planner=inner.compile())
    out = graph.invoke({"prompt": "a picture of the sun"}, context=preset("original"))
    assert [c.id for c in out["checks"]] == ["c1"]
    assert out["attempts"][0].prompt == "a red circle in the center"


def test_it_streams_and_batches(tmp_path, sketcher):
    graph = build_graph(image=sketcher, image_store=ImageStore(tmp_path))
    steps = [name for part in graph.stream({"prompt": PROMPT}, context=preset("original")) for name in part]
    assert steps[-4:] == ["verifier", "selector", "review", "learner"]
    outs = graph.batch([{"prompt": "a red circle"}, {"prompt": "a blue star"}], context=preset("original"))
    assert [o["prompt"] for o in outs] == ["a red circle", "a blue star"]


async def _ainvoke(graph):
    return await graph.ainvoke({"prompt": PROMPT}, context=preset("original"))


def test_it_runs_asynchronously(tmp_path, sketcher):
    import asyncio

    out = asyncio.run(_ainvoke(build_graph(image=sketcher, image_store=ImageStore(tmp_path))))
    assert out["result"].best_round == 1


def test_a_fork_with_an_edited_prompt_goes_its_own_way(tmp_path, make_sketcher):
    graph = build_graph(image=make_sketcher(1.0), image_store=ImageStore(tmp_path), checkpointer=InMemorySaver(serde=serializer()))
    config = {"configurable": {"thread_id": "t"}}
    context = preset("paper", max_rounds=3)
    graph.invoke({"prompt": PROMPT}, config, context=context)
    past = next(s for s in graph.get_state_history(config) if s.next == ("generator",) and len(s.values["attempts"]) == 1)
    fork = graph.update_state(past.config, {"draft": "a red circle at the right"}, as_node="refiner")
    out = graph.invoke(None, fork, context=context)
    assert out["attempts"][1].prompt == "a red circle at the right"
    assert len(out["attempts"]) == 3


def test_the_same_seed_gives_the_same_run_twice(tmp_path, make_sketcher):
    runs = [run(PROMPT, image=make_sketcher(), runs=tmp_path / str(i), seed=3, preset="paper") for i in (1, 2)]
    assert [a.image for a in runs[0].attempts] == [a.image for a in runs[1].attempts]
    assert runs[0].state.experiences == runs[1].state.experiences
    other = run(PROMPT, image=make_sketcher(), runs=tmp_path / "3", seed=4, preset="paper")
    assert other.attempts[0].image != runs[0].attempts[0].image


def test_presets_are_settings_of_the_one_graph(tmp_path, make_sketcher):
    results = {}
    for name in ("original", "rewrite", "best-of-n", "loop", "paper", "default"):
        results[name] = run(PROMPT, preset=name, image=make_sketcher(1.0), runs=tmp_path, seed=1)
    assert len(results["original"].attempts) == 1
    assert results["original"].attempts[0].prompt == PROMPT
    assert [a.candidate for a in results["best-of-n"].attempts] == [0, 1, 2, 3, 4]
    assert len({a.seed for a in results["best-of-n"].attempts}) == 5
    assert results["loop"].state.skills == results["loop"].state.experiences == []
    assert results["paper"].state.skills == ["counting", "spatial-layout"]
    assert len(results["paper"].state.experiences) == results["paper"].state.round - 1 == 4
    calls = {name: r.usage.roles["verifier"].calls / len(r.attempts) for name, r in results.items()}
    assert calls["paper"] == len(results["paper"].checks)
    assert calls["best-of-n"] == 1
    assert 1 < calls["default"] < calls["paper"]
    assert results["original"].usage.roles.keys() == {"decomposer", "generator", "verifier"}


def test_a_new_run_draws_anew_and_a_graph_without_a_thread_finds_its_pictures(tmp_path, sketcher):
    for _ in range(2):
        run("a red circle", preset="original", image=sketcher, runs=tmp_path)
    assert len(sketcher.made) == 2
    graph = build_graph(image=sketcher, image_store=ImageStore(tmp_path / "images"))
    for _ in range(2):
        graph.invoke({"prompt": "a blue star"}, context=preset("original"))
    assert len(sketcher.made) == 3


def test_a_decomposer_without_checks_is_told_so(tmp_path, sketcher):
    graph = build_graph(image=sketcher, image_store=ImageStore(tmp_path), decomposer=lambda state: {"checks": []})
    with pytest.raises(NodeError, match="the decomposer must write at least one"):
        graph.invoke({"prompt": "a red circle"}, context=preset("original"))


@pytest.mark.parametrize("judged", [[], ["c1"], ["zzz"]])
def test_what_a_swapped_verifier_does_not_judge_is_unknown_and_never_accepted(tmp_path, sketcher, judged):
    def lazy(state: GemsState):
        return {"attempts": [a.judged(Verdict(check=id, passed=True) for id in judged) for a in state.pending]}

    graph = build_graph(image=sketcher, image_store=ImageStore(tmp_path), verifier=lazy)
    out = graph.invoke({"prompt": PROMPT}, context=preset("original"))
    assert out["result"].decision == "give up"
    verdicts = out["attempts"][0].verdicts
    assert [v.check for v in verdicts] == [c.id for c in out["checks"]]
    assert sum(v.passed is None for v in verdicts) == len(out["checks"]) - ("c1" in judged)
    assert out["notes"] == ([] if judged else ["the verifier judged none of 1 new image"])


def test_a_selector_of_ones_own_need_only_write_the_result(tmp_path, sketcher):
    seen = []

    def mine(state: GemsState) -> dict:
        seen.append(state.round)
        decision = "accept" if state.round == 2 else "refine"
        return {"result": Result(decision=decision, reason="mine", best_round=state.round)}

    graph = build_graph(image=sketcher, image_store=ImageStore(tmp_path), selector=mine)
    out = graph.invoke({"prompt": PROMPT}, context=preset("default", recall="none"), config={"recursion_limit": 50})
    assert seen == [1, 2]
    assert out["result"].decision == "accept"

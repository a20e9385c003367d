"""What programs see of a run while it goes on: the typed events of `stream()` and of a graph's own stream."""

import asyncio
import functools
import json
import time
from typing import Annotated

import pytest
from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command, Overwrite, Send
from pydantic import BaseModel

import gems
from gems import (
    Check,
    Gems,
    GemsError,
    GemsState,
    RunContext,
    Verdict,
    aevents_from_stream,
    build_graph,
    events_from_stream,
    preset,
    run,
)
from gems.events import (
    BudgetUsed,
    CheckAnswered,
    ChecksWritten,
    Custom,
    Decided,
    Event,
    ExperienceWritten,
    ImageMade,
    LessonLearned,
    LessonsShown,
    Noted,
    PersonAsked,
    PersonSaid,
    PromptWritten,
    RoleEnded,
    RoleStarted,
    RunEnded,
    RunStarted,
    SkillsLoaded,
    events_of,
    read_event,
)
from gems.memory.state import merge_attempts
from gems.storage.checksums import ChecksumSaver
from gems.storage.image_store import ImageStore

CHECKS = [Check(id="c1", kind="object", question="Is there a red circle in the image?")]
PROMPT = "two red circles above a blue square"


STREAM = {"context": preset("original"), "stream_mode": ["tasks", "custom"], "version": "v2"}
"""How a graph of one's own is streamed for `events_from_stream`."""


def of(kind, events):
    return [e for e in events if isinstance(e, kind)]


@pytest.fixture(scope="module")
def seen(tmp_path_factory, request):
    """The events of a run that needs several rounds."""
    from gems.tests.conftest import Sketcher

    return list(
        Gems(image=Sketcher(1.0), runs=tmp_path_factory.mktemp("runs")).stream(PROMPT, thread="t", max_rounds=2, plan="skills")
    )


def test_a_run_tells_its_whole_story_in_order(seen):
    assert isinstance(seen[0], RunStarted)
    assert (seen[0].thread, seen[0].prompt, seen[0].resumed) == ("t", PROMPT, False)
    assert [set(e.names) for e in of(SkillsLoaded, seen)] == [{"spatial-layout", "counting"}]
    [checks] = of(ChecksWritten, seen)
    assert {c.question for c in checks.checks} >= {"How many circles are in the image?"}
    assert [e.role for e in of(PromptWritten, seen)] == ["planner", "refiner"]
    assert [(e.round, e.candidate) for e in of(ImageMade, seen)] == [(1, 0), (2, 0)]
    for round in (1, 2):
        answered = [e for e in of(CheckAnswered, seen) if e.round == round]
        assert [e.verdict.check for e in answered] == [c.id for c in checks.checks]
        assert [e.question for e in answered] == [c.question for c in checks.checks]
    assert [e.decision for e in of(Decided, seen)] == ["refine", "give up"]
    assert [e.round for e in of(ExperienceWritten, seen)] == [1]
    kinds = [e.event for e in seen if not isinstance(e, RoleStarted | RoleEnded | BudgetUsed | Noted)]
    one = kinds[kinds.index("image_made") : len(kinds) - kinds[::-1].index("image_made") - 1]
    answers = ["check_answered"] * len(checks.checks)
    assert one == ["image_made", *answers, "decided", "experience_written", "prompt_written"]


def test_the_last_event_has_what_run_returns(seen):
    end = seen[-1]
    assert isinstance(end, RunEnded)
    assert (end.decision, end.reason) == ("give up", "2 of 2 rounds are used")
    assert end.result.best.image == end.image
    assert end.usage == end.result.usage.total
    assert end.result.report_path.exists()


def test_every_role_begins_before_it_ends_and_says_what_it_used(seen):
    running = []
    for event in of(RoleStarted | RoleEnded, seen):
        if isinstance(event, RoleStarted):
            running.append(event.role)
        else:
            running.remove(event.role)
            assert event.seconds >= 0
    assert not running
    calls = sum(e.usage.calls for e in of(RoleEnded, seen))
    assert calls == seen[-1].usage.calls > 0
    assert sum(e.usage.images for e in of(RoleEnded, seen)) == 2


def test_every_decision_tells_the_budgets(sketcher, tmp_path):
    events = list(Gems(image=sketcher, runs=tmp_path).stream("a red circle", max_images=3, max_calls=50))
    told = {b.name: b for b in of(BudgetUsed, events)[-1].budgets}
    assert (told["images"].used, told["images"].limit) == (len(events[-1].result.attempts), 3)
    assert (told["calls"].used, told["calls"].limit) == (events[-1].usage.calls, 50)
    assert told["rounds"].limit == 5
    assert told["tokens"].limit is None
    assert "cost" not in told  # no price is known


def test_all_events_survive_json(seen):
    for event in seen:
        again = read_event(json.loads(event.model_dump_json()))
        assert again.model_dump() == event.model_dump()
        assert type(again) is type(event)
    with pytest.raises(AttributeError, match=r"Gems\.get"):
        again.result  # noqa: B018


def test_a_run_on_event_sees_the_same_as_a_stream(seen, make_sketcher, tmp_path):
    heard = []
    run(PROMPT, image=make_sketcher(1.0), runs=tmp_path, thread="t", max_rounds=2, on_event=heard.append)
    plain = [e.event for e in seen if e.event not in ("role_started", "role_ended")]  # planner and decomposer run side by side
    side_by_side = ("skills_loaded", "checks_written", "prompt_written")
    assert [e.event for e in heard if e.event in plain and e.event not in side_by_side] == [
        name for name in plain if name not in side_by_side
    ]


def test_a_graph_of_ones_own_has_what_its_nodes_emit_on_its_custom_stream_as_json(sketcher, tmp_path):
    graph = build_graph(image=sketcher, image_store=ImageStore(tmp_path))
    parts = list(graph.stream({"prompt": "a red circle"}, context=preset("original"), stream_mode="custom"))
    assert json.loads(json.dumps(parts)) == parts
    events = [read_event(part) for part in parts]
    [image] = of(ImageMade, events)
    assert image.path == f"/images/{image.image.sha256}.png"
    assert list(dict.fromkeys(type(e) for e in events)) == [ImageMade, CheckAnswered, Decided, BudgetUsed]


def test_a_graph_of_ones_own_has_all_events_of_its_nodes_each_once(sketcher, tmp_path):
    graph = build_graph(image=sketcher, image_store=ImageStore(tmp_path))
    events = list(events_from_stream(graph.stream({"prompt": "a red circle"}, **STREAM)))

    async def listen():
        return [event async for event in aevents_from_stream(graph.astream({"prompt": "a red circle"}, **STREAM))]

    for heard in (events, asyncio.run(listen())):
        told = [e for e in heard if not isinstance(e, RoleStarted | RoleEnded)]
        assert len({e.model_dump_json() for e in told}) == len(told)
        assert {type(e) for e in told} == {ChecksWritten, PromptWritten, ImageMade, CheckAnswered, Decided, BudgetUsed}
        assert of(RoleStarted, heard)[-1].role == of(RoleEnded, heard)[-1].role == "learner"
    with pytest.raises(TypeError, match='version="v2"'):
        list(events_from_stream(graph.stream({"prompt": "a red circle"}, stream_mode=["tasks", "custom"])))


def test_images_are_told_as_soon_as_each_is_there(make_sketcher, tmp_path):
    model = make_sketcher(seconds=0.01)
    drawn = [
        len(model.made) for e in Gems(image=model, runs=tmp_path).stream("a red circle", candidates=4) if isinstance(e, ImageMade)
    ]
    assert len(drawn) == 4
    assert drawn[0] < 4, "the first image was told only after the last one was drawn"


def passes_all(state):
    return {"attempts": [a.judged(Verdict(check=c.id, passed=True) for c in state.checks) for a in state.pending]}


def plain(state: GemsState):
    return passes_all(state)


def with_runtime(state: GemsState, runtime: Runtime[RunContext]):
    runtime.stream_writer({"looking": "closely"})
    assert runtime.context.max_rounds == 1
    return passes_all(state)


async def later(state: GemsState):
    return passes_all(state)


def commands(state: GemsState):
    return Command(update=passes_all(state))


class Object:
    def __call__(self, state: GemsState):
        return passes_all(state)


def bound(by, state: GemsState):
    assert by == 1
    return passes_all(state)


class Judged(BaseModel):
    attempts: Annotated[list, merge_attempts] = []


def compiled():
    inner = StateGraph(GemsState, output_schema=Judged)
    inner.add_node("look", lambda state: passes_all(state))
    inner.add_edge(START, "look")
    inner.add_edge("look", END)
    return inner.compile()


NODES = {
    "function": lambda: plain,
    "function with runtime": lambda: with_runtime,
    "async function": lambda: later,
    "command": lambda: commands,
    "object": Object,
    "method": lambda: Object().__call__,
    "partial": lambda: functools.partial(bound, 1),
    "runnable": lambda: RunnableLambda(passes_all),
    "compiled graph": compiled,
}


@pytest.mark.parametrize("kind", NODES)
def test_a_swapped_node_of_any_kind_is_told_of_like_ours(kind, sketcher, tmp_path):
    graph = build_graph(image=sketcher, image_store=ImageStore(tmp_path), verifier=NODES[kind]())
    request = {"prompt": "a red circle"}

    async def listen():
        return [event async for event in aevents_from_stream(graph.astream(request, **STREAM))]

    ways = [lambda: asyncio.run(listen())]
    if kind != "async function":
        ways.append(lambda: list(events_from_stream(graph.stream(request, **STREAM))))
    for way in ways:
        events = way()
        [checks] = of(ChecksWritten, events)
        assert [e.verdict.passed for e in of(CheckAnswered, events)] == [True] * len(checks.checks)
        assert [e.decision for e in of(Decided, events)] == ["accept"]
        roles = [(type(e), e.role) for e in of(RoleStarted | RoleEnded, events)]
        assert roles.count((RoleStarted, "verifier")) == roles.count((RoleEnded, "verifier")) == 1
        assert [e.data for e in of(Custom, events)] == ([{"looking": "closely"}] if kind == "function with runtime" else [])


def test_the_graph_inside_a_swapped_node_can_still_be_drawn():
    drawn = build_graph(verifier=compiled()).get_graph(xray=True)
    assert any(name.endswith("look") for name in drawn.nodes)


def test_a_swapped_node_sees_the_narrow_state_that_it_names(sketcher, tmp_path):
    class Narrow(BaseModel):
        attempts: list = []

    shown = []

    def narrow(state: Narrow):
        shown.append(type(state))
        return {}

    graph = build_graph(image=sketcher, image_store=ImageStore(tmp_path), verifier=narrow)
    graph.invoke({"prompt": "a red circle"}, context=preset("original"))
    assert shown == [Narrow]


def test_a_broken_update_is_complained_of_by_the_graph_and_not_by_its_events(sketcher, tmp_path):
    graph = build_graph(image=sketcher, image_store=ImageStore(tmp_path), decomposer=lambda state: {"checks": [{"nonsense": 1}]})
    with pytest.raises(Exception, match=r"nonsense|validation") as caught:
        graph.invoke({"prompt": "a red circle"}, context=preset("original"))
    assert "announce" not in str(caught.value)


def test_a_run_that_waits_says_so_and_goes_on_streaming_with_the_answer(sketcher, tmp_path):
    events = list(Gems(image=sketcher, runs=tmp_path).stream("a red circle", thread="asked", review="image", preset="original"))
    [asked] = of(PersonAsked, events)
    assert asked.question["stage"] == "image"
    assert events[-1].decision is None
    assert events[-1].result.waiting == asked.question
    again = list(Gems(image=sketcher, runs=tmp_path).stream(thread="asked", answer={"action": "accept", "words": "good"}))
    assert again[0].resumed
    assert again[0].images == 1
    assert [str(e.review) for e in of(PersonSaid, again)] == ["image of round 1: accepted: good"]
    assert of(Decided, again)[-1].decision == again[-1].decision == "accept"


def test_whoever_stops_listening_stops_the_run_and_can_go_on(make_sketcher, tmp_path):
    model = make_sketcher(1.0)
    for event in Gems(image=model, runs=tmp_path).stream(PROMPT, thread="t", max_rounds=4):
        if isinstance(event, Decided):
            break
    del event
    assert [past.standing for past in Gems(runs=tmp_path).list()] == ["unfinished"]
    assert len(model.made) == 1
    result = Gems(image=model, runs=tmp_path).resume("t")
    assert result.state.round == 4
    assert len(model.made) == 4


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "give a prompt, or the thread of a run to resume"),
        ({"thread": "t", "max_rounds": 2}, "settings and presets are for new runs and forks"),
        ({"thread": "t", "preset": "loop"}, "settings and presets are for new runs and forks"),
        ({"prompt": "a red circle", "answer": {"action": "accept"}}, "a new run has not asked anything yet"),
        ({"thread": "none-such"}, "there is no run none-such"),
    ],
)
def test_a_stream_of_nothing_says_what_to_give(given, words, tmp_path):
    with pytest.raises(GemsError, match=words):
        next(Gems(runs=tmp_path).stream(**given))


def test_lessons_are_told_when_they_are_learned_and_when_they_are_shown(make_sketcher, tmp_path):
    client, settings = Gems(image=make_sketcher(0.5), runs=tmp_path), {"preset": "loop-memory", "lessons": "keep"}
    events = list(client.stream(PROMPT, **settings))
    assert (learned := of(LessonLearned, events)), "choose a request that teaches something"
    later = list(client.stream("two green stars above a red square", **settings))
    shown = [lesson for e in of(LessonsShown, later) for lesson in e.lessons]
    assert {e.id for e in learned} & {lesson.id for lesson in shown}


def test_a_past_run_tells_the_same_story(seen):
    told = list(events_of(seen[-1].result.state))
    names = {e.event for e in told}
    assert names == {"skills_loaded", "checks_written", "prompt_written", "image_made", "check_answered", "experience_written"}
    live = [e for e in seen if isinstance(e, ImageMade | CheckAnswered)]
    assert [e for e in told if isinstance(e, ImageMade | CheckAnswered)] == live


def test_every_event_type_names_itself_and_says_what_it_is():
    kinds = Event.__args__
    assert len({kind.model_fields["event"].default for kind in kinds}) == len(kinds)
    for kind in kinds:
        snake = "".join("_" + c.lower() if c.isupper() else c for c in kind.__name__).lstrip("_")
        assert kind.model_fields["event"].default == snake
        assert kind.__doc__
    assert gems.read_event({"event": "no such"}) == Custom(data={"event": "no such"})


def test_the_command_line_prints_events_a_line_each_for_programs(command):
    code, out, err = command("run", "a red circle", "--events", "--preset", "original", "--thread", "t")
    assert (code, err) == (0, "")
    events = [read_event(json.loads(line)) for line in out.splitlines()]
    assert isinstance(events[0], RunStarted)
    assert isinstance(events[-1], RunEnded)
    assert not of(Custom, events)
    assert [e.path for e in of(ImageMade, events)] == [f"/images/{events[-1].image.sha256}.png"]
    code, out, _ = command("resume", "t", "--events")
    assert [json.loads(line)["event"] for line in out.splitlines()] == ["run_started", "run_ended"]


def test_a_run_that_waits_is_not_asked_about_in_a_terminal_when_programs_listen(command):
    code, out, _ = command("run", "a red circle", "--events", "--preset", "original", "--review", "image", "--thread", "t")
    last = [json.loads(line) for line in out.splitlines()][-2:]
    assert [e["event"] for e in last] == ["person_asked", "run_ended"]
    assert (code, last[1]["decision"]) == (0, None)
    code, out, _ = command("fork", "t", "--round", "1", "--seed", "3", "--events")
    assert [json.loads(line)["event"] for line in out.splitlines()][-2:] == ["person_asked", "run_ended"]


def generated(state: GemsState):
    yield passes_all(state)


def list_of_commands(state: GemsState):
    return [Command(update={"attempts": [a]}) for a in passes_all(state)["attempts"]]


def pairs(state: GemsState):
    return Command(update=list(passes_all(state).items()))


def overwriting(state: GemsState):
    return [Command(update={"notes": ["one"]}), Command(update={"notes": Overwrite(["two"])}), Command(update=passes_all(state))]


@pytest.mark.parametrize(
    "node", [generated, list_of_commands, pairs, overwriting, {"attempts": lambda state: passes_all(state)["attempts"]}]
)
def test_rarer_kinds_of_nodes_and_updates_work_and_are_told_of(node, sketcher, tmp_path):
    graph = build_graph(image=sketcher, image_store=ImageStore(tmp_path), verifier=node)
    parts = graph.stream({"prompt": "a red circle"}, **{**STREAM, "context": preset("original", candidates=2)})
    events = list(events_from_stream(parts))
    [checks] = of(ChecksWritten, events)
    assert [e.verdict.passed for e in of(CheckAnswered, events)] == [True] * 2 * len(checks.checks)
    assert [e.decision for e in of(Decided, events)] == ["accept"]


def test_what_is_no_node_is_refused_by_name():
    with pytest.raises(TypeError, match="the role verifier is swapped for 5, which is no node"):
        build_graph(verifier=5)


def test_a_node_cannot_pose_as_the_run_or_as_another_role(sketcher, tmp_path):
    def boasting(state: GemsState, runtime: Runtime[RunContext]):
        runtime.stream_writer(RoleEnded(role="verifier", seconds=99).model_dump())
        runtime.stream_writer(RoleEnded(role="learner", seconds=99).model_dump())
        runtime.stream_writer(RunStarted(thread="other", prompt="other").model_dump())
        runtime.stream_writer({"what": object()})
        return passes_all(state)

    nodes = {"verifier": boasting}
    events = list(Gems(image=sketcher, runs=tmp_path, nodes=nodes).stream("a red circle", preset="original", thread="t"))
    assert [e.thread for e in of(RunStarted, events)] == ["t"]
    assert max(e.seconds for e in of(RoleEnded, events)) < 99
    assert [e.role for e in of(RoleEnded, events)].count("verifier") == 1
    *ends, posed, odd = of(Custom, events)
    assert [e.data["role"] for e in ends] == ["verifier", "learner"]
    assert posed.data["thread"] == "other"
    assert "object object" in json.loads(odd.model_dump_json())["data"]["what"]


def test_a_resumed_step_tells_nothing_of_a_role_whose_result_was_stored(sketcher, tmp_path):
    def failing(state: GemsState):
        time.sleep(0.3)  # the planner runs beside it
        raise RuntimeError("no checks today")

    given, heard = {"image": sketcher, "runs": tmp_path}, []
    with pytest.raises(Exception, match="no checks today"):
        run("a red circle", **given, nodes={"decomposer": failing}, preset="rewrite", thread="u", on_event=heard.append)
    assert [e.role for e in of(RoleEnded, heard)] == [e.role for e in of(PromptWritten, heard)] == ["planner"]
    again = list(Gems(nodes={"decomposer": lambda state: {"checks": CHECKS}}, **given).stream(thread="u"))
    assert "planner" not in [e.role for e in of(RoleStarted | RoleEnded | PromptWritten, again)]
    assert of(RoleStarted, again)[0].role == "decomposer"


def test_a_role_ends_once_its_result_is_stored(home, sketcher, monkeypatch):
    put = ChecksumSaver.put_writes

    def slowly(*args):
        time.sleep(0.03)
        put(*args)

    monkeypatch.setattr(ChecksumSaver, "put_writes", slowly)
    ended = 0
    with home.database.open() as database:
        tasks = f"SELECT count(DISTINCT task_id) FROM {database.CHECKPOINT_TABLES[-1]} WHERE thread_id = ?"
        for event in Gems(image=sketcher, runs=home).stream("a red circle", preset="original", thread="t"):
            if isinstance(event, RoleEnded):
                ended += 1
                assert database.query(tasks, "t") >= [(ended,)]
    assert ended > 6


def test_tasks_of_one_role_side_by_side_end_each_with_their_own_events(sketcher, tmp_path):
    def verify(state):
        return {"attempts": [state["attempt"].judged(Verdict(check=c.id, passed=True) for c in state["checks"])]}

    inner = StateGraph(GemsState, output_schema=Judged)
    inner.add_node("verifier", verify)
    inner.add_conditional_edges(
        START, lambda state: [Send("verifier", {"attempt": a, "checks": state.checks}) for a in state.pending], ["verifier"]
    )
    graph = build_graph(image=sketcher, image_store=ImageStore(tmp_path), verifier=inner.compile())
    how = {**STREAM, "context": preset("original", candidates=2)}
    outer = StateGraph(GemsState)
    outer.add_node("draw", graph)
    outer.add_edge(START, "draw")
    events = list(events_from_stream(outer.compile().stream({"prompt": "a red circle"}, **how, subgraphs=True)))
    assert "draw" not in {e.role for e in of(RoleStarted, events)}
    assert [e.role for e in of(RoleEnded, events)].count("verifier") == 3, "both tasks, and the node that has them"
    [checks] = of(ChecksWritten, events)
    assert len(of(CheckAnswered, events)) == 2 * len(checks.checks)


def test_a_second_request_on_a_thread_is_refused_and_nothing_counts_for_it(sketcher, tmp_path):
    from langgraph.checkpoint.memory import InMemorySaver

    graph = build_graph(image=sketcher, image_store=ImageStore(tmp_path), checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    graph.invoke({"prompt": "a red circle"}, config, context=preset("original"))
    before = graph.get_state(config)
    with pytest.raises(GemsError, match="start a new thread for a new request"):
        graph.invoke({"prompt": "two blue squares"}, config, context=preset("original"))
    after = graph.get_state(config)
    assert {**after.values, "prompt": before.values["prompt"]} == before.values
    assert after.next == ()
    with pytest.raises(GemsError, match="start a new thread"):  # also when it is tried again
        graph.invoke({"prompt": "two blue squares"}, config, context=preset("original"))


def test_attempts_and_usage_may_be_edited_as_json(sketcher, tmp_path):
    from langgraph.checkpoint.memory import InMemorySaver

    graph = build_graph(image=sketcher, image_store=ImageStore(tmp_path), checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    done = graph.invoke({"prompt": "a red circle"}, config, context=preset("original"))
    told = done["attempts"][0].model_dump(mode="json")
    told["verdicts"] = [{**v, "passed": False} for v in told["verdicts"]]
    usage = {"roles": {"verifier": {"calls": 1}}}
    graph.update_state(config, {"attempts": [{**told, "score": None}], "usage": usage}, as_node="verifier")
    values = graph.get_state(config).values
    assert [v.passed for v in values["attempts"][0].verdicts] == [False] * len(told["verdicts"])
    assert values["usage"].total.calls == done["usage"].total.calls + 1


def test_a_run_that_was_left_is_unfinished_and_does_not_wait(make_sketcher, tmp_path):
    for event in Gems(image=make_sketcher(1.0), runs=tmp_path).stream(PROMPT, thread="t", max_rounds=4):
        if isinstance(event, Decided):
            break
    del event
    left = Gems(runs=tmp_path).get("t")
    assert left.decision is None
    assert repr(left).startswith("<RunResult t: unfinished in round 1")


@pytest.mark.parametrize("other", ["--json", "--dry-run"])
def test_lines_of_events_are_not_mixed_with_anything_else(other, command):
    code, out, err = command("run", "a red circle", "--events", other)
    assert (code, out) == (2, "")
    assert "--events" in err


def test_emit_is_still_there_by_its_name_of_before():
    import gems.events

    with pytest.warns(DeprecationWarning, match=r"gems\.events\.tell is called gems\.events\.emit now"):
        assert gems.events.tell is gems.events.emit
    with pytest.raises(AttributeError, match="has no attribute 'say'"):
        gems.events.say  # noqa: B018

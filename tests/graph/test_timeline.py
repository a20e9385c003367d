"""The steps of a run, as its checkpoints tell them."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from langgraph.types import PregelTask, StateSnapshot

from gems import GemsState, Usage, resume, run
from gems.context import RunContext
from gems.events import RoleStarted
from gems.graph.build import build_graph
from gems.graph.drive import config_of
from gems.graph.fork import fork
from gems.graph.timeline import shown_to_refiner, steps_of
from gems.memory.home import Home
from gems.memory.state import Review, RoleUsage

BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def history(folder, thread):
    home = Home(folder)
    with home.database.open() as opened:
        graph = build_graph(checkpointer=opened.saver, image_store=home.images)
        return list(graph.get_state_history(config_of(thread)))


def snapshot(number, after, tasks=(), source="loop", **values):
    def config(number):
        return {"configurable": {"thread_id": "t", "checkpoint_id": str(number)}}

    return StateSnapshot(
        values=GemsState(prompt="a cat", **values).model_dump(),
        next=tuple(tasks),
        config=config(number),
        metadata={"source": source, "step": number},
        created_at=(BEGAN + timedelta(seconds=after)).isoformat(),
        parent_config=config(number - 1) if number else None,
        tasks=tuple(PregelTask(id=name, name=name, path=()) for name in tasks),
        interrupts=(),
    )


def used(role, seconds):
    return Usage(roles={role: RoleUsage(calls=1, seconds=seconds)})


def test_every_role_of_a_run_has_its_step_with_what_it_used(tmp_path, make_sketcher):
    result = run(
        "three red circles", thread="t", runs=tmp_path, image=make_sketcher(1.0), preset="loop-memory", max_rounds=2, seed=3
    )
    steps = steps_of(history(tmp_path, "t"))
    assert [(step.round, *step.roles) for step in steps] == [
        *[(0, "planner", "decomposer"), (0, "review"), (1, "generator"), (1, "verifier"), (1, "selector"), (1, "review")],
        *[(1, "summarizer"), (1, "refiner"), (2, "generator"), (2, "verifier"), (2, "selector"), (2, "review"), (2, "learner")],
    ]
    total = sum((step.usage for step in steps), Usage())
    assert {name: role.calls for name, role in total.roles.items() if role.calls} == {
        name: role.calls for name, role in result.usage.roles.items() if role.calls
    }
    assert all(step.seconds >= 0 and step.idle == 0 for step in steps)
    assert all(a.began + timedelta(seconds=a.seconds) == b.began for a, b in pairwise(steps))


def test_a_slow_role_takes_its_time(tmp_path, make_sketcher):
    run("a red circle", thread="t", runs=tmp_path, image=make_sketcher(0.0, seconds=0.3), preset="original")
    seconds = {step.roles: step.seconds for step in steps_of(history(tmp_path, "t"))}
    assert max(seconds, key=seconds.get) == ("generator",)
    assert seconds["generator",] >= 0.3


def test_the_time_a_person_takes_is_no_work():
    steps = steps_of([
        snapshot(1, 9.0, reviews=[Review(stage="plan", round=0, action="accept")]),
        snapshot(0, 0.0, ["review"]),
    ])  # fmt: skip
    assert [(s.seconds, s.idle, s.working) for s in steps] == [(9.0, 9.0, 0.0)]


@pytest.mark.parametrize(("took", "idle"), [(4.0, 0.0), (9.0, 0.0), (3602.0, 3600.0)])
def test_a_step_during_which_the_run_was_stopped_is_not_taken_for_a_long_one(took, idle):
    (step,) = steps_of([snapshot(1, took, usage=used("verifier", 2.0)), snapshot(0, 0.0, ["verifier"])])
    assert (step.idle, step.working) == (idle, took - idle)


def test_calls_that_are_made_beside_one_another_add_up_to_more_than_the_step():
    (step,) = steps_of([snapshot(1, 2.0, usage=used("verifier", 8.0)), snapshot(0, 0.0, ["verifier"])])
    assert (step.seconds, step.idle, step.usage.total.seconds) == (2.0, 0.0, 8.0)


def test_an_edit_of_the_state_is_no_step_and_another_branch_is_not_followed():
    old = snapshot(1, 5.0)
    edited = snapshot(2, 7.0, ["generator"], source="update")._replace(parent_config=snapshot(0, 0.0).config)
    after = snapshot(3, 8.0)
    assert [s.roles for s in steps_of([after, edited, old, snapshot(0, 0.0, ["refiner"])])] == [("generator",)]


def test_a_fork_has_the_steps_of_its_own(tmp_path, make_sketcher):
    run("three red circles", thread="p", runs=tmp_path, image=make_sketcher(1.0), preset="loop", max_rounds=2)
    made = fork("p", round=2, prompt="a red circle", runs=tmp_path, image=make_sketcher(1.0))
    steps = steps_of(history(tmp_path, made.thread))
    assert (steps[0].round, steps[0].roles) == (2, ("generator",))


def test_a_run_that_was_killed_and_gone_on_with_tells_each_step_once(tmp_path, make_sketcher):
    class Stop(Exception):
        pass

    def stop(event):
        if isinstance(event, RoleStarted) and event.role == "verifier":
            raise Stop

    def go(**more):
        return run("a red circle", thread="t", runs=tmp_path, image=make_sketcher(0.0), preset="original", **more)

    with pytest.raises(Stop):
        go(on_event=stop)
    resume("t", runs=tmp_path, image=make_sketcher(0.0))
    assert [s.roles[0] for s in steps_of(history(tmp_path, "t"))] == [
        "planner", "review", "generator", "verifier", "selector", "review", "learner",
    ]  # fmt: skip


def test_nothing_is_told_of_a_run_without_checkpoints():
    assert steps_of([]) == []
    assert shown_to_refiner([], RunContext()) == []

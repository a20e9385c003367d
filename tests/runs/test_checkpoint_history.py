"""The steps of a run, as its checkpoints tell them."""

import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from langgraph.checkpoint.base import CheckpointTuple, empty_checkpoint

from gems import Gems, Usage, run
from gems.context import RunContext
from gems.events import RoleStarted
from gems.memory.state import Review, RoleUsage, Verdict
from gems.runs.checkpoint_history import shown_to_refiner, steps_of
from gems.runs.manifest import config_of
from gems.storage.workspace import Workspace

BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def history(folder, thread):
    with Workspace(folder).database.open() as opened:
        return list(opened.saver.list(config_of(thread)))


def saved(number, after, worked=(), source="loop", parent=None, **values):
    """A checkpoint that was written so many seconds after the first one, by these roles."""

    def config(number):
        return {"configurable": {"thread_id": "t", "checkpoint_id": str(number)}}

    checkpoint = {
        **empty_checkpoint(),
        "id": str(number),
        "ts": (BEGAN + timedelta(seconds=after)).isoformat(),
        "channel_values": {"prompt": "a cat", **values},
        "versions_seen": {role: {"branch": number} for role in worked},
    }
    above = number - 1 if parent is None else parent
    return CheckpointTuple(config(number), checkpoint, {"source": source, "step": number}, config(above), [])


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
    said = [Review(stage="plan", round=0, action="accept")]
    asked = saved(0, 0.0)._replace(pending_writes=[("task", "__interrupt__", "the question"), ("task", "__resume__", "accept")])
    steps = steps_of([saved(1, 9.0, ["review"], reviews=said), asked])
    assert [(s.seconds, s.idle, s.working) for s in steps] == [(9.0, 9.0, 0.0)]


def test_a_step_of_roles_that_use_no_model_of_ours_was_at_work_however_long_it_took():
    (step,) = steps_of([saved(1, 3600.0, ["verifier"]), saved(0, 0.0)])
    assert (step.idle, step.working) == (0.0, 3600.0)


def test_of_a_step_that_was_gone_on_with_only_what_the_models_took_was_work():
    (step,) = steps_of([saved(1, 3602.0, ["verifier", "__interrupt__"], usage=used("verifier", 2.0)), saved(0, 0.0)])
    assert (step.idle, step.working) == (3600.0, 2.0)
    (step,) = steps_of([saved(1, 3602.0, ["generator", "__interrupt__"]), saved(0, 0.0, source="update")])
    assert step.idle == 0, "a fork goes on as soon as its first state is written"


def test_a_real_run_was_stopped_only_while_a_person_was_waited_for_or_nobody_drove_it(tmp_path, make_sketcher):
    def slow(state):
        time.sleep(0.3)
        return {"attempts": [a.judged(Verdict(check=c.id, passed=True) for c in state.checks) for a in state.pending]}

    def stop(event):
        if isinstance(event, RoleStarted) and event.role == "selector":
            raise KeyboardInterrupt

    more = {"runs": tmp_path, "image": make_sketcher(0.0), "nodes": {"verifier": slow}}
    with pytest.raises(KeyboardInterrupt):
        run("a red circle", thread="t", preset="original", review="plan", ask=lambda *_: time.sleep(0.2) or {"action": "accept"},
            on_event=stop, **more)  # fmt: skip
    time.sleep(0.2)
    Gems(**more).resume("t")
    idle = {step.roles: step.idle for step in steps_of(history(tmp_path, "t"))}
    assert idle["verifier",] == idle["generator",] == idle["learner",] == 0
    assert idle["selector",] >= 0.2
    plan, image = [step.idle for step in steps_of(history(tmp_path, "t")) if step.roles == ("review",)]
    assert plan >= 0.2
    assert image == 0, "nobody was asked"


def test_calls_that_are_made_beside_one_another_add_up_to_more_than_the_step():
    (step,) = steps_of([saved(1, 2.0, ["verifier"], usage=used("verifier", 8.0)), saved(0, 0.0)])
    assert (step.seconds, step.idle, step.usage.total.seconds) == (2.0, 0.0, 8.0)


def test_an_edit_of_the_state_is_no_step_and_another_branch_is_not_followed():
    other = saved(1, 5.0, ["refiner"])
    edited = saved(2, 7.0, source="update", parent=0)
    assert [s.roles for s in steps_of([saved(3, 8.0, ["generator"]), edited, other, saved(0, 0.0)])] == [("generator",)]


def test_a_fork_has_the_steps_of_its_own(tmp_path, make_sketcher):
    run("three red circles", thread="p", runs=tmp_path, image=make_sketcher(1.0), preset="loop", max_rounds=2)
    made = Gems(runs=tmp_path, image=make_sketcher(1.0)).fork("p", round=2, prompt="a red circle")
    steps = steps_of(history(tmp_path, made.thread))
    assert (steps[0].round, steps[0].roles) == (2, ("generator",))


def test_a_run_that_was_killed_and_gone_on_with_tells_each_step_once(tmp_path, make_sketcher):
    class Dying(make_sketcher):
        def generate(self, requests):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("a red circle", thread="t", runs=tmp_path, image=Dying(0.0), preset="original")
    Gems(runs=tmp_path, image=make_sketcher(0.0)).resume("t")
    assert [s.roles[0] for s in steps_of(history(tmp_path, "t"))] == [
        "planner", "review", "generator", "verifier", "selector", "review", "learner",
    ]  # fmt: skip


def test_nothing_is_told_of_a_run_without_checkpoints():
    assert steps_of([]) == []
    assert shown_to_refiner([], RunContext()) == []

"""A run can die anywhere and go on from its last finished step; a spent image is never made again."""

import os
import random
import signal
import sqlite3

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver

from gems import Gems, GemsError, run, write_gallery
from gems.errors import RunError
from gems.events import RoleEnded, RoleStarted
from gems.models.shapes.chat import ShapesChat
from gems.runs.write_page import refresh_page
from gems.skills import SkillLibrary
from gems.storage.image_store import ImageStore
from gems.storage.postgres import EncryptingSaver
from gems.storage.sqlite import SharedSqliteSaver
from gems.storage.workspace import Workspace

PROMPT = "three red circles above a blue square and to the left of a green star"
SETTINGS = {"preset": "paper", "seed": 11, "max_rounds": 5}

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture
def clumsy(make_sketcher):
    """A model so clumsy that the run takes all five rounds; what it has made is written down, so that it outlives it."""

    class Clumsy(make_sketcher):
        def __init__(self, log, die_in=None, mistakes=1.0):
            super().__init__(mistakes)
            self.log, self.die_in = log, die_in

        def generate(self, requests):
            if self.die_in == "drawing":
                os.kill(os.getpid(), signal.SIGKILL)
            images = super().generate(requests)
            with self.log.open("a") as file:
                file.writelines(f"{r.seed} {r.prompt}\n" for r in requests)
            return images

    return Clumsy


def killed(work):
    """Do `work` in a process of its own; tell whether it was killed (True) or came to its end (False)."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0, "the run failed by itself"
    return False


class KillAt:
    """Kills the process at the n-th event that `wanted` picks."""

    def __init__(self, number, wanted):
        self.left, self.wanted = number, wanted

    def __call__(self, event):
        if self.wanted(event):
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def step_ended(event):
    return isinstance(event, RoleEnded)


def comparable(result):
    state = result.state.model_dump()
    for used in (state["usage"], state["result"]["usage"], state["result"]["before"]):
        for role in used["roles"].values():
            role["seconds"] = 0
    for message in state["planning"]:
        message.pop("id", None)
    return state


def unkilled(tmp_path, clumsy):
    result = run(PROMPT, thread="t", runs=tmp_path / "whole", image=clumsy(tmp_path / "whole.log"), **SETTINGS)
    assert result.state.round == 5
    return result


def go_on_until_done(runs, model, kill_at, limit=80):
    """Start the run and resume it after every kill; return how often it was killed and the result."""
    kills = 0
    if killed(lambda: run(PROMPT, thread="t", runs=runs, image=model, on_event=kill_at(), **SETTINGS)):
        kills = 1
        while killed(lambda: Gems(runs=runs, image=model).resume("t", on_event=kill_at())):
            kills += 1
            assert kills < limit
    return kills, Gems(runs=runs, image=model).resume("t")


def test_killed_at_every_step_boundary_the_run_ends_as_if_nothing_had_been(tmp_path, clumsy):
    whole = unkilled(tmp_path, clumsy)
    model = clumsy(tmp_path / "log")

    def one_step():  # killed when the step after the first one begins: the first is finished and stored
        seen = []

        def kill(event):
            if isinstance(event, RoleStarted):
                seen.append(event.role)
                if len(seen) > 1 and not (event.role in ("planner", "decomposer") and set(seen) <= {"planner", "decomposer"}):
                    os.kill(os.getpid(), signal.SIGKILL)

        return kill

    kills, result = go_on_until_done(tmp_path / "killed", model, one_step)
    assert kills >= 5 * 5 - 1  # five roles a round
    assert comparable(result) == comparable(whole)
    made = (tmp_path / "log").read_text().splitlines()
    assert len(made) == len(set(made)) == 5


def test_killed_after_every_second_step_the_run_ends_as_if_nothing_had_been(tmp_path, clumsy):
    whole = unkilled(tmp_path, clumsy)
    kills, result = go_on_until_done(tmp_path / "killed", clumsy(tmp_path / "log"), lambda: KillAt(2, step_ended))
    assert kills >= 12
    assert comparable(result) == comparable(whole)


def test_killed_between_a_steps_result_and_its_checkpoint_the_run_is_not_taken_for_finished(tmp_path, clumsy, monkeypatch):
    whole = unkilled(tmp_path, clumsy)
    model, put_writes = clumsy(tmp_path / "log"), SqliteSaver.put_writes

    def put_and_die(saver, *args, **kwargs):
        put_writes(saver, *args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(SqliteSaver, "put_writes", put_and_die)
        kills, result = go_on_until_done(tmp_path / "killed", model, lambda: None)
    assert kills >= 5 * 5 - 1
    assert comparable(result) == comparable(whole)
    made = (tmp_path / "log").read_text().splitlines()
    assert len(made) == len(set(made)) == 5


def test_killed_between_storing_an_image_and_its_checkpoint_no_image_is_made_twice(tmp_path, clumsy, monkeypatch):
    whole = unkilled(tmp_path, clumsy)
    model, put = clumsy(tmp_path / "log"), ImageStore.put

    def put_and_die(store, *args):
        put(store, *args)
        os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(ImageStore, "put", put_and_die)
        kills, result = go_on_until_done(tmp_path / "killed", model, lambda: None)
    assert kills == 5
    assert comparable(result) == comparable(whole)
    made = (tmp_path / "log").read_text().splitlines()
    assert len(made) == len(set(made)) == 5


def test_killed_inside_the_generator_the_image_is_drawn_when_the_run_goes_on(tmp_path, clumsy):
    whole = unkilled(tmp_path, clumsy)
    runs, log = tmp_path / "killed", tmp_path / "log"
    assert killed(lambda: run(PROMPT, thread="t", runs=runs, image=clumsy(log, die_in="drawing"), **SETTINGS))
    assert killed(lambda: Gems(runs=runs, image=clumsy(log, die_in="drawing")).resume("t"))
    result = Gems(runs=runs, image=clumsy(log)).resume("t")
    assert comparable(result) == comparable(whole)
    assert len(log.read_text().splitlines()) == 5


def test_killed_before_the_first_checkpoint_the_run_starts_from_its_record(tmp_path, clumsy, monkeypatch):
    model = clumsy(tmp_path / "log")
    with monkeypatch.context() as patch:
        patch.setattr("gems.runs.execute.Execution.events", lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL))
        assert killed(lambda: run(PROMPT, thread="t", runs=tmp_path / "runs", image=model, **SETTINGS))
    assert Gems(runs=tmp_path / "runs", image=model).resume("t").state.round == 5


def die_at_checkpoint(patch, step):
    """Have a process killed as soon as the checkpoint of a step is stored."""
    for saver in (SharedSqliteSaver, EncryptingSaver):

        def put_and_die(self, config, checkpoint, metadata, versions, put=saver.put):
            stored = put(self, config, checkpoint, metadata, versions)
            if metadata["step"] == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return stored

        patch.setattr(saver, "put", put_and_die)


@pytest.mark.parametrize("step", [-1, 0, 1])
def test_killed_at_its_first_checkpoints_a_run_is_listed_and_goes_on(home, make_sketcher, monkeypatch, step):
    settings = {"preset": "original", "seed": 5, "image": make_sketcher()}
    with monkeypatch.context() as patch:
        die_at_checkpoint(patch, step)
        assert killed(lambda: run(PROMPT, thread="t", runs=home, **settings))
    assert [(summary.thread, summary.standing, summary.prompt) for summary in Gems(runs=home).list()] == [
        ("t", "unfinished", PROMPT)
    ]
    assert PROMPT in write_gallery(runs=home).read_text(encoding="utf-8")
    assert Gems(runs=home).prune().removed == ()
    if step < 0:  # nothing is known of it but its record
        for look in (lambda thread, home: Gems(runs=home).get(thread), refresh_page):
            with pytest.raises(RunError, match="has not finished a step yet: resume it with `gems resume t`"):
                look("t", home)
    else:
        assert Gems(runs=home).get("t").state.prompt == PROMPT
        assert refresh_page("t", home).exists()
    if step < 1:  # it has no plan that a fork could begin with
        with pytest.raises(RunError, match="the steps of round 1 of the run t are not there"):
            Gems(runs=home, image=settings["image"]).fork("t", round=1, prompt="a red circle", name="f")
    result = Gems(runs=home, image=make_sketcher()).resume("t")
    assert comparable(result) == comparable(run(PROMPT, thread="whole", runs=home, **settings))
    assert Gems(runs=home).remove("t").removed == ("t",)


def test_a_finished_run_is_returned_as_it_is(tmp_path, sketcher):
    first = run("a red circle", thread="t", runs=tmp_path, image=sketcher)
    made = len(sketcher.made)
    again = Gems(runs=tmp_path, image=sketcher).resume("t")
    assert comparable(again) == comparable(first)
    assert len(sketcher.made) == made


def test_a_run_keeps_its_settings_when_it_goes_on(tmp_path, clumsy):
    model = clumsy(tmp_path / "log")
    at = KillAt(1, lambda e: isinstance(e, RoleStarted) and e.role == "refiner")
    settings = {"preset": "loop", "max_rounds": 2, "seed": 5}
    assert killed(lambda: run(PROMPT, thread="t", runs=tmp_path, image=model, on_event=at, **settings))
    result = Gems(runs=tmp_path, image=model).resume("t")
    assert result.context.max_rounds == result.state.round == 2
    assert [a.seed for a in result.attempts] == [5, 6]


def test_an_unknown_thread_is_named_with_those_there_are(tmp_path, sketcher):
    run("a red circle", thread="mine", runs=tmp_path, image=sketcher)
    with pytest.raises(GemsError, match=r"no run yours: the latest are mine"):
        Gems(runs=tmp_path).resume("yours")


@pytest.mark.parametrize("thread", ["../evil", "a/b", "", ".hidden", "images", "x" * 101])
def test_a_thread_cannot_leave_its_folder(tmp_path, thread):
    with pytest.raises(GemsError, match="cannot name a run"):
        Gems(runs=tmp_path).get(thread)
    if thread:  # none at all is named by GEMS
        with pytest.raises(GemsError, match="cannot name a run"):
            run("a red circle", thread=thread, runs=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_thread_is_not_used_twice(tmp_path, sketcher):
    run("a red circle", thread="t", runs=tmp_path, image=sketcher)
    with pytest.raises(GemsError, match="exists already: resume it with `gems resume t`"):
        run("a blue square", thread="t", runs=tmp_path, image=sketcher)


def test_a_model_of_ones_own_must_be_given_again(tmp_path, sketcher):
    run("a red circle", thread="t", runs=tmp_path, image=sketcher)
    with pytest.raises(GemsError, match=r"image model of your own \(sketcher\)"):
        Gems(runs=tmp_path).resume("t")


def test_a_damaged_record_is_a_clear_error(tmp_path, sketcher):
    run("a red circle", thread="t", runs=tmp_path, image=sketcher)
    with Workspace(tmp_path).database.open() as opened:
        opened.store.put(("gems", "runs"), "t", {"thread": "t"})
    with pytest.raises(GemsError, match="manifest of run t is damaged"):
        Gems(runs=tmp_path, image=sketcher).resume("t")


def test_a_corrupt_database_is_a_clear_error(tmp_path, sketcher):
    (tmp_path / "gems.sqlite").write_bytes(b"this is no database" * 100)
    with pytest.raises(GemsError, match="is damaged"):
        run("a red circle", runs=tmp_path, image=sketcher)


def test_a_database_damaged_in_the_middle_is_a_clear_error(tmp_path, sketcher):
    run("a red circle", thread="t", runs=tmp_path, image=sketcher)
    with sqlite3.connect(tmp_path / "gems.sqlite") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    data = bytearray((tmp_path / "gems.sqlite").read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    (tmp_path / "gems.sqlite").write_bytes(data)
    with pytest.raises(GemsError, match="is damaged"):
        Gems(runs=tmp_path, image=sketcher).resume("t")


def test_a_lost_image_is_named(tmp_path, clumsy):
    model = clumsy(tmp_path / "log")
    at = KillAt(1, lambda e: isinstance(e, RoleStarted) and e.role == "refiner")
    assert killed(lambda: run(PROMPT, thread="t", runs=tmp_path, image=model, on_event=at, **SETTINGS))
    for file in (tmp_path / "images").rglob("*.png"):
        file.unlink()
    with pytest.raises(GemsError, match="is not in the store"):
        Gems(runs=tmp_path, image=model).resume("t")


class Thinking(ShapesChat):
    """The shapes model with as much visible reasoning as a large model has."""

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        result = super()._generate(messages, stop, run_manager, **kwargs)
        rng = random.Random(str(messages))
        words = " ".join(rng.choices(SkillLibrary.load().get("counting").body.split(), k=1500))
        result.generations[0].message.additional_kwargs["reasoning_content"] = words
        return result


def test_a_run_in_progress_is_not_gone_on_with_by_another_process(tmp_path, make_sketcher):
    inner = []

    class Nested(make_sketcher):
        def generate(self, requests):
            inner.append(killed(lambda: refused(tmp_path)))
            return super().generate(requests)

    def refused(runs):
        with pytest.raises(GemsError, match="run t is in progress in another process"):
            Gems(runs=runs, image=make_sketcher()).resume("t")

    run("a red circle", thread="t", runs=tmp_path, image=Nested(), preset="original")
    assert inner == [False]


def test_swapped_roles_must_be_given_again(tmp_path, sketcher):
    nodes = {"planner": lambda state: {"draft": "a red circle in the center"}}
    run("a red circle", thread="t", runs=tmp_path, image=sketcher, nodes=nodes)
    with pytest.raises(GemsError, match="these roles swapped: planner"):
        Gems(runs=tmp_path, image=sketcher).resume("t")
    assert Gems(runs=tmp_path, image=sketcher, nodes=nodes).resume("t").attempts


def test_ten_rounds_of_large_images_keep_the_checkpoints_small(tmp_path, make_sketcher):
    class Large(make_sketcher):
        def _draw(self, request):
            import numpy as np
            from PIL import Image

            noise = np.random.default_rng(request.seed).integers(0, 256, (640, 640, 3), np.uint8)
            return Image.fromarray(noise)

    result = run(PROMPT, thread="t", runs=tmp_path, image=Large(), chat=Thinking(), max_rounds=10, patience=None)
    assert result.state.round == 10
    assert sum(p.stat().st_size for p in (tmp_path / "images").rglob("*.png")) > 10_000_000
    with Workspace(tmp_path).database.open() as opened:
        assert opened.size() < 1_100_000


def test_only_the_states_own_types_are_revived(tmp_path):
    from gems.memory.state import ImageRef
    from gems.models.image.base import ImageRequest
    from gems.storage.serializer import serializer

    serde = serializer()
    ref = ImageRef(sha256="a" * 64, width=1, height=1)
    assert serde.loads_typed(serde.dumps_typed(ref)) == ref
    foreign = serde.loads_typed(serde.dumps_typed(ImageRequest(prompt="x", seed=1)))
    assert not isinstance(foreign, ImageRequest)
    assert ImageStore(tmp_path).find_by_request("nothing") is None

"""What failed is told as failed, with its reason, and tried again; what was refused before anything was made leaves no run."""

import json
import threading

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel

from gems import Gems, GemsError, run, write_gallery
from gems.errors import ImageModelError, ModelAnswerError, ModelCallError
from gems.events import RoleEnded
from gems.runs.write_page import refresh_page

WHY = "the images endpoint is not there: start it"


@pytest.fixture
def failing(make_sketcher):
    """An image model that fails at its n-th image: by an error of GEMS, or by one of its own."""

    class Failing(make_sketcher):
        def __init__(self, at, error):
            super().__init__(1.0)
            self.at, self.error = at, error

        def generate(self, requests):
            if len(self.made) + 1 >= self.at:
                raise self.error
            return super().generate(requests)

    return Failing


def options(home):
    return ("--runs", home.folder, *(("--store", home.store) if home.store else ()))


def test_a_run_that_failed_says_why_and_is_tried_again(home, failing, make_sketcher, command):
    given = {"thread": "t", "runs": home, "preset": "paper", "max_rounds": 3}
    with pytest.raises(ImageModelError, match=WHY):
        run("a red circle", image=failing(2, ImageModelError(WHY)), **given)
    listed = Gems(runs=home).list(state="failed")
    assert [(summary.thread, summary.state, summary.error, summary.images) for summary in listed] == [("t", "failed", WHY, 1)]
    assert listed[0].last == listed[0].last_step  # an earlier name, as those below
    assert [(summary.thread, summary.standing, summary.told, summary.images) for summary in listed] == [("t", "failed", WHY, 1)]
    assert Gems(runs=home).get("t").failed == WHY
    _, out, _ = command("runs", *options(home))
    assert "failed" in out
    assert f"a red circle: {WHY}" in out
    _, out, _ = command("runs", "--json", *options(home))
    assert (json.loads(out)[0]["standing"], json.loads(out)[0]["told"]) == ("failed", WHY)
    assert json.loads(out)[0]["last"] == listed[0].last_step.isoformat(timespec="seconds")
    _, out, _ = command("show", "t", *options(home))
    assert f"failed: {WHY}" in out
    assert "gems resume t" in out
    _, out, _ = command("show", "t", "--json", *options(home))
    told = json.loads(out)
    assert (told["failed"], told["image"], told["report"]) == (WHY, None, None)  # none is written yet
    page = refresh_page("t", home).read_text(encoding="utf-8")
    assert ">Failed</b>" in page
    assert WHY in page
    page = write_gallery(runs=home).read_text(encoding="utf-8")
    assert ">failed</b>" in page
    assert WHY in page
    assert Gems(runs=home).prune().removed == ()

    with pytest.raises(ImageModelError, match="again"):  # the last reason is the one that counts
        Gems(runs=home, image=failing(1, ImageModelError("once again"))).resume("t")
    assert Gems(runs=home).get("t").failed == "once again"
    result = Gems(runs=home, image=make_sketcher()).resume("t")
    assert result.failed == ""
    assert [(summary.standing, summary.told) for summary in Gems(runs=home).list()] == [("accepted", "")]


def test_of_an_error_of_others_only_its_name_is_told_and_no_path_and_no_host(tmp_path, failing):
    errors = {
        "own": ValueError("key sk-123 in /home/me/x"),
        "path": ImageModelError("no /home/me/model here"),
        "host": ModelCallError("planner", "m", "models.example.org", "is models.example.org there?"),
    }
    for thread, error in errors.items():
        with pytest.raises(type(error)):
            run("a red circle", image=failing(1, error), thread=thread, runs=tmp_path, preset="original")
    told = {"own": "ValueError", "path": "no …/model here", "host": "planner (m at HOST): is HOST there?"}
    assert {summary.thread: summary.told for summary in Gems(runs=tmp_path).list()} == told


def test_a_run_that_failed_before_its_first_image_is_shown_to_programs(home, failing, command):
    with pytest.raises(ImageModelError, match=WHY):
        run("a red circle", image=failing(1, ImageModelError(WHY)), thread="t", runs=home, preset="original")
    code, out, _ = command("show", "t", "--json", *options(home))
    told = json.loads(out)
    assert (code, told["failed"], told["image"], told["best"]) == (0, WHY, None, None)


def test_a_run_that_is_gone_on_with_and_interrupted_has_not_failed(tmp_path, failing, make_sketcher):
    with pytest.raises(ImageModelError):
        run("a red circle", image=failing(1, ImageModelError(WHY)), thread="t", runs=tmp_path, preset="original")
    with pytest.raises(KeyboardInterrupt):
        Gems(runs=tmp_path, image=failing(1, KeyboardInterrupt())).resume("t")
    assert [(summary.standing, summary.told) for summary in Gems(runs=tmp_path).list()] == [("unfinished", "")]


def test_who_is_not_ready_to_go_on_changes_nothing(tmp_path, failing, sketcher):
    with pytest.raises(ImageModelError):
        run("a red circle", image=failing(1, ImageModelError(WHY)), thread="t", runs=tmp_path, preset="original")
    with pytest.raises(GemsError, match="does not wait for an answer"):
        Gems(runs=tmp_path, image=sketcher).resume("t", answer={"action": "accept"})
    with pytest.raises(GemsError, match="is not understood"):
        Gems(runs=tmp_path, image="nothing:at-all").resume("t")
    assert Gems(runs=tmp_path).list()[0].told == WHY


def test_what_the_embedded_model_cannot_draw_leaves_no_run(home, sketcher):
    with pytest.raises(GemsError, match="it cannot draw"):
        run("a dragon", thread="t", runs=home, image=sketcher, preset="original")
    assert Gems(runs=home).list() == []
    assert not (home.folder / "t").exists()
    with home.database.open() as opened:
        assert opened.row_count("t") == 0
    assert run("a red circle", thread="t", runs=home, image=sketcher, preset="original").attempts  # the name is free


USELESS = [{"chat": "nonsense:"}, {"image": "nothing:x"}, {"max_rounds": 0}, {"prompt": " "}, {"max_cost": 1}]


def test_a_first_answer_that_cannot_be_used_leaves_no_run(tmp_path, sketcher):
    with pytest.raises(ModelAnswerError):
        run("a red circle", chat=FakeListChatModel(responses=["yes"]), image=sketcher, thread="t", runs=tmp_path)
    assert Gems(runs=tmp_path).list() == []


@pytest.mark.parametrize("wrong", USELESS)
def test_what_is_of_no_use_leaves_no_run(tmp_path, wrong):
    with pytest.raises(GemsError):
        run(**{"prompt": "a red circle", "runs": tmp_path, "thread": "t", **wrong})
    assert Gems(runs=tmp_path).list() == []


def test_a_fork_that_fails_is_told_too_and_its_parent_is_not(tmp_path, sketcher, failing):
    run("a red circle", thread="p", runs=tmp_path, image=sketcher)
    with pytest.raises(ImageModelError):
        Gems(runs=tmp_path, image=failing(1, ImageModelError(WHY))).fork("p", round=1, prompt="a red star", name="f")
    assert {summary.thread: (summary.standing, summary.told) for summary in Gems(runs=tmp_path).list()} == {
        "p": ("accepted", ""),
        "f": ("failed", WHY),
    }


def test_what_was_paid_for_is_not_refused(tmp_path, sketcher):
    """One of two roles has answered when the other one refuses: its answer is kept, and so is the run."""
    answered = threading.Event()

    def tell(event):
        if isinstance(event, RoleEnded) and event.role == "planner":
            answered.set()

    def refuse(state):
        answered.wait(30)
        raise GemsError("no checks for this")

    given = {"image": sketcher, "nodes": {"decomposer": refuse}, "plan": "rewrite", "on_event": tell}
    with pytest.raises(GemsError, match="no checks for this"):
        run("a red circle", thread="t", runs=tmp_path, **given)
    assert [(summary.standing, summary.told) for summary in Gems(runs=tmp_path).list()] == [("failed", "no checks for this")]

"""Forks: a new run from any step of an old one."""

from datetime import timedelta

import pytest

from gems import Check, Gems, GemsError, GemsState, run
from gems.events import RoleEnded, RoleStarted
from gems.runs.fork import ForkEdit, fork_start
from gems.runs.manifest import save_manifest

PROMPT = "three red circles above a blue square and to the left of a green star"


@pytest.fixture
def parent(tmp_path, make_sketcher):
    """A run of three rounds, none of which passes."""
    return run(PROMPT, thread="p", runs=tmp_path, image=make_sketcher(1.0), preset="paper", max_rounds=3, seed=11)


def go(tmp_path, model, **edits):
    return Gems(runs=tmp_path, image=model).fork("p", **edits)


def of_rounds(result, last):
    return [a for a in result.attempts if a.round <= last]


def test_a_round_is_drawn_from_another_prompt_and_the_parent_stays_as_it_is(tmp_path, parent, make_sketcher):
    before = Gems(runs=tmp_path).get("p").state
    model = make_sketcher(0.0)
    result = go(tmp_path, model, round=2, prompt="a red circle", max_rounds=2)
    assert [a.prompt for a in result.attempts][1] == "a red circle"
    assert of_rounds(result, 1) == of_rounds(parent, 1)
    assert result.state.experiences == parent.state.experiences[:1]
    assert [r.prompt for r in model.made] == ["a red circle"]
    assert result.attempts[1].seed == parent.attempts[1].seed
    assert Gems(runs=tmp_path).get("p").state == before
    assert result.image_path.exists()
    assert result.report_path.exists()


def test_without_edits_a_round_is_drawn_again_by_another_model(tmp_path, parent, make_sketcher):
    result = go(tmp_path, make_sketcher(0.0), round=3)
    assert result.attempts[2].prompt == parent.attempts[2].prompt
    assert result.decision == "accept"
    assert [(summary.thread, summary.parent) for summary in Gems(runs=tmp_path).list()] == [("p", ""), (result.thread, "p")]


def test_from_its_first_step_on_the_whole_run_is_made_again(tmp_path, parent, make_sketcher):
    again = go(tmp_path, make_sketcher(1.0), round=1)
    assert [a.prompt for a in again.attempts] == [a.prompt for a in parent.attempts]
    assert [a.image for a in again.attempts] == [a.image for a in parent.attempts]


def test_the_round_after_the_last_is_drawn_from_a_prompt_only(tmp_path, parent, make_sketcher):
    result = go(tmp_path, make_sketcher(0.0), round=4, prompt=PROMPT, max_rounds=4)
    assert result.state.round == 4
    assert of_rounds(result, 3) == parent.attempts
    with pytest.raises(GemsError, match="round 4 has not been planned by the run p: give the prompt of its images"):
        go(tmp_path, make_sketcher(0.0), round=4)


def test_other_checks_are_asked_of_the_images_there_are(tmp_path, parent, make_sketcher):
    model = make_sketcher(0.0)
    check = Check(id="mine", kind="attribute", question="Is there a picture at all?")
    number = Check(id="n", kind="count", question="How many red circles are there?", expected="3")
    result = go(tmp_path, model, round=2, checks=[number], max_rounds=2)
    assert model.made == []
    assert [a.image for a in result.attempts] == [a.image for a in parent.attempts[:2]]
    assert [[v.check for v in a.verdicts] for a in result.attempts] == [["n"], ["n"]]
    assert result.state.result.reason.endswith("rounds are used") or result.decision == "accept"
    with pytest.raises(GemsError, match="two checks have the id mine"):
        go(tmp_path, model, round=2, checks=[check, check])
    with pytest.raises(GemsError, match="at least one check"):
        go(tmp_path, model, round=2, checks=[])


def test_a_prompt_and_checks_go_together(tmp_path, parent, make_sketcher):
    number = Check(id="n", kind="count", question="How many red circles are there?", expected="3")
    result = go(tmp_path, make_sketcher(0.0), round=2, prompt="three red circles", checks=[number])
    assert result.decision == "accept"
    assert result.best.prompt == "three red circles"
    assert all([v.check for v in a.verdicts] == ["n"] for a in result.attempts)


def test_a_verdict_is_taken_back_and_the_decision_made_again(tmp_path, parent, make_sketcher):
    model = make_sketcher(0.0)
    all_pass = {check.id: True for check in parent.checks}
    result = go(tmp_path, model, round=1, verdicts=all_pass)
    assert (result.decision, result.state.round) == ("accept", 1)
    assert model.made == []
    assert {v.reason for v in result.best.verdicts} == {"a person said so"}
    failing = next(v.check for v in parent.attempts[0].verdicts if v.passed)
    result = go(tmp_path, make_sketcher(1.0), round=1, verdicts={failing: False}, max_rounds=1)
    assert result.best.score.passed == parent.attempts[0].score.passed - 1


def test_the_verdicts_of_one_candidate_of_several(tmp_path, make_sketcher):
    several = {"preset": "best-of-n", "candidates": 3}
    whole = run(PROMPT, thread="p", runs=tmp_path, image=make_sketcher(1.0), **several)
    chosen = next(a.candidate for a in whole.attempts if a.key != whole.best.key)
    result = go(tmp_path, make_sketcher(1.0), round=1, candidate=chosen, verdicts={c.id: True for c in whole.checks})
    assert (result.decision, result.best.candidate) == ("accept", chosen)
    with pytest.raises(GemsError, match="round 1 has 3 images: there is no candidate 7"):
        go(tmp_path, make_sketcher(1.0), round=1, candidate=7, verdicts={"c1": True})
    with pytest.raises(GemsError, match="a candidate is named for its verdicts only"):
        go(tmp_path, make_sketcher(1.0), round=1, candidate=0)


def test_a_round_that_is_judged_anew_is_summed_up_once(tmp_path, parent, make_sketcher):
    failing = next(v.check for v in parent.attempts[0].verdicts if v.passed is False)
    number = Check(id="n", kind="count", question="How many red circles are there?", expected="3")
    for edit in ({"verdicts": {failing: None}}, {"checks": [*parent.checks, number]}):
        result = go(tmp_path, make_sketcher(1.0), round=1, max_rounds=2, **edit)
        assert [e.round for e in result.state.experiences] == [1]
        assert result.state.round == 2


def test_what_a_person_said_of_a_round_is_not_lost_in_its_fork(tmp_path, make_sketcher):
    model = make_sketcher(0.0)
    run("a red circle", thread="p", runs=tmp_path, image=model, review="image")
    extra = {"question": "Is there a blue square?", "kind": "object"}
    Gems(runs=tmp_path, image=model).resume("p", answer={"action": "reject", "words": "alone", "check": extra})
    ids = [check.id for check in Gems(runs=tmp_path).get("p").checks]
    result = go(tmp_path, model, round=1, verdicts={ids[0]: True}, review="none", max_rounds=1)
    verdicts = {v.check: v.passed for v in result.attempts[0].verdicts}
    assert list(verdicts) == ids
    assert verdicts[ids[-1]] is False
    assert result.decision == "give up"
    assert len(result.state.reviews) == 1
    assert go(tmp_path, model, round=1, verdicts={ids[-1]: True}, review="none", max_rounds=1).attempts[0].score.passed == len(ids)


def test_a_fork_of_a_run_that_was_stopped_and_of_a_fork(tmp_path, make_sketcher):
    class Stop(Exception):
        pass

    def stop(event):
        if isinstance(event, RoleEnded) and event.role == "verifier":
            raise Stop

    with pytest.raises(Stop):
        run(PROMPT, thread="p", runs=tmp_path, image=make_sketcher(1.0), on_event=stop)
    first = go(tmp_path, make_sketcher(0.0), round=1, prompt=PROMPT, name="first")
    assert first.decision == "accept"
    second = Gems(runs=tmp_path, image=make_sketcher(0.0)).fork("first", round=1, prompt="a red circle", max_rounds=1)
    assert second.attempts[0].prompt == "a red circle"


def test_a_round_that_a_fork_took_over_is_forked_where_it_was_made(tmp_path, parent, make_sketcher):
    model = make_sketcher(1.0)
    go(tmp_path, model, round=3, prompt="a red circle", name="f1", max_rounds=3)
    Gems(runs=tmp_path, image=model).fork("f1", round=3, prompt="a blue circle", name="f2", max_rounds=4)
    Gems(runs=tmp_path, image=model).fork("f2", round=4, prompt="a green circle", name="f3", max_rounds=4)
    told = {
        "f1": "round 1 of the run f1 belongs to the run p, which it was forked from: fork that one, with `gems fork p --round 1`",
        "f2": "round 1 of the run f2 belongs to the run p, which it was forked from, by way of f1: fork that one",
        "f3": "round 1 of the run f3 belongs to the run p, which it was forked from, by way of f1 and f2: fork that one",
    }
    for name, words in told.items():
        with pytest.raises(GemsError, match=words):
            Gems(runs=tmp_path, image=model).fork(name, round=1)
    with pytest.raises(GemsError, match="round 3 of the run f3 belongs to the run f2"):
        Gems(runs=tmp_path, image=model).fork("f3", round=3)
    assert Gems(runs=tmp_path, image=model).fork("f2", round=3, name="f4").attempts[2].prompt == "a blue circle"
    Gems(runs=tmp_path).remove("p")
    with pytest.raises(GemsError, match=r"round 1 of the run f2 .* that run was removed, so there is no fork at this round"):
        Gems(runs=tmp_path, image=model).fork("f2", round=1)


def test_a_round_that_was_judged_anew_by_a_fork_is_drawn_anew_from_its_parent(tmp_path, parent, make_sketcher):
    model = make_sketcher(1.0)
    go(tmp_path, model, round=2, verdicts={parent.checks[0].id: True}, name="f1", max_rounds=3)
    with pytest.raises(GemsError, match="`gems fork p --round 2` and the same options"):
        Gems(runs=tmp_path, image=model).fork("f1", round=2, prompt="a red circle")
    assert go(tmp_path, model, round=2, prompt="a red circle", max_rounds=2).attempts[1].prompt == "a red circle"


def test_a_round_that_was_not_judged_to_its_end_is_not_said_to_be_anothers(tmp_path, parent, make_sketcher):
    class Stop(Exception):
        pass

    def stop(event):
        if isinstance(event, RoleStarted) and event.role == "verifier":
            raise Stop

    client = Gems(runs=tmp_path, image=make_sketcher(1.0))
    client.fork("p", round=2, prompt="a red circle", name="f1", execute=False)
    with pytest.raises(Stop):
        client.resume("f1", on_event=stop)
    with pytest.raises(GemsError, match="the steps of round 2 of the run f1 are not there: it was pruned, or did not come so far"):
        client.fork("f1", round=2, verdicts={parent.checks[0].id: True})


def test_a_fork_that_was_killed_goes_on_from_its_own_steps(tmp_path, parent, make_sketcher):
    class Stop(BaseException):
        pass

    def stop(event):
        if isinstance(event, RoleStarted) and event.role == "generator":
            raise Stop

    client = Gems(runs=tmp_path, image=make_sketcher(0.0))
    made = client.fork("p", round=2, prompt="a red circle", name="f", max_rounds=2, execute=False)
    assert (made.state.draft, len(made.attempts)) == ("a red circle", 1)
    with pytest.raises(Stop):
        client.resume("f", on_event=stop)
    result = client.resume("f")
    assert [a.prompt for a in result.attempts] == [parent.attempts[0].prompt, "a red circle"]
    assert result.context.max_rounds == 2


@pytest.mark.parametrize("saves", [0, 1])
def test_a_fork_killed_before_it_has_begun_is_begun_again(tmp_path, parent, make_sketcher, monkeypatch, saves):
    class Killed(BaseException):
        pass

    def die(*args):
        if len(saved) == saves:
            raise Killed
        saved.append(save_manifest(*args))

    saved = []
    edit = {"round": 2, "prompt": "a red circle", "name": "f", "max_rounds": 2}
    with monkeypatch.context() as patch:
        for module in ("fork", "manifest"):
            patch.setattr(f"gems.runs.{module}.save_manifest", die)
        with pytest.raises(Killed):
            go(tmp_path, make_sketcher(0.0), **edit)
    with pytest.raises(GemsError, match="fork again with this name, or remove it" if saves else "there is no run f"):
        Gems(runs=tmp_path, image=make_sketcher(0.0)).resume("f")
    result = go(tmp_path, make_sketcher(0.0), **edit)
    assert len(result.attempts) == 2


def test_quoted_text_that_an_edited_prompt_lost_is_put_back():
    check = Check(id="c1", kind="text", question="What does the sign say?", expected="HELLO")
    planned = GemsState(prompt='a sign that says "HELLO"', draft='a sign that says "HELLO"', checks=[check])
    start = fork_start([planned], "p", ForkEdit(1, prompt="a blue sign"))
    assert start.state.draft == 'a blue sign. The image shows the text "HELLO".'
    assert any("put back" in note for note in start.state.notes)


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        ({"round": 0, "prompt": "x"}, "the run p has 3 rounds: there is no round 0 to fork at"),
        ({"round": 5, "prompt": "x"}, "there is no round 5"),
        ({"round": 4, "verdicts": {"c1": True}}, "there is no round 4"),
        ({"round": 1, "verdicts": {"nope": True}}, "there is no check nope: the checks are c1"),
        ({"round": 1, "verdicts": {"c1": True}, "prompt": "x"}, "fork with one of the two"),
        ({"round": 1, "prompt": "  "}, "the prompt is empty"),
        ({"round": 1, "prompt": "a\0b"}, "NUL"),
        ({"round": 1, "name": "../x"}, "cannot name a run"),
        ({"round": 1, "name": "p"}, "the run p exists already"),
        ({"round": 1, "max_roundz": 3}, "did you mean max_rounds"),
        ({"round": 1, "promt": "x"}, "fork has no argument promt; did you mean prompt"),
        ({"round": 1, "checks": ["Is it red?"]}, "'Is it red[?]' is no check: write Check"),
        ({"round": 1, "verdicts": {"c1": "maybe"}}, "the verdict c1: 'maybe' is not understood: give True, False, or None"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_is_made(tmp_path, parent, make_sketcher, edit, told):
    with pytest.raises(GemsError, match=told):
        go(tmp_path, make_sketcher(0.0), **edit)
    assert [summary.thread for summary in Gems(runs=tmp_path).list()] == ["p"]


def test_a_run_that_is_not_there_leaves_nothing_behind(tmp_path):
    with pytest.raises(GemsError, match="there is no run nobody"):
        Gems(runs=tmp_path / "none").fork("nobody", round=1)
    with pytest.raises(GemsError, match="there is no run nobody"):
        Gems(runs=tmp_path / "none").resume("nobody")
    assert not (tmp_path / "none").exists()


def test_a_pruned_run_says_so(tmp_path, parent, make_sketcher):
    Gems(runs=tmp_path).prune(timedelta(0), keep_best=True)
    for edit in ({"round": 1}, {"round": 3, "verdicts": {"c1": True}}, {"round": 4, "prompt": "a red circle"}):
        with pytest.raises(GemsError, match="the run p was pruned: only its end and its best image are left"):
            go(tmp_path, make_sketcher(0.0), **edit)
    assert len(Gems(runs=tmp_path).list()) == 1


def test_a_fork_that_may_draw_no_more_is_told_and_nothing_is_made(tmp_path, make_sketcher):
    run(PROMPT, thread="p", runs=tmp_path, image=make_sketcher(1.0), preset="loop", max_images=2)
    with pytest.raises(GemsError, match="all images of max_images 2 are used: raise it to continue"):
        go(tmp_path, make_sketcher(1.0), round=3, prompt="a red circle")
    assert len(Gems(runs=tmp_path).list()) == 1
    assert go(tmp_path, make_sketcher(1.0), round=3, prompt="a red circle", max_images=3).state.round == 3

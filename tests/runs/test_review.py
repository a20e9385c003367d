"""People in the loop, through the whole graph: from Python and from LangGraph's own calls."""

import multiprocessing
import os
import signal

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import is_invalid_resume
from langgraph.types import Command
from pydantic import ValidationError

from gems import Answer, AnswerError, Gems, GemsError, GemsState, ImageStore, build_graph, preset, run
from gems.errors import RunError, SettingError
from gems.evaluation.variants import make_variants
from gems.events import RoleStarted
from gems.storage.serializer import serializer

from ..evaluation.small_studies import compare
from ..moody_chat import Moody

PROMPT = "two blue stars to the left of a red circle"


@pytest.fixture
def graph(tmp_path, make_sketcher):
    return build_graph(
        image=make_sketcher(1.0), image_store=ImageStore(tmp_path / "images"), checkpointer=InMemorySaver(serde=serializer())
    )


CONFIG = {"configurable": {"thread_id": "t"}}


def begin(graph, context):
    return graph.invoke({"prompt": PROMPT}, CONFIG, context=context, version="v2")


def answer(graph, context, **said):
    return graph.invoke(Command(resume=said), CONFIG, context=context, version="v2")


# LangGraph's own calls


def test_from_plan_to_accepted_image_by_commands(graph):
    context = preset("default", review="both", max_rounds=2)
    out = begin(graph, context)
    assert (out.interrupts[0].value["stage"], out.value.attempts) == ("plan", [])
    out = answer(graph, context, action="edit", prompt="a red circle at the right", checks=[{"question": "Is the circle red?"}])
    shown = out.interrupts[0].value
    assert (shown["stage"], shown["round"]) == ("image", 1)
    assert out.value.attempts[0].prompt == "a red circle at the right"
    assert [c.question for c in out.value.checks] == ["Is the circle red?"]
    out = answer(graph, context, action="accept", words="good")
    assert not out.interrupts
    assert (out.value.result.decision, out.value.result.reason) == ("accept", "a person accepted it: good")
    assert [r.action for r in out.value.reviews] == ["edit", "accept"]


def test_a_wrong_answer_is_refused_and_the_question_stands(graph):
    context = preset("default", review="plan")
    asked = begin(graph, context).interrupts[0]
    for said in ({"action": "reject"}, {"action": "go on"}, {"action": "edit", "verdicts": {"c1": True}}, {"action": "edit"}):
        with pytest.raises(ValidationError) as caught:
            answer(graph, context, **said)
        assert is_invalid_resume(caught.value)
        assert graph.get_state(CONFIG).interrupts == (asked,)
    with pytest.raises(ValidationError):
        graph.invoke(Command(resume="yes"), CONFIG, context=context)
    assert answer(graph, context, action="accept").value.attempts


@pytest.mark.parametrize("by_id", [False, True])
def test_an_answer_without_the_context_is_refused_and_not_lost(graph, by_id):
    context = preset("default", review="image", max_rounds=2)
    asked = begin(graph, context).interrupts[0]
    said = {"action": "reject", "words": "too small"}
    for other in (None, preset("default"), preset("default", review="plan")):
        with pytest.raises(SettingError, match="pass the one that the run was started with again"):
            graph.invoke(Command(resume={asked.id: said} if by_id else said), CONFIG, context=other)
        assert graph.get_state(CONFIG).interrupts == (asked,)
        assert graph.get_state(CONFIG).values["reviews"] == []
    out = answer(graph, context, action="reject", words="still too small")
    assert [r.words for r in out.value.reviews] == ["still too small"]
    assert out.value.round == 2


def test_a_rejected_plan_is_rewritten_and_asked_about_again_with_the_words(tmp_path, make_sketcher):
    chat = Moody(mood={})
    graph = build_graph(chat, make_sketcher(0.0), image_store=ImageStore(tmp_path), checkpointer=InMemorySaver(serde=serializer()))
    context = preset("default", review="plan", recall="none", fuse=True)
    first = begin(graph, context).interrupts[0].value["prompt"]
    second = answer(graph, context, action="reject", words="put the stars far away").interrupts[0].value
    assert (second["stage"], second["round"]) == ("plan", 0)
    assert second["prompt"] != first
    assert "Of the plan: put the stars far away" in str(chat.turn("Refinement", 1))
    out = answer(graph, context, action="accept")
    assert out.value.attempts[0].prompt == second["prompt"]
    assert out.value.result.decision == "accept"


def test_a_person_may_go_beyond_the_rounds_but_not_beyond_the_images(graph):
    context = preset("default", review="image", max_rounds=1, max_images=3)
    out = begin(graph, context)
    assert out.interrupts[0].value["decision"] == "give up"
    for round in (2, 3):
        out = answer(graph, context, action="reject", words="still wrong")
        assert out.value.round == round
    assert "reject" not in out.interrupts[0].value["actions"]
    with pytest.raises(ValidationError):
        answer(graph, context, action="reject", words="once more")
    out = answer(graph, context, action="go on")
    assert (out.value.result.decision, len(out.value.attempts)) == ("give up", 3)


def test_words_and_a_check_come_back_with_the_next_image(tmp_path, make_sketcher):
    chat = Moody(mood={})
    graph = build_graph(chat, make_sketcher(0.0), image_store=ImageStore(tmp_path), checkpointer=InMemorySaver(serde=serializer()))
    context = preset("default", review="image")
    out = begin(graph, context)
    assert out.value.result.decision == "accept"
    check = {"question": "Is there a square in the image?"}
    out = answer(graph, context, action="reject", words="a square is missing", check=check)
    new = out.value.checks[-1]
    assert [a.verdicts[-1].check for a in out.value.attempts] == [new.id, new.id]
    assert out.value.attempts[0].verdicts[-1].reason == "a person: a square is missing"
    assert out.value.attempts[1].verdicts[-1].answer == "no"  # the verifier looked, in the new image
    for kind in ("Lesson", "Refinement"):
        assert "a square is missing" in str(chat.turn(kind, 1))


def test_an_edited_prompt_is_drawn_without_asking_a_model(graph):
    context = preset("default", review="image")
    before = begin(graph, context)
    out = answer(graph, context, action="edit", prompt="a red circle at the right")
    assert [a.prompt for a in out.value.attempts][1] == "a red circle at the right"
    assert not {"summarizer", "refiner"} & set(out.value.usage.roles)
    assert len(before.value.attempts) == 1


def test_edited_verdicts_are_decided_on_and_asked_about_again(graph):
    context = preset("default", review="image")
    out = begin(graph, context)
    failed = {v["check"]: True for v in out.interrupts[0].value["attempts"][0]["verdicts"] if not v["passed"]}
    assert failed
    calls = out.value.usage.chat_calls
    out = answer(graph, context, action="edit", verdicts=failed)
    assert out.interrupts[0].value["decision"] == "accept"
    assert out.value.usage.chat_calls == calls
    out = answer(graph, context, action="go on")
    assert (out.value.result.decision, out.value.round) == ("accept", 1)


def test_edited_checks_are_examined_in_the_old_images_too(graph):
    context = preset("default", review="image")
    begin(graph, context)
    out = answer(graph, context, action="go on")
    assert len(out.value.attempts) == 2
    out = answer(graph, context, action="edit", checks=[{"question": "Is there a triangle in the image?"}])
    assert out.interrupts[0].value["round"] == 2
    assert [[v.check for v in a.verdicts] for a in out.value.attempts] == [[out.value.checks[0].id]] * 2
    assert all(a.score.total == 1 for a in out.value.attempts)


def test_the_review_can_be_swapped_like_every_role(tmp_path, sketcher):
    from langgraph.types import interrupt

    def mine(state: GemsState):
        if not state.attempts:
            return {"draft": interrupt("what shall I draw?")}
        return {}

    graph = build_graph(
        image=sketcher, image_store=ImageStore(tmp_path), checkpointer=InMemorySaver(serde=serializer()), review=mine
    )
    assert begin(graph, preset("original")).interrupts[0].value == "what shall I draw?"
    out = graph.invoke(Command(resume="a red circle"), CONFIG, context=preset("original"))
    assert out["attempts"][0].prompt == "a red circle"


# Python's front door


def test_a_run_waits_and_is_answered_later(tmp_path, make_sketcher):
    model = make_sketcher(1.0)
    result = run(PROMPT, image=model, runs=tmp_path, thread="t", review="image", max_rounds=1)
    assert result.waiting["stage"] == "image"
    assert result.decision is None
    assert result.image_path.exists()
    page = result.report_path.read_text()
    assert "for a person&#39;s word on round 1" in page
    assert "Said by a person" not in page
    again = Gems(image=model, runs=tmp_path).resume("t")
    assert again.waiting == result.waiting
    assert len(model.made) == 1
    with pytest.raises(AnswerError, match="words: say in plain words what is wrong"):
        Gems(image=model, runs=tmp_path).resume("t", answer={"action": "reject"})
    with pytest.raises(AnswerError, match="action: Field required"):
        Gems(image=model, runs=tmp_path).resume("t", answer={})
    assert Gems(runs=tmp_path).get("t").waiting == result.waiting
    further = Gems(image=model, runs=tmp_path).resume("t", answer=Answer(action="reject", words="too <small>"))
    assert (further.waiting["round"], len(model.made)) == (2, 2)
    done = Gems(image=model, runs=tmp_path).resume("t", answer={"action": "accept", "round": 1})
    assert (done.waiting, done.decision, done.best.round) == (None, "accept", 1)
    page = done.report_path.read_text()
    assert "too &lt;small&gt;" in page
    assert "a person accepted it" in page


def test_a_run_that_waits_before_its_first_image_can_be_looked_at(tmp_path, sketcher):
    result = run(PROMPT, image=sketcher, runs=tmp_path, thread="t", review="plan")
    assert result.waiting["prompt"]
    assert not result.image_path.exists()
    assert "for a person&#39;s word on the plan" in result.report_path.read_text()
    with pytest.raises(RunError, match="has no image yet: it waits for an answer"):
        _ = result.best
    assert sketcher.made == []


def test_how_a_run_stands_says_that_it_waits_whatever_was_decided(tmp_path, make_sketcher):
    model = make_sketcher(0.0)
    assert run(PROMPT, image=model, runs=tmp_path, thread="t", review="image").state.result.decision == "accept"
    assert Gems(runs=tmp_path).list()[0].standing == "waiting"
    Gems(image=model, runs=tmp_path).resume("t", answer={"action": "go on"})
    assert Gems(runs=tmp_path).list()[0].standing == "accepted"
    assert Gems(runs=tmp_path).get("t").waiting is None


def test_whoever_answers_a_run_that_asks_nothing_is_told_so(tmp_path, sketcher):
    run(PROMPT, image=sketcher, runs=tmp_path, thread="t", preset="original")
    with pytest.raises(AnswerError, match="the run t does not wait for an answer"):
        Gems(image=sketcher, runs=tmp_path).resume("t", answer={"action": "accept"})


def test_a_graph_that_cannot_wait_says_so_instead_of_asking(tmp_path, sketcher):
    graph = build_graph(image=sketcher, image_store=ImageStore(tmp_path))
    with pytest.raises(SettingError, match=r"build_graph\(checkpointer=\.\.\.\)"):
        graph.invoke({"prompt": PROMPT}, context=preset("original", review="image"))


def test_ask_is_asked_until_the_answer_fits_and_the_run_goes_on_at_once(tmp_path, make_sketcher):
    said = [{"action": "accept", "round": 9}, {"action": "edit", "prompt": "a red circle"}, None]
    heard = []

    def ask(question, wrong):
        heard.append((question["round"], wrong))
        return said[len(heard) - 1]

    result = run(PROMPT, image=make_sketcher(1.0), runs=tmp_path, thread="t", review="image", ask=ask)
    assert [round for round, _ in heard] == [1, 1, 2]
    assert "round: Input should be 1" in heard[1][1]
    assert heard[2][1] == ""
    assert result.waiting["round"] == 2


def test_a_run_that_is_killed_while_it_waits_or_after_the_answer_loses_nothing(tmp_path, make_sketcher):
    model = make_sketcher(1.0)

    def killed(work):
        process = multiprocessing.get_context("fork").Process(target=work)
        process.start()
        process.join()
        return process.exitcode == -signal.SIGKILL

    def wait_and_die():
        run(PROMPT, image=model, runs=tmp_path, thread="t", review="image", ask=lambda *_: os.kill(os.getpid(), signal.SIGKILL))

    assert killed(wait_and_die)
    assert Gems(image=model, runs=tmp_path).resume("t").waiting["round"] == 1

    def answer_and_die():
        def kill(event):
            if isinstance(event, RoleStarted) and event.role == "refiner":
                os.kill(os.getpid(), signal.SIGKILL)

        Gems(image=model, runs=tmp_path).resume("t", on_event=kill, answer={"action": "reject", "words": "too small"})

    assert killed(answer_and_die)
    assert Gems(runs=tmp_path).list()[0].standing == "unfinished"
    result = Gems(image=model, runs=tmp_path).resume("t")
    assert (result.waiting["round"], [r.words for r in result.state.reviews]) == (2, ["too small"])


def test_an_answer_that_names_its_question_is_taken_once(tmp_path, make_sketcher):
    model = make_sketcher(1.0)
    asked = run(PROMPT, image=model, runs=tmp_path, thread="t", review="image").waiting
    said = {"question": asked["question"], "action": "reject", "words": "too small"}
    further = Gems(image=model, runs=tmp_path).resume("t", answer=said)
    assert further.waiting["question"] != asked["question"]
    with pytest.raises(AnswerError, match=f"answers {asked['question']}, but the question now is {further.waiting['question']}"):
        Gems(image=model, runs=tmp_path).resume("t", answer=said)
    assert len(model.made) == 2
    done = Gems(image=model, runs=tmp_path).resume("t", answer=Answer(action="accept", question=further.waiting["question"]))
    assert done.decision == "accept"


def test_a_fork_from_before_the_answer_is_not_bound_by_it(tmp_path, make_sketcher):
    model = make_sketcher(1.0)
    run(PROMPT, image=model, runs=tmp_path, thread="t", review="image")
    Gems(image=model, runs=tmp_path).resume("t", answer={"action": "edit", "prompt": "a red circle"})
    parent = Gems(runs=tmp_path).get("t").state
    told = [v.check for v in parent.attempts[0].verdicts if v.passed]
    kept = [check for check in parent.checks if check.id in told]
    forked = Gems(image=model, runs=tmp_path).fork("t", round=1, checks=kept, review="none")
    assert (forked.decision, len(forked.attempts)) == ("accept", 1)
    fresh = Gems(image=model, runs=tmp_path).fork("t", round=1, prompt="a blue star", review="plan")
    assert (fresh.waiting["stage"], fresh.waiting["prompt"], fresh.state.reviews) == ("plan", "a blue star", [])


def test_a_study_asks_nobody(tmp_path):
    with pytest.raises(GemsError, match="review"):
        compare(make_variants(["original"], fixed={"review": "image"}), limit=1, runs=tmp_path)

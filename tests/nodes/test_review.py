"""What a person is asked, what may be answered, and what each answer does: plain functions of the state."""

import json

import pytest
from langchain_core.messages import SystemMessage
from pydantic import ValidationError

from gems import Answer, Attempt, Check, GemsState, ImageRef, Result, RunContext, Score, Verdict
from gems.graph.routing import after_refiner, after_review
from gems.memory.state import Experience, Review, best_of
from gems.nodes import refiner, selector, summarizer
from gems.nodes.review import answer_rules, apply_answer, review_is_due, review_question
from gems.nodes.review_answer import answer_error, answer_schema
from gems.skills import SkillLibrary

REQUEST = 'a red circle above a blue square and the word "HELLO"'
CHECKS = [
    Check(id="c1", kind="object", question="Is there a circle?"),
    Check(id="c2", kind="attribute", question="Is the circle red?", depends_on=("c1",)),
    Check(id="c3", kind="text", question="What does it say?", expected="HELLO"),
]


def attempt(round, marks, candidate=0):
    words = {"+": True, "-": False, "?": None, "s": None}
    found = tuple(
        Verdict(check=f"c{i}", passed=words[m], skipped=m == "s", reason="" if m == "+" else "seen") for i, m in enumerate(marks, 1)
    )
    return Attempt(
        round=round, candidate=candidate, prompt=f"prompt {round}", seed=round, verdicts=found, score=Score.of(found),
        image=ImageRef(sha256=f"{10 * round + candidate:064x}", width=8, height=8),
    )  # fmt: skip


def judged(*attempts, decision="refine", **more):
    best = best_of(attempts)
    result = Result(decision=decision, reason="why", best_round=best.round, best_candidate=best.candidate, round=attempts[-1].round)
    return GemsState(prompt=REQUEST, draft="drawn", checks=CHECKS, attempts=list(attempts), result=result, **more)


PLAN = GemsState(prompt=REQUEST, draft='a plan with "HELLO"', skills=["text-rendering"], checks=CHECKS)
IMAGE = judged(attempt(1, "+-+"))


def answered(state, context=None, **answer):
    """Check an answer as LangGraph does, and return the state after it."""
    given = answer_schema(answer_rules(state, context or RunContext(review="both"))).model_validate(answer)
    update = apply_answer(Answer.model_validate(given.model_dump(exclude_unset=True)), state)
    attempts = {a.key: a for a in [*state.attempts, *update.pop("attempts", [])]}
    update["reviews"] = [*state.reviews, *update["reviews"]]
    return state.model_copy(update={**update, "attempts": [attempts[key] for key in sorted(attempts)]})


def refused(state, context=None, **answer):
    schema = answer_schema(answer_rules(state, context or RunContext(review="both")))
    with pytest.raises(ValidationError) as caught:
        schema.model_validate(answer)
    return str(answer_error(caught.value, schema.model_fields))


def read(ref):
    return bytes.fromhex(ref.sha256)[-3:]


def text_of(messages):
    return json.dumps([m.content for m in messages if not isinstance(m, SystemMessage)], ensure_ascii=False)


# Who is asked, and what


@pytest.mark.parametrize(
    ("review", "plan", "image"), [("none", False, False), ("plan", True, False), ("image", False, True), ("both", True, True)]
)
def test_a_person_is_asked_where_the_setting_says_so(review, plan, image):
    context = RunContext(review=review)
    assert (review_is_due(PLAN, context), review_is_due(IMAGE, context)) == (plan, image)


def test_the_question_of_a_plan_shows_all_of_it_and_is_plain_json():
    told = review_question(PLAN, RunContext(review="plan"))
    assert json.loads(json.dumps(told)) == told
    assert told["stage"] == "plan"
    assert told["prompt"] == PLAN.draft
    assert [c["id"] for c in told["checks"]] == ["c1", "c2", "c3"]
    assert set(told["actions"]) == {"accept", "reject", "edit"}


def test_the_question_of_an_image_shows_the_best_first_and_then_the_latest_by_their_hash():
    state = judged(attempt(1, "+++"), attempt(2, "+--"), decision="accept")
    told = review_question(state, RunContext(review="image"))
    assert json.loads(json.dumps(told)) == told
    assert [(a["round"], a["best"]) for a in told["attempts"]] == [(1, True), (2, False)]
    assert told["attempts"][1]["image"]["sha256"] == state.attempts[1].image.sha256
    assert told["attempts"][1]["verdicts"][1]["passed"] is False
    assert (told["decision"], told["reason"]) == ("accept", "why")
    assert set(told["actions"]) == {"accept", "go on", "reject", "edit"}
    assert told["actions"]["go on"] == "as decided: accept"


def test_the_schema_is_enough_to_draw_a_form():
    schema = answer_schema(answer_rules(IMAGE, RunContext(review="image"))).model_json_schema()
    fields = schema["properties"]
    assert all(field.get("description") for field in fields.values())
    assert fields["action"]["enum"] == ["accept", "go on", "reject", "edit"]
    assert fields["verdicts"]["anyOf"][0]["propertyNames"]["enum"] == ["c1", "c2", "c3"]
    assert schema["$defs"]["ListedCheck"]["properties"]["id"]["enum"] == ["", "c1", "c2", "c3"]
    assert schema["additionalProperties"] is False


# Accept, go on


def test_accepting_a_plan_draws_it():
    after = answered(PLAN, action="accept")
    assert after_review(after) == "generate"
    assert after.draft == PLAN.draft


def test_accepting_now_ends_with_the_best_image_or_the_one_that_is_named():
    state = judged(attempt(1, "+-+"), attempt(2, "+--", 0), attempt(2, "---", 1))
    best = answered(state, action="accept", words="good enough")
    assert after_review(best) == "accept"
    assert best.best.key == (1, 0)
    assert best.result.reason == "a person accepted it: good enough"
    assert answered(state, action="accept", round=2).best.key == (2, 0)
    assert answered(state, action="accept", round=2, candidate=1).best.key == (2, 1)


@pytest.mark.parametrize("decision", ["accept", "refine", "give up"])
def test_going_on_leaves_it_as_decided(decision):
    state = IMAGE.model_copy(update={"result": IMAGE.result.model_copy(update={"decision": decision})})
    after = answered(state, action="go on", words="just so")
    assert after_review(after) == decision
    assert after.reviews[-1].words == "just so"


# Reject


def test_a_rejected_plan_is_written_anew_and_shown_again():
    after = answered(PLAN, action="reject", words="more air around the circle")
    assert after_review(after) == "rewrite"
    assert after_refiner(after) == "review"
    assert "Of the plan: more air around the circle" in text_of(refiner.render(after, RunContext(), SkillLibrary.load(), read))
    again = after.model_copy(update={"draft": "with air"})
    assert after_review(again) == "generate"  # whoever is not asked a second time goes on
    assert after_review(answered(again, action="accept")) == "generate"


def test_the_refiner_that_rewrites_a_plan_has_no_round_to_write_an_experience_of():
    after = answered(PLAN, action="reject", words="no")
    assert not refiner.writes_experience(after, RunContext(fuse=True))
    assert refiner.writes_experience(IMAGE, RunContext(fuse=True))


@pytest.mark.parametrize("decision", ["accept", "give up"])
def test_a_rejected_image_is_refined_though_the_run_was_at_its_end(decision):
    state = judged(attempt(1, "+++"), decision=decision)
    after = answered(state, action="reject", words="too small")
    assert after_review(after) == "refine"
    assert after.result.reason == "a person rejected it: too small"
    assert after.reviews[-1] == Review(stage="image", round=1, about=1, action="reject", words="too small", prompt="drawn")


def test_a_rejected_image_loses_to_an_equal_one_and_is_never_accepted_by_itself():
    after = answered(judged(attempt(1, "+++"), decision="accept"), action="reject", words="too small")
    first = after.attempts[0]
    assert selector.decide([first], RunContext()).decision == "refine"
    assert selector.decide([first], RunContext(accept_at=0.1)).decision == "refine"
    again = selector.decide([first, attempt(2, "+++")], RunContext())
    assert (again.decision, again.best_round) == ("accept", 2)
    assert best_of([first, attempt(2, "++-")]).round == 2  # the rejection weighs as one failed check
    assert best_of([first, attempt(2, "+--")]).round == 1


def test_a_rejection_may_bring_a_check_which_the_image_has_failed():
    state = judged(attempt(1, "++-"), attempt(2, "+++"), decision="accept")
    check = {"question": "Is the circle large?", "kind": "attribute"}
    after = answered(state, action="reject", words="too small", check=check)
    assert after.checks[-1] == Check(id="c4", kind="attribute", question="Is the circle large?")
    assert [a.verdicts[-1].passed for a in after.attempts] == [None, False]
    assert after.attempts[1].verdicts[-1].reason == "a person: too small"
    assert [a.score.total for a in after.attempts] == [4, 4]
    assert after.best.round == 2
    assert after_review(after) == "refine"


def test_a_rejection_outlives_the_check_that_it_brought():
    check = {"question": "Is the circle large?"}
    rejected = answered(judged(attempt(1, "+++"), decision="accept"), action="reject", words="too small", check=check)
    after = answered(rejected, action="edit", checks=[c.model_dump() for c in CHECKS])
    update = selector.selector()(after, type("Runtime", (), {"context": RunContext()})())
    assert (update["result"].decision, update["result"].reason) == ("refine", "a person rejected the best image")
    assert best_of([*update["attempts"], attempt(2, "++-")]).round == 2  # now it weighs by itself


def test_a_rejection_with_a_check_weighs_once():
    check = {"question": "Is the circle large?"}
    rejected = answered(judged(attempt(1, "+++"), decision="accept"), action="reject", words="too small", check=check).attempts[0]
    assert best_of([rejected, attempt(2, "++--")]).round == 1
    assert best_of([rejected, attempt(2, "++-+")]).round == 2


def test_a_check_may_come_with_a_rejected_plan_too():
    after = answered(PLAN, action="reject", words="how many?", check={"question": "How many?", "kind": "count", "expected": "two"})
    assert [c.id for c in after.checks] == ["c1", "c2", "c3", "c4"]
    assert after_review(after) == "rewrite"


# Edit


def test_an_edited_prompt_is_drawn_next_with_its_quoted_text():
    for state in (PLAN, IMAGE):
        after = answered(state, action="edit", prompt="a red circle, a blue square", words="simpler")
        assert after_review(after) == "generate"
        assert after.draft == 'a red circle, a blue square. The image shows the text "HELLO".'
        assert "had dropped the quoted text 'HELLO': put back" in after.notes[-1]
        assert after.reviews[-1].edited == ("prompt",)
        assert after.thought == "A person wrote this prompt. simpler"


def test_edited_checks_are_asked_of_every_image_again():
    state = judged(attempt(1, "+-+"), attempt(2, "++-"))
    kept = [{"id": "c1", "question": "Is there a circle?"}, {"question": "How many circles?", "kind": "count", "expected": "one"}]
    after = answered(state, action="edit", checks=kept)
    assert [(c.id, c.question) for c in after.checks] == [("c1", "Is there a circle?"), ("c4", "How many circles?")]
    assert after.pending == after.attempts
    assert after_review(after) == "verify again"


def test_what_a_listed_check_leaves_out_stays_as_it_was():
    checks = [*CHECKS, Check(id="c4", kind="count", question="How many circles?", expected="three", depends_on=("c1", "c2"))]
    state = IMAGE.model_copy(update={"checks": checks})
    listed = [{"id": "c2", "question": "Is the circle dark red?"}, {"id": "c3", "question": CHECKS[2].question}]
    after = answered(state, action="edit", checks=[*listed, {"id": "c4", "question": "How many circles?"}])
    assert after.checks == [
        Check(id="c2", kind="attribute", question="Is the circle dark red?"),
        CHECKS[2],
        checks[3].model_copy(update={"depends_on": ("c2",)}),
    ]
    wrong = [{"id": "c4", "question": "How many circles?", "expected": "some"}]
    assert "a count expects a number" in refused(state, action="edit", checks=wrong)


def test_checks_that_are_only_taken_away_need_no_new_look():
    after = answered(IMAGE, action="edit", checks=[{"id": "c1", "question": "Is there a circle?"}])
    assert after_review(after) == "decide again"
    node = selector.selector()
    update = node(after, type("Runtime", (), {"context": RunContext()})())
    assert update["result"].decision == "accept"
    assert [v.check for v in update["attempts"][0].verdicts] == ["c1"]


def test_an_edited_verdict_is_decided_on_again_and_stands_whatever_the_verifier_finds():
    after = answered(IMAGE, action="edit", verdicts={"c2": True, "c3": None}, words="look again")
    assert after_review(after) == "decide again"
    first = after.attempts[0]
    assert [v.passed for v in first.verdicts] == [True, True, None]
    assert first.verdicts[1].reason == "a person: look again"
    assert str(after.reviews[-1]) == "image of round 1: edited verdicts (c2 ✓, c3 ?): look again"
    assert [v.passed for v in first.judged(attempt(1, "---").verdicts).verdicts] == [False, True, None]


def test_what_was_skipped_for_a_failure_that_is_none_is_open():
    state = judged(attempt(1, "-s+"))
    after = answered(state, action="edit", verdicts={"c1": True})
    assert (after.attempts[0].verdicts[1].passed, after.attempts[0].verdicts[1].skipped) == (None, False)
    unchanged = answered(state, action="edit", verdicts={"c3": False})
    assert unchanged.attempts[0].verdicts[1].skipped


def test_a_verdict_of_a_person_goes_when_its_question_does():
    said = answered(IMAGE, action="edit", verdicts={"c2": True})
    said = said.model_copy(
        update={"attempts": [said.attempts[0].model_copy(update={"score": Score.of(said.attempts[0].verdicts)})]}
    )
    checks = [c.model_dump() for c in CHECKS]
    checks[1]["question"] = "Is the circle dark red?"
    assert answered(said, action="edit", checks=checks).attempts[0].said == ()
    checks = [*(c.model_dump() for c in CHECKS), {"question": "Is it a photo?"}]
    assert [v.check for v in answered(said, action="edit", checks=checks).attempts[0].said] == ["c2"]


def test_a_verdict_of_a_person_stands_when_only_a_check_above_it_is_taken_away():
    said = answered(judged(attempt(1, "+++"), decision="accept"), action="edit", verdicts={"c2": False})
    said = said.model_copy(
        update={"attempts": [said.attempts[0].model_copy(update={"score": Score.of(said.attempts[0].verdicts)})]}
    )
    kept = [{**c.model_dump(), "depends_on": ()} for c in CHECKS[1:]]
    after = answered(said, action="edit", checks=kept)
    assert [(v.check, v.passed) for v in after.attempts[0].said] == [("c2", False)]
    assert not after.pending
    node = selector.selector()
    decided = node(after, type("Runtime", (), {"context": RunContext()})())["result"]
    assert (decided.decision, decided.reason) == ("refine", "1 of 2 checks of the best image have not passed")


def test_an_image_of_an_earlier_round_that_a_person_lets_pass_is_named():
    state = answered(judged(attempt(1, "+-+"), attempt(2, "+--")), action="edit", verdicts={"c2": True})
    decided = selector.selector()(state, type("Runtime", (), {"context": RunContext()})())["result"]
    assert (decided.decision, decided.reason) == ("accept", "all 3 checks passed in round 1")


def test_a_check_that_was_skipped_is_asked_once_the_failed_one_above_it_is_taken_away():
    kept = [{**c.model_dump(), "depends_on": ()} for c in CHECKS[1:]]
    after = answered(judged(attempt(1, "-s+"), attempt(2, "+-+")), action="edit", checks=kept)
    assert [a.round for a in after.pending] == [1]
    assert after_review(after) == "verify again"


def test_prompt_and_checks_may_change_together():
    after = answered(IMAGE, action="edit", prompt='"HELLO" in red', checks=[{"question": "Is it red?"}])
    assert after_review(after) == "generate"
    assert after.pending


def test_an_answer_counts_for_the_decision_that_it_was_given_to():
    after = answered(IMAGE, action="edit", prompt='"HELLO" in red')
    decided = after.model_copy(update={"result": after.result.model_copy(update={"heard": 1, "decision": "accept"})})
    assert after_review(decided) == "accept"


# Wrong answers


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({}, "action: Field required"),
        ({"action": "approve"}, "action: Input should be 'accept', 'go on', 'reject' or 'edit'"),
        ({"action": "reject"}, "words: say in plain words what is wrong"),
        ({"action": "reject", "words": " \n"}, "words: say in plain words what is wrong"),
        ({"action": "reject", "words": "\u200b \ufeff"}, "words: say in plain words what is wrong"),
        ({"action": "edit", "prompt": "\u200b"}, "prompt: it is empty"),
        ({"action": "edit", "checks": [{"question": "\u2060"}]}, "checks.0.question: it is empty"),
        ({"action": "edit", "checks": [{"id": "c1", "question": "Is it?", "depends_on": ["c1"]}]}, "c1 depends on itself"),
        (
            {
                "action": "edit",
                "checks": [{"id": f"c{n}", "question": "Is it?", "depends_on": [f"c{m}"]} for n, m in ((1, 3), (2, 3), (3, 2))],
            },
            "c3 depends on itself",
        ),
        ({"action": "edit"}, "there is nothing to edit: give prompt, checks or verdicts"),
        ({"action": "edit", "words": "hm"}, "there is nothing to edit"),
        ({"action": "edit", "prompt": "  "}, "prompt: it is empty"),
        ({"action": "edit", "prompt": "x" * 9000}, "prompt: String should have at most 8000 characters"),
        ({"action": "edit", "prompt": "\ud800"}, "valid"),
        ({"action": "edit", "verdicts": {"c9": True}}, "verdicts.c9: Input should be 'c1', 'c2' or 'c3'"),
        ({"action": "edit", "verdicts": {"c1": "perhaps"}}, "verdicts.c1: Input should be a valid boolean"),
        ({"action": "edit", "verdicts": {}}, "verdicts: "),
        ({"action": "edit", "verdicts": {"c1": True}, "checks": [{"question": "Is it?"}]}, "not both"),
        ({"action": "edit", "checks": []}, "checks: List should have at least 1 item"),
        ({"action": "edit", "checks": [{"id": "c7", "question": "Is it?"}]}, "checks.0.id: Input should be '', 'c1', 'c2' or 'c3'"),
        ({"action": "edit", "checks": [{"id": "c1", "question": "Is it?"}] * 2}, "c1 is in the list twice"),
        ({"action": "edit", "checks": [{"question": "Is it?", "depends_on": ["c1"]}]}, "depends on c1, which is not in the list"),
        ({"action": "edit", "checks": [{"question": " "}]}, "checks.0.question: it is empty"),
        (
            {"action": "edit", "checks": [{"question": "How many?", "kind": "count", "expected": "some"}]},
            "a count expects a number",
        ),
        ({"action": "accept", "round": 2}, "round: Input should be 1"),
        ({"action": "accept", "candidate": 0}, "candidate: name the round too"),
        ({"action": "accept", "round": 1, "candidate": 3}, "candidate: round 1 has no image 3"),
        ({"action": "accept", "prompt": "other"}, "prompt has no meaning with 'accept': it goes with edit"),
        ({"action": "go on", "check": {"question": "Is it?"}}, "check has no meaning with 'go on': it goes with reject"),
        ({"action": "edit", "prompt": "other", "round": 1}, "give them with verdicts"),
        ({"action": "accept", "question": "plan-0-1"}, "question: this answers plan-0-1, but the question now is image-1-1"),
        ({"action": "accept", "comment": "fine"}, "comment: there is no such field now; the fields are action, words"),
    ],
)
def test_a_wrong_answer_is_refused_with_words(answer, why):
    told = refused(IMAGE, **answer)
    assert why in told
    assert told.endswith("nothing was changed, answer again")


def test_a_plan_has_nothing_to_go_on_with_and_no_verdicts():
    assert "action: Input should be 'accept', 'reject' or 'edit'" in refused(PLAN, action="go on")
    assert "verdicts: there is no such field now" in refused(PLAN, action="edit", verdicts={"c1": True})
    assert "give prompt or checks" in refused(PLAN, action="edit")


def test_nobody_goes_beyond_the_images_of_a_run():
    context = RunContext(review="image", max_images=1)
    assert set(review_question(IMAGE, context)["actions"]) == {"accept", "go on", "edit"}
    assert "action: " in refused(IMAGE, context, action="reject", words="no")
    assert "prompt: there is no such field now" in refused(IMAGE, context, action="edit", prompt="other")
    assert answered(IMAGE, context, action="edit", verdicts={"c2": True})


def test_an_answer_in_python_is_checked_in_itself():
    with pytest.raises(ValidationError, match="say in plain words"):
        Answer(action="reject")


# What is remembered


def test_the_words_are_shown_to_refiner_and_summarizer_under_every_policy():
    state = answered(IMAGE, action="reject", words="the circle is too small")
    state = state.model_copy(
        update={"reviews": [Review(stage="plan", round=0, action="edit", words="bold letters"), *state.reviews]}
    )
    for policy in ("none", "last", "experiences", "default"):
        shown = text_of(refiner.render(state, RunContext(recall=policy), SkillLibrary.load(), read))
        assert "<feedback>" in shown
        assert shown.index("Of the plan: bold letters") < shown.index("Of the image of round 1: the circle is too small")
    summed = summarizer.SummarizerState(**{name: getattr(state, name) for name in summarizer.SummarizerState.model_fields})
    assert "the circle is too small" in text_of(summarizer.render(summed, state.attempts[0], read))


def test_where_nobody_said_anything_nothing_is_shown():
    state = IMAGE.model_copy(update={"experiences": [Experience(round=1, text="x")]})
    assert "feedback" not in text_of(refiner.render(state, RunContext(), SkillLibrary.load(), read))


def test_a_decision_made_again_counts_the_round_once():
    first = selector.decide([attempt(1, "+-+")], RunContext())
    state = answered(judged(attempt(1, "+-+")), action="edit", verdicts={"c1": False})
    usage = first.usage
    assert selector._usage_before_round(first.model_copy(update={"before": usage}), state.attempts) is usage
    assert selector._usage_before_round(first, [*state.attempts, attempt(2, "+++")]) is first.usage

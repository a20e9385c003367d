"""What a model sends is no longer than it may be, said once in the run, and takes a time that grows with its length alone."""

import json
import math
import time

import pytest
from langchain_core.messages import AIMessage

from gems.evaluation.judges.judge_parsing import marks
from gems.memory.state import Check
from gems.models.chat.answer_probability import LogprobToken, answer_probabilities, candidate_values
from gems.models.chat.answer_text import json_objects, parse_answer
from gems.nodes import decomposer, planner, refiner, summarizer
from gems.nodes.checks.answers import passes
from gems.nodes.checks.text_match import compare_text, contains, normalize
from gems.nodes.messages import MAX_ANSWER, MAX_QUESTION, truncate_each
from gems.nodes.planner import Plan
from gems.nodes.skill_loader import answerable_turn
from gems.nodes.verifier import LIMITS, Finding

LONG = "long words " * 10_000
GENEROUS = 2.0
"""Seconds of a CPU; each of these takes a tenth of it or less, and took minutes where it grew with the square."""


def test_a_prompt_is_cut_and_keeps_what_the_request_quotes():
    update = planner.parse(Plan(prompt=LONG), 'a sign "OPEN"')
    assert len(update["draft"]) < 8_100
    assert '"OPEN"' in update["draft"]
    assert "The planner's prompt had more than 8000 characters: the rest was cut off." in update["notes"]
    for answer in (
        refiner.Refinement(strategy="x", prompt=LONG),
        refiner.EditRefinement(strategy="x", action="edit", prompt=LONG),
    ):
        update = refiner.parse(answer, "", "a cat")
        assert len(update["draft"]) <= 8_000
        assert "The refiner's prompt had more than 8000 characters: the rest was cut off." in update["notes"]


def test_questions_answers_reasons_and_experiences_are_cut():
    drafts = [decomposer.CheckDraft(kind="text", question=LONG, expected=LONG)] * 30_000
    update = decomposer.parse(decomposer.Checks(checks=drafts), "a cat")
    assert {len(c.question) <= MAX_QUESTION and len(c.expected) <= 8_000 for c in update["checks"]} == {True}
    assert len([n for n in update["notes"] if "cut off" in n]) == 2
    assert any("30000 questions" in n for n in update["notes"])
    findings, notes = truncate_each([Finding(id="c1", answer=LONG, reason=LONG)] * 2, LIMITS)
    assert len(notes) == 2
    assert (len(findings[0].answer), len(findings[0].reason)) <= (MAX_ANSWER, MAX_QUESTION)
    update = summarizer.parse(summarizer.Lesson(experience="x" * 10**6), 1)
    assert len(update["experiences"][0].text) <= MAX_QUESTION
    assert "cut off" in update["notes"][0]


def test_a_turn_of_the_planner_is_no_longer_than_it_may_be():
    calls = [{"name": "load_skill", "args": {"name": "x" * 10**5}, "id": f"{n}"} for n in range(500)]
    turn = answerable_turn(AIMessage("y" * 10**6, tool_calls=calls))
    assert len(str(turn)) < 20_000


def token(text, **top):
    return LogprobToken(text, -0.1, {t: math.log(p) for t, p in top.items()})


READ = [f"w{n % 997}" for n in range(20_000)]


@pytest.mark.parametrize(
    "work",
    [
        lambda: normalize("e\u0301\u0316" * 50_000),
        lambda: normalize('"' * 200_000),
        lambda: compare_text(" ".join(READ[:1200]) + " end", " ".join(READ)),
        lambda: compare_text("字" * 1000 + "终", "字" * 20_000),
        lambda: contains("a" * 100_000, "a" * 500 + "b"),
        lambda: passes(Check(id="c", kind="text", question="?", expected="x " * 4000), "without x\n" * 8000),
        lambda: passes(Check(id="c", kind="count", question="?", expected="three"), "three and " * 50_000),
        lambda: passes(Check(id="c", kind="object", question="?"), "yes, " * 50_000),
        lambda: candidate_values("yes " * 20_000, [token("yes ", yes=0.9, no=0.1)] * 20_000, (0, 79_999)),
        lambda: answer_probabilities("a" * 100_000, [token("a" * 100, yes=0.5)] * 2000, {"c1": "yes"}),
        lambda: answer_probabilities(
            json.dumps({"findings": [{"id": "c1", "answer": "yes", "more": ["x"] * 50_000}]}), [], {"c1": "yes"}
        ),
        lambda: list(json_objects("{" * 200_000)),
        lambda: list(json_objects('{"a":[' * 400 + "1," * 100_000)),
        lambda: marks("\n" * 100_000, {"realism": (0, 2)}),
        lambda: marks('{"a":' * 900 + "1" + "}" * 900 + " {" * 50_000, {"realism": (0, 2)}),
        lambda: list(json_objects('{"a": ' * 50_000)),
    ],
)
def test_the_time_grows_with_the_length_and_not_with_its_square(work):
    began = time.process_time()
    work()
    assert time.process_time() - began < GENEROUS


def test_in_a_long_text_the_nearest_place_is_found_though_not_every_one_is_tried():
    wanted = " ".join(READ[500:1700])
    match = compare_text(wanted, " ".join(["x"] * 5003 + READ[500:1100] + ["typo"] + READ[1101:1700] + ["x"] * 5003))
    assert match.similarity > 0.99
    assert match.nearest.startswith("w500 w501")


def test_an_answer_after_much_else_is_found():
    assert parse_answer("{ so { and so { " * 50 + '{"prompt": "x"}', Plan).prompt == "x"
    assert parse_answer("{{" * 300 + '{"prompt": "x"}', Plan).prompt == "x"

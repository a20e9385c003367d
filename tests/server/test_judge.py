"""The embedded chat model as a judge over HTTP: every kind of question, from `gems serve` to the recorded answers."""

import hashlib
import io
import json

import pytest

from gems.errors import JudgeError, ModelCallError
from gems.evaluation.benchmarks.base import JudgeQuestion
from gems.evaluation.benchmarks.geneval2 import probability
from gems.evaluation.judges.answer_collection import JudgeTask, collect, recorded_answers
from gems.evaluation.judges.answer_log import open_answer_log
from gems.evaluation.judges.probing import probe
from gems.evaluation.judges.registry import judge_of
from gems.models.shapes.world import DrawnThing, center_of, draw

from .conftest import Scripted, problem

OPTIONS = "Options: A: one, B: two, C: three, D: four, E: None"
QUESTIONS = [
    JudgeQuestion(key="word", text="How many circles are in the image? Answer in one word.", kind="word", max_tokens=1),
    JudgeQuestion(key="yes", text="Is the square above the circles? Answer yes or no.", max_tokens=16),
    JudgeQuestion(
        key="letters",
        text=f"Answer the questions.\n\n1. How many circles are there? {OPTIONS}\n2. How many stars are there? {OPTIONS}\n\n",
        rollouts=5,
        temperature=1.0,
    ),
    JudgeQuestion(key="read", text="Write down all the text that can be read in this image.", kind="read"),
    JudgeQuestion(
        key="marks",
        text='Prompt: two red circles above a blue square\n\nAnswer with one JSON object: {"consistency": 0-2, "realism": 0-2}',
        system="You give marks.",
    ),
]


def scene():
    things = [("circle", "red", 0), ("circle", "red", 2), ("square", "blue", 7)]
    buffer = io.BytesIO()
    draw([DrawnThing(shape, color, cell, *center_of(cell), 14.0) for shape, color, cell in things]).save(buffer, "PNG")
    return buffer.getvalue()


def test_every_kind_of_question_is_asked_and_answered_over_http(site, tmp_path):
    data = scene()
    image = hashlib.sha256(data).hexdigest()
    judge = judge_of(f"{site.url}#shapes-chat")
    probe(judge, QUESTIONS)
    with open_answer_log(tmp_path / "answers.jsonl") as log:
        work = [JudgeTask(question, lambda: data, image, "0001") for question in QUESTIONS]
        assert collect(judge, work, log) == (0, 9, 0)
        assert collect(judge_of("shapes"), work, log) == (9, 0, 0)  # the same model without a server, of the same name
        found = recorded_answers(judge, QUESTIONS, image, log)
    texts = {key: [answer.text for answer in answers] for key, answers in found.items()}
    assert json.loads(texts.pop("marks")[0]) == {"consistency": 2, "realism": 0}
    assert texts == {"word": ["two"], "yes": ["no"], "letters": ["1. B\n2. E"] * 5, "read": [""]}
    assert found["word"][0].top == (("two", 1.0),)
    assert probability("How many circles are in the image?", "two", found["word"][0].top) == 1.0


def test_what_it_cannot_judge_is_said_before_a_run_is_spent(site):
    judge = judge_of(f"{site.url}#shapes-chat")
    with pytest.raises(ModelCallError, match="cannot converse"):
        probe(judge, [JudgeQuestion(key="0", text="Describe the image.")])


def test_a_served_model_without_log_probabilities_is_refused_as_a_judge_of_words(serving):
    site = serving(Scripted(says="two"))
    with pytest.raises(JudgeError, match="scripted gives no log-probabilities"):
        probe(judge_of(f"{site.url}#scripted"), QUESTIONS[:1])


def test_an_answer_of_a_role_is_still_not_cut(site):
    plan = {"type": "json_schema", "json_schema": {"name": "Plan", "schema": {"type": "object"}}}
    said = site.chat("<request>\nthree red circles\n</request>", response_format=plan, max_tokens=1)
    assert problem(said, 400)["param"] == "max_tokens"

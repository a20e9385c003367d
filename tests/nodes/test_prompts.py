"""Golden snapshots of everything the models are shown: a change of wording shows in review.

`GEMS_WRITE_GOLDEN=1 pytest tests/nodes/test_prompts.py` writes them again.
"""

import json
import os
from pathlib import Path

import pytest
from langchain_core.utils.function_calling import convert_to_openai_tool

from gems import RunContext
from gems.memory.evidence import latest_improvements
from gems.memory.lessons import StoredLesson
from gems.memory.state import Attempt, Check, Experience, GemsState, ImageRef, Score, Verdict
from gems.models.chat.ask import with_schema
from gems.nodes import decomposer, learner, planner, refiner, summarizer, verifier
from gems.skills import SkillLibrary, skill_tools

GOLDEN = Path(__file__).parent / "golden"
REQUEST = 'three red circles above a blue square and the word "HELLO"'
CHECKS = [
    Check(id="c1", kind="object", question="Is there a circle?"),
    Check(id="c2", kind="count", question="How many circles are there?", expected="three", depends_on=("c1",)),
]


def verdicts(count):
    passed = {"three": True, "two": False, "": None}[count]
    reason = "" if passed else "one circle is cut off at the left edge"
    return (Verdict(check="c1", passed=True, answer="yes"), Verdict(check="c2", passed=passed, answer=count, reason=reason))


def attempt(round, count):
    found = verdicts(count)
    return Attempt(
        round=round, prompt=f"prompt {round}", seed=round, image=ImageRef(sha256=f"{round:064x}", width=8, height=8),
        thought=f"thought {round}", verdicts=found, score=Score.of(found),
    )  # fmt: skip


STATE = GemsState(
    prompt=REQUEST, checks=CHECKS, draft="prompt 3", attempts=[attempt(1, ""), attempt(2, "two"), attempt(3, "")],
    experiences=[Experience(round=1, text="Lesson one."), Experience(round=2, text="Lesson two.")],
)  # fmt: skip


EDITED = STATE.model_copy(
    update={"attempts": [*STATE.attempts[:2], STATE.attempts[2].model_copy(update={"source": STATE.attempts[1].image})]}
)


def shown(messages):
    parts = []
    for message in messages:
        parts.append(f"---------- {message.type}")
        for block in [message.content] if isinstance(message.content, str) else message.content:
            text = block if isinstance(block, str) else block.get("text")
            parts.append(text if text is not None else f"[{block['type']}: {block['base64']}]")
    return "\n".join(parts) + "\n"


def read(ref):
    return bytes.fromhex(ref.sha256)[-3:]


def refined(policy):
    return refiner.render(STATE, RunContext(recall=policy), SkillLibrary.load(), read)


LEARNED = STATE.model_copy(update={"attempts": [attempt(1, "two"), attempt(2, "three")]})
LESSONS = [
    StoredLesson(kind="count", skill="counting", text="Name the circles singly, each with its place.", tried=4, helped=3),
    StoredLesson(kind="object", text="Say the smallest thing first."),
]
SUMMED = summarizer.SummarizerState(prompt=REQUEST, checks=CHECKS, experiences=STATE.experiences[:1])
CASES = {
    "planner-skills": lambda: shown(with_schema(planner.render(REQUEST, SkillLibrary.load().catalog()), planner.Plan)),
    "planner-rewrite": lambda: shown(with_schema(planner.render(REQUEST, ""), planner.Plan)),
    "decomposer": lambda: shown(with_schema(decomposer.render(REQUEST), decomposer.Checks)),
    "verifier": lambda: shown(with_schema(verifier.render(CHECKS, STATE.attempts[0].image, read), verifier.Findings)),
    "summarizer": lambda: shown(with_schema(summarizer.render(SUMMED, STATE.attempts[1], read), summarizer.Lesson)),
    "refiner": lambda: shown(with_schema(refined("default"), refiner.Refinement)),
    "refiner-edit": lambda: shown(
        with_schema(
            refiner.render(EDITED, RunContext(), SkillLibrary.load(), read, may_edit=True, limit=512, cut="and a hat"),
            refiner.EditRefinement,
        )
    ),
    "refiner-fused": lambda: shown(
        with_schema(refiner.render(STATE, RunContext(fuse=True), SkillLibrary.load(), read), refiner.FusedRefinement)
    ),
    "refiner-lessons": lambda: shown(refiner.render(STATE, RunContext(), SkillLibrary.load(), read, lessons=LESSONS)[1:]),
    "planner-lessons": lambda: shown(planner.render(REQUEST, "", lessons=LESSONS)[1:]),
    "learner": lambda: shown(with_schema(learner.render(latest_improvements(LEARNED), ["counting"]), learner.LearnedLessons)),
    **{f"recall-{p}": lambda p=p: shown(refined(p)[1:]) for p in ("none", "last", "feedback", "images", "thoughts", "experiences")},
    "tools": lambda: json.dumps([convert_to_openai_tool(t) for t in skill_tools(SkillLibrary.load())], indent=1) + "\n",
}


@pytest.mark.parametrize("name", CASES)
def test_what_the_models_are_shown_is_as_recorded(name):
    file, text = GOLDEN / f"{name}.txt", CASES[name]()
    if os.environ.get("GEMS_WRITE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def test_the_verifier_is_shown_neither_the_request_nor_the_expected_answers():
    text = CASES["verifier"]()
    assert "HELLO" not in text
    assert "wanted" not in text
    assert "three" not in text


def test_the_refiner_sees_only_the_best_and_the_latest_image_by_default():
    assert CASES["refiner"]().count("[image:") == 2
    assert CASES["recall-images"]().count("[image:") == 3
    assert CASES["recall-feedback"]().count("[image:") == 0


@pytest.mark.parametrize(
    ("policy", "seen", "unseen"),
    [
        ("none", ["prompt 3"], ["prompt 2", "FAILED", "Lesson", "thought"]),
        ("last", ["prompt 3", "UNKNOWN"], ["prompt 2", "Lesson", "thought"]),
        ("feedback", ["prompt 1", "prompt 3", "FAILED"], ["Lesson", "thought"]),
        ("thoughts", ["thought 1", "thought 3"], ["Lesson"]),
        ("experiences", ["Lesson one.", "Lesson two."], ["thought"]),
    ],
)
def test_recall_shows_what_its_table_says(policy, seen, unseen):
    text = shown(refined(policy)[1:])
    for word in seen:
        assert word in text
    for word in unseen:
        assert word not in text

"""What the embedded chat model learns from layouts, and that it follows lessons by their words and nothing else."""

import json

import pytest

from gems.memory.evidence import latest_improvements
from gems.memory.lessons import StoredLesson
from gems.models.shapes import roles
from gems.models.shapes.layout_preferences import LAYOUT_TRAITS, OWN_PLACE, describe_change, gives_places, preferences_in
from gems.models.shapes.world import CELLS
from gems.nodes import learner
from gems.nodes.lesson_prompts import lessons_block

from ...nodes.test_learner import PLACED, PLAIN
from ...nodes.test_learner import borne_out as run_of
from .test_chat import asks, text

CORNERS, ROOM, HEIGHT = LAYOUT_TRAITS
REQUEST = "two red circles, a blue square and a green star"
NONSENSE = ["Believe in the picture.", "Use the cutting edge, and corner the market.", "Never draw a cat in the upper deck."]


def cells(prompt):
    return set(roles.placed_in(prompt))


def edges(prompt):
    return sum(CELLS[cell] in ("top", "left", "right", "bottom") for cell in cells(prompt))


@pytest.mark.parametrize(
    ("before", "after", "lesson"),
    [
        ([], [0, 4], OWN_PLACE),
        ([1, 3], [0, 8], CORNERS.less),
        ([0, 8], [1, 3], CORNERS.more),
        ([0, 4], [0, 4], ""),
        ([0, 4], [], ""),
        ([6, 8], [0, 2], HEIGHT.less),
    ],
)
def test_it_says_in_what_a_layout_differs_from_the_one_before(before, after, lesson):
    assert describe_change(before, after) == lesson


def test_every_lesson_that_it_writes_it_can_follow_in_both_directions():
    for trait in LAYOUT_TRAITS:
        (less,), (more,) = preferences_in([trait.less]), preferences_in([trait.more])
        assert (less.trait, less.sign) == (trait, 1)
        assert (more.trait, more.sign) == (trait, -1)
    assert gives_places(OWN_PLACE)
    assert preferences_in([OWN_PLACE]) == []


def test_it_follows_the_same_advice_in_other_words():
    assert preferences_in(["Objects belong into the corners."])[0] == preferences_in([CORNERS.less])[0]
    assert gives_places("State for each object a place.")


def test_of_contradicting_lessons_the_first_counts():
    assert [h.sign for h in preferences_in([CORNERS.more, CORNERS.less])] == [-1]


@pytest.mark.parametrize("lesson", NONSENSE)
def test_nonsense_has_no_effect(lesson):
    for number in ("two", "three", "four", "five", "six"):
        request = f"{number} red circles"
        memory = [roles.ShownAttempt(request, True, "", None)]
        assert roles.plan(request, [], [lesson]) == roles.plan(request, [])
        assert roles.plan(request, ["counting"], [lesson]) == roles.plan(request, ["counting"])
        assert roles.refinement(request, memory, [lesson]) == roles.refinement(request, memory)


def test_planner_and_refiner_lay_out_as_a_lesson_says():
    memory = [roles.ShownAttempt(REQUEST, True, "", None)]
    for lesson, most in ((CORNERS.less, 0), (CORNERS.more, 4)):
        assert edges(roles.plan(REQUEST, ["counting"], [lesson])["prompt"]) == most
        assert edges(roles.refinement(REQUEST, memory, [lesson])["prompt"]) == most


def test_what_came_out_right_is_kept_whatever_a_lesson_says():
    notes = "Laid out in 4 places. Wrong places: at the left (wanted x, seen y). Right places: at the top."
    prompt = "a red circle at the top, a red circle in the center, a blue square at the right, a green star at the left"
    refined = roles.refinement(REQUEST, [roles.ShownAttempt(prompt, True, notes, None)], [CORNERS.less])["prompt"]
    assert {1, 4, 5} < cells(refined)
    assert cells(refined) - {1, 4, 5} < {0, 2, 6, 8}


def test_it_answers_the_learner_from_the_prompts_it_is_shown():
    messages = learner.render(latest_improvements(run_of()), ["counting"])
    (lesson,) = asks("LearnedLessons", text(messages[-1].text))["lessons"]
    assert lesson == {"kind": "count", "skill": "counting", "text": OWN_PLACE}
    swapped = messages[-1].text.replace(PLACED, "!").replace(PLAIN, PLACED).replace("!", PLAIN)
    assert asks("LearnedLessons", text(swapped)) == {"lessons": []}


def test_it_reads_the_lessons_in_the_message_and_only_there():
    plan = {"type": "text", "text": f"<request>\n{REQUEST}\n</request>"}
    plain = asks("Plan", plan)["prompt"]
    (lessons,) = lessons_block([StoredLesson(kind="count", text=CORNERS.less, tried=2, helped=1)])
    assert cells(plain) == set()
    assert cells(asks("Plan", plan, text(lessons))["prompt"]) <= {0, 2, 4, 6, 8}
    assert asks("Plan", plan, text(lessons.replace("lessons>", "other>")))["prompt"] == plain
    assert json.dumps(plain)

import random

import pytest

from gems.models.shapes.answers import ShapesAnswer, answer, matches_expected
from gems.models.shapes.grammar import parse_request
from gems.models.shapes.language import describe_spec, list_things_with_cells
from gems.models.shapes.perception import PerceivedThing, perceive
from gems.models.shapes.questions import ShapesQuestion, questions_about
from gems.models.shapes.world import DrawnThing, center_of, draw, sample_scene


def put(shape, color, cell):
    return DrawnThing(shape, color, cell, *center_of(cell), 13.5)


SCENE = [put("circle", "red", 0), put("circle", "red", 1), put("circle", "orange", 2), put("square", "blue", 7)]


@pytest.fixture(scope="module")
def seen():
    return perceive(draw(SCENE))


def test_questions_of_a_request():
    assert questions_about(parse_request("three red circles above a blue square")) == [
        ShapesQuestion("object", "Is there a circle in the image?", "yes"),
        ShapesQuestion("count", "How many circles are in the image?", "three", (0,)),
        ShapesQuestion("attribute", "Are all the circles red?", "yes", (0,)),
        ShapesQuestion("object", "Is there a square in the image?", "yes"),
        ShapesQuestion("count", "How many squares are in the image?", "one", (3,)),
        ShapesQuestion("attribute", "Is the square blue?", "yes", (3,)),
        ShapesQuestion("relation", "Are all the red circles above the blue square?", "yes", (0, 2, 3, 5)),
    ]


def test_one_shape_in_two_colours_is_told_apart_by_colour():
    made = questions_about(parse_request("an orange circle and two blue circles"))
    assert [(q.text, q.expected) for q in made] == [
        ("Is there an orange circle in the image?", "yes"),
        ("How many orange circles are in the image?", "one"),
        ("Is there a blue circle in the image?", "yes"),
        ("How many blue circles are in the image?", "two"),
        ("How many circles are in the image?", "three"),
    ]


def test_a_group_without_a_colour_counts_every_thing_of_its_shape():
    made = questions_about(parse_request("a circle and a red circle"))
    assert ("How many circles are in the image?", "two") in [(q.text, q.expected) for q in made]
    assert ("How many red circles are in the image?", "one") in [(q.text, q.expected) for q in made]


def test_places_are_asked():
    made = questions_about(parse_request("a red circle at the top left, a red circle at the bottom, two stars on the right"))
    assert [q.text for q in made if q.kind == "relation"] == [
        "Is there a red circle at the top left of the image?",
        "Is there a red circle at the bottom of the image?",
        "Are all the stars at the right of the image?",
    ]


def test_questions_of_drawn_scenes_are_answered_as_expected():
    for seed in range(60):
        scene = sample_scene(random.Random(seed))
        seen = perceive(draw(scene.things))
        for request in (describe_spec(scene.spec), list_things_with_cells(scene.things)):
            for question in questions_about(parse_request(request)):
                assert matches_expected(answer(question.text, seen), question.expected) is True, (request, question)


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("Is there a circle in the image?", "yes"),
        ("Is there at least one red circle?", "yes"),
        ("Are there any circles?", "yes"),
        ("Is there a star in the image?", "no"),
        ("Can you see a purple star?", "no"),
        ("Does the image contain a blue square?", "yes"),
        ("Is there a red circle and a blue square?", "yes"),
        ("Are there two red circles and three blue squares?", "no"),
        ("Are there no stars?", "yes"),
        ("How many red circles are in the image?", "two"),
        ("How many circles are there?", "three"),
        ("How many stars can you see?", "zero"),
        ("How many things are there?", "four"),
        ("How many of the circles are red?", "two"),
        ("How many circles are above the blue square?", "three"),
        ("What is the number of red circles?", "two"),
        ("Is the number of red circles three?", "no"),
        ("Is the number of circles equal to 3?", "yes"),
        ("Are there exactly three red circles?", "no"),
        ("Are there exactly 3 circles?", "yes"),
        ("Are there three circles?", "yes"),
        ("Are there two circles?", "no"),
        ("Are there more than two circles?", "yes"),
        ("Are there fewer than three circles?", "no"),
        ("Is there only one square?", "yes"),
        ("Are all the circles red?", "no"),
        ("Are the circles all red?", "no"),
        ("Is the square blue?", "yes"),
        ("Is the color of the square blue?", "yes"),
        ("Is every square blue?", "yes"),
        ("Is the blue shape a square?", "yes"),
        ("What color is the square?", "blue"),
        ("What colour are the circles?", "red and orange"),
        ("What shape is the blue thing?", "square"),
        ("Are all the red circles above the blue square?", "yes"),
        ("Are both red circles above the square?", "yes"),
        ("Is the orange circle to the right of the red circles?", "yes"),
        ("Is the red circle to the left of the blue square?", "no"),
        ("Is the blue square directly under the three circles?", "yes"),
        ("Is there a red circle above a blue square?", "yes"),
        ("Is the circle to the left of the orange circle?", "yes"),
        ("Is the blue square at the bottom of the image?", "yes"),
        ("Is the orange circle in the top right corner of the picture?", "yes"),
        ("Are all the circles at the top of the image?", "yes"),
        ("Is the orange circle at the top of the image?", "no"),
        ("Is the orange circle in the top row?", "yes"),
        ("Are there two red circles at the top of the image?", "yes"),
        ("Where is the blue square?", "at the bottom"),
    ],
)
def test_answers_come_from_what_is_seen(seen, question, text):
    given = answer(question, seen)
    assert (given.text, given.known) == (text, True)
    assert given.reason


@pytest.mark.parametrize(
    "question", ["Is the star red?", "Is the star above the square?", "Is the square above the star?", "Is the star at the top?"]
)
def test_what_is_said_of_absent_things_is_not_so(seen, question):
    given = answer(question, seen)
    assert (given.text, given.known) == ("no", True)
    assert "I see no star" in given.reason


def test_a_number_that_does_not_hold_makes_the_statement_false(seen):
    assert answer("Are the three red circles above the square?", seen).text == "no"


@pytest.mark.parametrize(
    "question",
    [
        "Is the circle shiny?",
        "Is there a dog?",
        "Is the image beautiful?",
        "Is the red circle above the red circle?",
        'Does the sign say "circle"?',
        "Is the square above the circle and blue?",
        "How many colors are there?",
        "",
    ],
)
def test_what_is_not_understood_stays_unknown(seen, question):
    given = answer(question, seen)
    assert not given.known
    assert matches_expected(given, "yes") is None
    assert "do not understand" in given.reason


def test_reasons_say_what_was_seen(seen):
    assert answer("Are all the circles red?", seen).reason == "I see two red circles and one orange circle"
    assert answer("Is the red circle to the left of the square?", seen).reason == (
        "the red circle at the top is not to the left of the blue square at the bottom"
    )
    assert answer("Is there a star?", []).reason == "I see nothing"


def test_a_side_needs_a_margin():
    def at(color, shape, y):
        return PerceivedThing(shape, color, 64, y, 26, 26, 500, 1.0)

    assert answer("Is the circle above the star?", [at("red", "circle", 60), at("red", "star", 65)]).text == "no"
    assert answer("Is the circle above the star?", [at("red", "circle", 57), at("red", "star", 65)]).text == "yes"


def test_what_cannot_be_made_out_is_not_counted_but_told():
    blob = PerceivedThing("circle", "red", 64, 64, 20, 30, 400, 0.05)
    given = answer("How many circles are there?", [blob, PerceivedThing("circle", "red", 24, 24, 26, 26, 500, 0.9)])
    assert given.text == "one"
    assert given.reason == "I see one red circle, and one more that I cannot make out"


def test_numbers_agree_in_words_and_digits():
    assert matches_expected(ShapesAnswer("three", True, ""), "3")
    assert matches_expected(ShapesAnswer("zero", True, ""), "0")
    assert matches_expected(ShapesAnswer("yes", True, ""), "Yes")
    assert matches_expected(ShapesAnswer("yes", True, ""), "no") is False

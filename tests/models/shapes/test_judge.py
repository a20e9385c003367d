"""The embedded chat model as a judge: every kind of question that benchmarks ask, answered from the pixels."""

import base64
import io
import json

import pytest
from langchain_core.messages import HumanMessage, SystemMessage

from gems import GemsError
from gems.models.chat.ask import ask
from gems.models.shapes import shapes_chat
from gems.models.shapes.world import DrawnThing, center_of, draw
from gems.nodes.verifier import Findings

SCENE = (("circle", "red", 0), ("circle", "red", 2), ("square", "blue", 7))
"""Two red circles at the top left and the top right, a blue square at the bottom."""


def picture(*things):
    buffer = io.BytesIO()
    draw([DrawnThing(shape, color, cell, *center_of(cell), 14.0) for shape, color, cell in things]).save(buffer, "PNG")
    return {"type": "image", "base64": base64.b64encode(buffer.getvalue()).decode(), "mime_type": "image/png"}


def says(text, things=SCENE, **options):
    words = {"type": "text", "text": text}
    return shapes_chat().bind(**options).invoke([SystemMessage("Judge."), HumanMessage([picture(*things), words])])


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("How many red circles are in the image? Answer in one word.", "two"),
        ("Is the square blue? Answer in one word.", "yes"),
        ("Are the circles above the square? Answer yes or no.", "yes"),
        ("Are the circles below the square? Answer with yes or no only.", "no"),
        ("Is there a star?\nPlease answer 'Yes' or 'No' only.", "no"),
        ("What color is the square? Answer in a single word.", "blue"),
        ("Is it pretty? Answer yes or no.", "unknown"),
        ("图中有圆吗？Answer yes or no.", "unknown"),
    ],
)
def test_one_question(question, said):
    assert says(question).text == said


def test_it_goes_by_the_pixels():
    question = "How many red circles are in the image? Answer in one word."
    assert [says(question, SCENE[:n]).text for n in (0, 1, 2)] == ["zero", "one", "two"]


CHOICES = """\
Answer the multiple-choice questions about the image. Choose the option that says None where nothing fits.

1. How many circles are there? Options: A: One, B: Two circles, C: 3, D: Four, E: None
2. What color is the square? Options: A: Red, B: Green, C: Blue, D: Yellow, E: None
3. Where is the square? Options: A: At the top, B: In the bottom left corner, C: At the bottom of the image, D: Middle, E: None
4. How do the red circles lie relative to the blue square? Options: A: Below, B: To the left, C: Above, D: To the right, E: None
5. Which is true?
A. The square is red.
B. There are three circles.
C. The square is below the circles.
D. There is a star.
E. None of these
6. Is there a triangle? Options: A: Yes, B: No, E: None
7. What are the circles doing? Options: A: Rolling, B: Resting, C: Flying, D: Falling, E: None
8. Where is the star? Options: A: Left, B: None, C: Right, D: Top, E: Bottom
9. Which shape is there? Options: A: star, B: triangle, C: square, D: diamond, E: None
10. Where are the circles? Options: A: below the square, B: to the left of the square, C: above the square, D: inside it, E: None

Answer with lines, the letter (A, B, C, D or E) of one option each, such as `3. B`. Write nothing else."""


def test_several_questions_with_options_get_a_letter_each():
    said = says(CHOICES).text.splitlines()
    assert said == ["1. B", "2. C", "3. C", "4. C", "5. C", "6. B", "7. E", "8. B", "9. C", "10. C"]


def test_one_question_with_options_gets_its_letter():
    asked = "Answer with one letter (A, B or C).\nHow many squares are there?\nA) two\nB) one\nC) none of these"
    assert says(asked).text == "B"


MARKS = 'Prompt: {}\n\nGive marks.\nAnswer with one JSON object: {{"consistency": 0-2, "realism": 0-2, "aesthetic": 1-5}}'


@pytest.mark.parametrize(
    ("request_", "mark"),
    [("two red circles above a blue square", 2), ("three red circles above a blue square", 0), ("a blue square", 2)],
)
def test_marks_go_by_the_request_and_it_has_no_taste(request_, mark):
    assert json.loads(says(MARKS.format(request_)).text) == {"consistency": mark, "realism": 0, "aesthetic": 1}


def test_a_mark_alone_is_one_for_consistency():
    asked = 'Does the image show "a blue square below two red circles"? Answer with one JSON object: {"score": 0-1}'
    assert json.loads(says(asked).text) == {"score": 1}
    assert json.loads(says(asked, SCENE[:1]).text) == {"score": 0}


def test_marks_without_consistency_are_the_lowest_whatever_was_drawn():
    asked = 'How creative is it? Answer with one JSON object: {"originality": 1-5, "interpretability": 1 to 5}'
    assert json.loads(says(asked).text) == {"originality": 1, "interpretability": 1}


def test_marks_for_a_request_outside_its_world_are_an_error():
    with pytest.raises(GemsError, match='cannot draw "dragon"'):
        says(MARKS.format("a green dragon"))


@pytest.mark.parametrize(
    "asked",
    [
        "Write down all the text that can be read in this image, and nothing else.",
        "Copy out the text that is written in this image.",
        "Recognize the text in the image.",
        "请识别图中的文字。",
    ],
)
def test_it_reads_no_text(asked):
    assert says(asked).text == ""


@pytest.mark.parametrize("asked", ["Hello, how are you?", "Describe the image.", "Is it pretty?"])
def test_anything_else_is_not_answered(asked):
    with pytest.raises(GemsError, match="cannot converse"):
        says(asked)


def test_a_question_without_a_picture_is_not_answered():
    with pytest.raises(GemsError, match="cannot converse"):
        shapes_chat().invoke("Is there a star? Answer yes or no.")


def test_one_word_comes_with_log_probabilities_where_they_are_wanted():
    question = "Is there a circle? Answer yes or no."
    assert says(question).response_metadata == {}
    token = {"token": "yes", "logprob": 0.0, "bytes": [121, 101, 115]}
    found = says(question, logprobs=True, top_logprobs=20).response_metadata["logprobs"]
    assert found == {"content": [{**token, "top_logprobs": [token]}]}
    assert "logprobs" not in says(CHOICES, logprobs=True, top_logprobs=20).response_metadata


def test_an_answer_is_no_longer_than_it_may_be():
    said = says("Where is the square? Answer in one word.", max_tokens=1)
    assert (said.text, said.response_metadata["finish_reason"]) == ("at", "length")
    assert says("Is there a circle? Answer yes or no.", max_tokens=1).response_metadata == {}


def test_the_roles_are_played_without_log_probabilities():
    asked = [
        SystemMessage("You examine an image."),
        HumanMessage(
            [picture(*SCENE), {"type": "text", "text": "<questions>\nc1. Is there a star? Answer yes or no.\n</questions>"}]
        ),
    ]
    sure, plain = (ask(shapes_chat(), asked, Findings, role="verifier", logprobs=wanted) for wanted in (True, False))
    assert sure.tokens == ()
    assert (sure.text, sure.value) == (plain.text, plain.value)
    assert sure.spent._replace(seconds=0) == plain.spent._replace(seconds=0)

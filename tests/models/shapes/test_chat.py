"""The embedded chat model as an ordinary chat model: it reads what it is sent and nothing else."""

import base64
import io
import json

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from gems import GemsError
from gems.models.shapes import roles, shapes_chat
from gems.models.shapes.grammar import parse_request
from gems.models.shapes.world import DrawnThing, center_of, draw
from gems.skills import SkillLibrary, skill_tools


def asks(schema, *content):
    chat = shapes_chat().bind(response_format={"type": "json_schema", "json_schema": {"name": schema, "schema": {}}})
    return json.loads(chat.invoke([SystemMessage("rules"), HumanMessage(list(content))]).text)


def text(words):
    return {"type": "text", "text": words}


def picture(*things):
    drawn = [DrawnThing(shape, color, cell, *center_of(cell), 14.0) for shape, color, cell in things]
    buffer = io.BytesIO()
    draw(drawn).save(buffer, "PNG")
    return {"type": "image", "base64": base64.b64encode(buffer.getvalue()).decode(), "mime_type": "image/png"}


def test_it_loads_the_skills_a_request_calls_for_and_then_lays_it_out():
    tools = skill_tools(SkillLibrary.load())
    chat = shapes_chat().bind_tools(tools)
    asked = [SystemMessage("plan"), HumanMessage("<request>\nthree red circles above a blue square\n</request>")]
    first = chat.invoke(asked)
    assert [c["args"]["name"] for c in first.tool_calls] == ["counting", "spatial-layout"]
    told = [tools[0].invoke({**c, "type": "tool_call"}) for c in first.tool_calls]
    prompt = json.loads(chat.invoke([*asked, first, *told]).text)["prompt"]
    parsed = parse_request(prompt)
    assert [g.color for g in parsed.groups] == ["red", "red", "red", "blue"]
    assert None not in parsed.places


@pytest.mark.parametrize(
    ("request_", "skills"), [("a red circle", []), ("two stars", ["counting"]), ("a star above a circle", ["spatial-layout"])]
)
def test_it_loads_no_more_than_that(request_, skills):
    chat = shapes_chat().bind_tools(skill_tools(SkillLibrary.load()))
    said = chat.invoke([HumanMessage(f"<request>\n{request_}\n</request>")])
    assert [c["args"]["name"] for c in said.tool_calls] == skills
    if not skills:
        assert json.loads(said.text)["prompt"] == request_


def test_it_answers_from_the_picture_alone():
    questions = text("<questions>\nc1. How many circles are there?\nc2. Is the circle red?\nc3. Is it pretty?\n</questions>")
    seen = asks("Findings", picture(("circle", "blue", 0), ("star", "red", 4)), questions)["findings"]
    assert [f["answer"] for f in seen] == ["one", "no", "unknown"]
    assert "blue circle" in seen[1]["reason"]
    other = asks("Findings", picture(("circle", "red", 0), ("circle", "red", 1)), questions)["findings"]
    assert [f["answer"] for f in other][:2] == ["two", "yes"]


def test_a_request_outside_its_world_is_said_plainly():
    with pytest.raises(GemsError, match=r'shapes world draws .* cannot draw "dragon"; .*--chat and --image'):
        asks("Checks", text("<request>\na green dragon\n</request>"))


def test_it_does_not_converse():
    with pytest.raises(GemsError, match="cannot converse"):
        shapes_chat().invoke("Hello, how are you?")


def test_a_picture_it_cannot_open_is_a_clear_error():
    with pytest.raises(GemsError, match="cannot open"):
        asks("Findings", {"type": "image", "base64": "AAAA", "mime_type": "image/png"}, text("<questions>\nc1. Why?\n</questions>"))
    with pytest.raises(GemsError, match="sent none"):
        asks("Findings", text("<questions>\nc1. Why?\n</questions>"))


def test_it_counts_tokens():
    used = (
        shapes_chat()
        .bind_tools(skill_tools(SkillLibrary.load()))
        .invoke([HumanMessage("<request>\na star\n</request>")])
        .usage_metadata
    )
    assert used["input_tokens"] == 4
    assert used["total_tokens"] == used["input_tokens"] + used["output_tokens"] > 4


REQUEST = "two red circles above a blue square"
LAYOUT = "a red circle at the top left, a red circle at the top, a blue square at the bottom"


def attempt(prompt, *, best=False, experience="", image=None):
    mark = ' best="true"' if best else ""
    parts = [text(f'<attempt round="1"{mark}>\n<prompt>\n{prompt}\n</prompt>')]
    if experience:
        parts[0]["text"] += f"\n<experience>\n{experience}\n</experience>"
    return [*parts, *([image] if image else []), text("</attempt>")]


def refined(*parts):
    prompt = asks("Refinement", text(f"<request>\n{REQUEST}\n</request>"), *parts)["prompt"]
    parsed = parse_request(REQUEST)
    assert roles.cells_of(parsed, prompt) is not None, "the next prompt is a layout of the request"
    return roles.cells_of(parsed, prompt)


def test_the_refiner_turns_words_into_a_layout():
    refined(text(f"<current_prompt>\n{REQUEST}\n</current_prompt>"))


def test_the_refiner_does_not_repeat_a_layout_it_is_shown():
    shown = attempt(LAYOUT, best=True)
    tried = roles.cells_of(parse_request(REQUEST), LAYOUT)
    seen = [refined(*shown)]
    assert seen[0] != tried


def test_it_goes_on_from_the_best_attempt_and_not_from_the_latest():
    good = picture(("circle", "red", 0), ("circle", "red", 1), ("star", "blue", 7))
    other = "a red circle at the left, a red circle in the center, a blue square at the bottom right"
    latest = picture(("star", "green", 3), ("star", "green", 4), ("star", "green", 8))
    cells = refined(*attempt(LAYOUT, best=True, image=good), *attempt(other, image=latest))
    assert {0, 1} < set(cells)  # the circles stay where the best image has them
    swapped = refined(*attempt(LAYOUT, image=good), *attempt(other, best=True, image=latest))
    assert not {0, 1} <= set(swapped)


def test_from_the_picture_it_keeps_what_came_out_right_and_moves_the_rest():
    image = picture(("circle", "red", 0), ("star", "red", 1), ("square", "blue", 7))
    cells = refined(*attempt(LAYOUT, best=True, image=image))
    assert cells[0] == 0
    assert cells[2] == 7
    assert cells[1] not in (0, 1, 7)


def test_from_an_experience_it_knows_the_same_without_the_picture():
    image = picture(("circle", "red", 0), ("star", "red", 1), ("square", "blue", 7))
    ask = text(
        f"<request>\n{REQUEST}\n</request>\n<prompt>\n{LAYOUT}\n</prompt>\n<findings>\nFAILED: How many circles?\n</findings>"
    )
    told = asks("Lesson", ask, image)["experience"]
    assert "at the top (wanted red circle, seen red star)" in told
    assert len(told.split()) <= 100
    cells = refined(*attempt(LAYOUT, best=True, experience=told))
    assert (cells[0], cells[2]) == (0, 7)
    assert cells[1] != 1


def test_it_understands_pictures_in_the_form_of_openai():
    block = picture(("circle", "red", 0))
    url = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{block['base64']}"}}
    assert asks("Findings", url, text("<questions>\nc1. Is there a circle?\n</questions>"))["findings"][0]["answer"] == "yes"


def test_its_answers_are_messages_with_no_surprises():
    message = shapes_chat().bind(response_format={"json_schema": {"name": "Checks"}}).invoke("<request>\na star\n</request>")
    assert isinstance(message, AIMessage)
    assert json.loads(message.text)["checks"][0]["kind"] == "object"

"""What servers refuse: each row of the table, as a role, a judge, the planner and an image model meet it, over real HTTP."""

import base64
import io
import json
from pathlib import Path

import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from langgraph.runtime import Runtime
from PIL import Image
from pydantic import BaseModel

from gems.context import RunContext
from gems.errors import ModelCallError
from gems.evaluation.benchmarks.base import JudgeQuestion
from gems.evaluation.judges.registry import judge_of
from gems.models.chat.ask import ask
from gems.models.image.base import ImageRequest
from gems.models.negotiation import OPTIONAL, Negotiation, call_adapting, parse_error
from gems.models.options import ChatOptions, ImageOptions
from gems.models.registry import chat_model, image_model
from gems.nodes.planner import PlannerState, planner
from gems.skills import SkillLibrary

from ..faulty_server import Reply, chat_reply, likely, refusal, with_logprobs


class Color(BaseModel):
    name: str


ROWS = {part.name: part for part in OPTIONAL}
HELLO = [SystemMessage("Name a colour."), HumanMessage("Go.")]
OPTIONS = {"retries": 0, "timeout": 5, "temperature": 0.5, "max_tokens": 99}
QUICK = {"retry-after-ms": "1"}

REFUSALS = [
    ("logprobs", 403, {"error": {"message": "You are not allowed to request logprobs from this model"}}),
    ("logprobs", 400, {"error": {"message": "Unsupported parameter", "param": "logprobs"}}),
    ("schema", 400, {"error": "'response_format.type' must be 'json_schema' or 'text'"}),
    ("schema", 422, {"error": "Input validation error: grammar is not valid: $defs", "error_type": "validation"}),
    ("schema", 400, {"code": 20024, "message": "Json mode is not supported for this model.", "data": None}),
    ("schema", 400, [{"error": {"code": 400, "message": "Unknown name \"$defs\" at 'generation_config.response_schema'"}}]),
    ("schema", 500, {"detail": [{"loc": ["body", "response_format", "type"], "msg": "Input should be 'text'"}]}),
    ("temperature", 400, {"error": {"message": "Unsupported value: 'temperature' does not support 0.5 with this model."}}),
    ("temperature", 400, {"error": "Unsupported parameter: temperature; see our schema, and the guide to log probabilities"}),
    (
        "max_tokens",
        400,
        {"error": {"message": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", "param": "max_tokens"}},
    ),
    ("system", 400, {"object": "error", "message": "System role not supported", "code": 400}),
]
IMAGE_REFUSALS = [
    ("seed", 400, {"error": {"message": "The model does not support the parameter `seed`.", "param": "seed"}}),
    ("seed", 400, {"error": {"message": "Invalid parameter: seed", "param": "seed", "code": "InvalidParameter"}}),
    ("seed", 422, {"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}),
    ("negative_prompt", 500, {"error": "unexpected keyword argument 'negative_prompt'"}),
    (
        "response_format",
        400,
        {"error": {"message": "Invalid value: 'b64_json'. Supported values are: 'url'.", "param": "response_format"}},
    ),
    ("output_format", 404, {"message": "output_format is not available"}),
]
TOOLS = [
    (400, {"error": {"message": "deepseek-reasoner does not support Function Calling"}}),
    (500, {"error": {"code": 500, "message": "tools param requires --jinja flag", "type": "server_error"}}),
    (404, {"error": {"message": "No endpoints found that support tool use."}}),
]


def is_in(part, request):
    """Whether a request has the part."""
    if part == "system":
        return request["messages"][0]["role"] == "system"
    return {"schema": "response_format"}.get(part, part) in request


def refusing(part, status, body, reply):
    return lambda heard: Reply(body, status, headers=QUICK) if heard.data and is_in(part, heard.json) else reply


def png():
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_every_row_is_met_by_someone():
    assert {part for part, _, _ in [*REFUSALS, *IMAGE_REFUSALS]} | {"tools"} == set(ROWS)


def test_the_documentation_has_every_row():
    text = (Path(__file__).parents[2] / "docs" / "backends.md").read_text()
    assert [f"| `{part.name}` | {part.instead} |" for part in OPTIONAL if f"| `{part.name}` | {part.instead} |" not in text] == []


@pytest.mark.parametrize(("part", "status", "body"), REFUSALS)
def test_a_role_does_without_what_is_refused_from_then_on_and_says_so_once(server, part, status, body):
    good = with_logprobs(chat_reply('{"name": "red"}'), likely('{"name": "red"}', **{'{"name": "red"}': 0.5, "{": 0.5}))
    server.replies = [refusing(part, status, body, good)]
    chat = chat_model(ChatOptions(model=f"{server.url}#m", **OPTIONS))
    answers = [ask(chat, HELLO, Color, role="painter", logprobs=True) for _ in range(2)]
    requests = [heard.json for heard in server.heard]
    assert [is_in(part, request) for request in requests] == [True, False, False]
    assert all(is_in(name, requests[-1]) for name, _, _ in REFUSALS if name != part)  # and nothing else is left out
    note = ROWS[part].note.replace("{who}", f"m at {server.url[7:-3]}")
    assert [answer.notes for answer in answers] == [(note,)] * 2
    assert answers[-1].value.name == "red"
    if part == "system":
        assert requests[-1]["messages"][0]["content"].startswith("Name a colour.")
    if part == "max_tokens":
        assert requests[-1]["max_completion_tokens"] == 99


@pytest.mark.parametrize(("part", "status", "body"), [row for row in REFUSALS if row[0] not in ("schema", "logprobs")])
def test_a_judge_does_without_what_is_refused_from_then_on_and_says_so_once(server, part, status, body):
    server.replies = [refusing(part, status, body, chat_reply("Yes"))]
    judge = judge_of(ChatOptions(model=f"{server.url}#m", retries=0, timeout=5))
    answers = [judge.ask(JudgeQuestion(key="q", text="Is it black?"), png()) for _ in range(2)]
    assert [answer.text for answer in answers] == ["Yes", "Yes"]
    assert [is_in(part, heard.json) for heard in server.heard] == [True, False, False]
    assert judge.remarks == [ROWS[part].note.replace("{who}", "m")]
    if part == "system":
        text, image, _ = server.heard[-1].json["messages"][0]["content"]
        assert (text["text"][:22], image["type"]) == ("You are a careful judg", "image_url")


@pytest.mark.parametrize(("part", "status", "body"), IMAGE_REFUSALS)
def test_an_image_model_does_without_what_is_refused_from_then_on_and_says_so_once(server, part, status, body):
    drawn = Reply({"data": [{"b64_json": base64.b64encode(png()).decode()}]})
    server.replies = [refusing(part, status, body, drawn)]
    options = ImageOptions(model=f"{server.url}#m", provider="sglang", retries=0, timeout=5)
    request = ImageRequest(prompt="a seed", negative_prompt="dogs", seed=7)
    for _ in range(2):  # what is known holds for another object too
        model = image_model(options)
        assert model.generate([request])[0].size == (8, 8)
    requests = [heard.json for heard in server.heard if heard.data]
    assert [part in sent for sent in requests] == [True, False, False]
    assert all(name in requests[-1] for name, _, _ in IMAGE_REFUSALS if name != part)
    assert model.caveats(request) == [ROWS[part].note.replace("{who}", "sglang")]


@pytest.mark.parametrize(("status", "body"), TOOLS)
def test_without_tools_the_planner_draws_the_request_and_says_so(server, status, body):
    server.replies = [Reply(body, status, headers=QUICK)]
    chat = chat_model(ChatOptions(model=f"{server.url}#m", retries=0, timeout=5))
    update = planner(chat, SkillLibrary.load())(PlannerState(prompt="three cats"), Runtime(context=RunContext()))
    assert update["draft"] == "three cats"
    assert any("supports no tool calls" in note for note in update["notes"])
    assert sum(heard.method == "POST" for heard in server.heard) == 1


@pytest.mark.parametrize(
    ("said", "status", "heard"),
    [
        ("context too long", 400, [True, True]),
        ("this model takes no temperature", 429, [True, True]),
        ("filtered by our content policy: a temperature", 400, [True, True]),
        ("the temperature of the GPU is too high", 500, [True, False, True, False]),  # not remembered: it did not help
    ],
)
def test_what_names_no_part_or_is_not_cured_without_it_is_an_error(server, said, status, heard):
    server.replies = [refusal(said, status)]
    chat = chat_model(ChatOptions(model=f"{server.url}#m", **OPTIONS))
    for _ in range(2):
        with pytest.raises(ModelCallError, match=said) as caught:
            ask(chat, HELLO, Color, role="painter")
        assert caught.value.refused == ""
    assert [is_in("temperature", request.json) for request in server.heard] == heard


def test_a_required_part_is_reduced_and_never_left_out():
    known, sent = Negotiation(), []

    def send(granted):
        sent.append(dict(granted))
        raise ModelCallError("judge", "m", "h", "top_logprobs: at most 0", 400)

    with pytest.raises(ModelCallError) as caught:
        call_adapting(send, {"logprobs": 20, "temperature": 0.0}, known, {"logprobs"})
    assert caught.value.refused == "logprobs"
    assert [granted["logprobs"] for granted in sent] == [20, 5]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"error": {"message": "no", "code": "bad", "param": "seed"}}, "no bad seed"),
        ({"error": "no"}, "no"),
        ([{"error": {"message": "no"}}], "no"),
        ({"message": "no", "code": 7}, "no 7"),
        ({"detail": "no"}, "no"),
        ({"detail": [{"loc": ["body", "seed"], "msg": "no"}]}, "body.seed: no"),
        ("no", "no"),
        ("<html>no</html>", ""),
        (None, ""),
        ([], ""),
        ({}, ""),
    ],
)
def test_an_error_is_read_whatever_the_form_of_its_body(body, text):
    assert parse_error(body).text == text
    assert parse_error(json.loads(json.dumps(body))).text == text

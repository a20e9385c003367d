"""POST /v1/chat/completions over real HTTP: supported options reach the model, others are refused."""

import json
import logging

import openai
import pytest
from langchain_core.messages import AIMessage

from gems.memory.state import Check, ImageRef
from gems.models.chat.call import bind_schema
from gems.models.shapes import shapes_chat
from gems.nodes import verifier
from gems.nodes.verifier import Findings
from gems.skills import SkillLibrary, skill_tools

from .conftest import Scripted, data_url, png, problem

PLAN = {"name": "Plan", "schema": {"type": "object", "properties": {"prompt": {"type": "string"}}}}
ASK_PLAN = {"response_format": {"type": "json_schema", "json_schema": PLAN}}
REQUEST = "<request>\nthree red circles\n</request>"


def tool(name="look", **properties):
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": properties}}}


def a_call(name="look", **args):
    return {"name": name, "args": args, "id": f"call_{name}", "type": "tool_call"}


def test_an_answer_of_a_schema(site):
    answer = site.openai.chat.completions.create(
        model="shapes-chat", messages=[{"role": "user", "content": REQUEST}], **ASK_PLAN, temperature=0.2, seed=1, user="me"
    )
    assert json.loads(answer.choices[0].message.content) == {"prompt": "three red circles"}
    assert (answer.model, answer.choices[0].finish_reason) == ("shapes-chat", "stop")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


def test_the_verifier_sees_the_same_picture_as_in_process(site, make_sketcher):
    from langchain_openai import ChatOpenAI

    from gems.models.image.base import ImageRequest
    from gems.server.image_codec import encode_png

    picture = encode_png(make_sketcher(mistakes=0).generate([ImageRequest(prompt="two red circles", seed=1)])[0])
    checks = [Check(id="c1", kind="count", question="How many red circles are there?", expected="two")]
    messages = verifier.render(checks, ImageRef(sha256="0" * 64, width=128, height=128), lambda _: picture)
    remote = ChatOpenAI(base_url=site.url, model="shapes-chat", api_key="none")
    here, there = (bind_schema(chat, Findings).invoke(messages).text for chat in (shapes_chat(), remote))
    assert json.loads(there)["findings"][0]["answer"] == "two"
    assert here == there


def test_the_planner_calls_its_tools_and_goes_on_with_their_answers(site):
    from langchain_openai import ChatOpenAI

    tools = skill_tools(SkillLibrary.load())
    messages = [{"role": "user", "content": "<request>\nthree red stars to the left of two blue squares\n</request>"}]
    remote = ChatOpenAI(base_url=site.url, model="shapes-chat", api_key="none").bind_tools(tools)
    local = shapes_chat().bind_tools(tools)
    asked = remote.invoke(messages)
    assert asked.tool_calls == local.invoke(messages).tool_calls
    assert asked.response_metadata["finish_reason"] == "tool_calls"
    for call in asked.tool_calls:
        text = f'<skill_content name="{call["args"]["name"]}">...</skill_content>'
        messages = [
            *messages,
            *([asked] if asked not in messages else []),
            {"role": "tool", "tool_call_id": call["id"], "content": text},
        ]
    assert remote.invoke(messages).text == local.invoke(messages).text
    assert not remote.invoke(messages).tool_calls


def test_what_is_outside_the_models_world_is_told_in_its_words(site):
    error = problem(site.chat("What is the capital of France?"), 400)
    assert "cannot converse" in error["message"]
    assert error["type"] == "invalid_request_error"


def test_every_kind_of_message_reaches_the_model(serving):
    chat = Scripted(says="fine")
    site = serving(chat)
    picture = {"type": "image_url", "image_url": {"url": data_url(png()), "detail": "low"}}
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "left"}'}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "Look:"}, picture], "name": "Ada"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "a cat"}]},
        {"role": "assistant", "content": "A cat."},
        {"role": "user", "content": "And now?"},
    ]
    answer = site.openai.chat.completions.create(model="scripted", messages=messages, tools=[tool()])
    assert answer.choices[0].message.content == "fine"
    heard, options = chat.heard[0]
    assert [m.type for m in heard] == ["system", "system", "human", "ai", "tool", "ai", "human"]
    assert heard[2].content[1]["type"] == "image"
    assert heard[2].content[1]["base64"] == picture["image_url"]["url"].partition(",")[2]
    assert heard[3].tool_calls == [{"name": "look", "args": {"at": "left"}, "id": "c1", "type": "tool_call"}]
    assert (heard[4].tool_call_id, heard[4].text) == ("c1", "a cat")
    assert options["tools"] == [tool()]


def test_settings_reach_the_model_and_what_changes_nothing_is_ignored(serving):
    chat = Scripted(says="fine")
    site = serving(chat)
    harmless = {
        "user": "me",
        "metadata": {"a": "b"},
        "chat_template_kwargs": {"x": 1},
        "presence_penalty": 0,
        "logit_bias": None,
        "n": 1,
    }
    settings = {"temperature": 0, "top_p": 0.5, "seed": 3, "max_completion_tokens": 50, "response_format": {"type": "json_object"}}
    assert site.chat(**harmless, **settings, stop="X").status_code == 200
    options = chat.heard[0][1]
    assert options.pop("max_tokens") == 50
    assert options.pop("stop") == ["X"]
    assert options == {k: v for k, v in settings.items() if k != "max_completion_tokens"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, None),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"guided_json": {}}, "guided_json"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"response_format": {"type": "yaml"}}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"tool_choice": "required", "tools": [tool()]}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "look"}}, "tools": [tool()]}, "tool_choice"),
        ({"parallel_tool_calls": False, "tools": [tool()]}, "parallel_tool_calls"),
        ({"tools": [{"type": "retrieval"}]}, "tools.0.type"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"stream": True}, "stream"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "remove", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages.0.content.0"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{"}}]}]},
            "messages.0.tool_calls.0.function.arguments",
        ),
    ],
)
def test_what_the_model_cannot_do_is_refused_by_name(lab, fields, param):
    error = problem(lab.chat(**fields), 400)
    assert error["param"] == param
    assert next(iter(fields)) in error["message"]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://example.com/cat.png", "no URL is fetched"),
        ("file:///etc/passwd", "no URL is fetched"),
        ("data:text/plain;base64,aGk=", "no URL is fetched"),
        ("data:image/png;base64,!!!!", "not base64"),
        ("data:image/png;base64,aGVsbG8=", "not a picture"),
        (data_url(png(size=(4000, 4000))), "too many pixels"),
    ],
)
def test_pictures_of_no_use_are_refused(site, url, why):
    content = [{"type": "text", "text": REQUEST}, {"type": "image_url", "image_url": {"url": url}}]
    error = problem(site.chat(content, **ASK_PLAN), 400)
    assert why in error["message"]
    assert error["param"] == "messages.0.content.1.image_url.url"


def test_demands_that_a_model_passes_over_are_met_or_refused(serving):
    site = serving(
        Scripted(says=AIMessage("one two three", usage_metadata={"input_tokens": 1, "output_tokens": 3, "total_tokens": 4}))
    )
    assert site.chat(stop=["three", " two"]).json()["choices"][0]["message"]["content"] == "one"
    assert site.chat(max_tokens=3).status_code == 200
    assert "max_tokens" in problem(site.chat(max_tokens=2), 400)["message"]


def test_tool_calls_are_given_whole(serving):
    chat = Scripted(says=AIMessage("", tool_calls=[a_call(at="left"), a_call("move", by=2)]))
    choice = serving(chat).chat(tools=[tool(), tool("move")], tool_choice="auto").json()["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    calls = [call["function"] for call in choice["message"]["tool_calls"]]
    assert [(call["name"], json.loads(call["arguments"])) for call in calls] == [("look", {"at": "left"}), ("move", {"by": 2})]


def test_no_tool_is_offered_when_none_may_be_called(serving):
    chat = Scripted(says="fine")
    assert serving(chat).chat(tools=[tool()], tool_choice="none").status_code == 200
    assert "tools" not in chat.heard[0][1]


def test_a_model_that_takes_no_tools_says_so(serving):
    class Plain(Scripted):
        def bind_tools(self, tools, **kwargs):
            raise NotImplementedError

    assert "takes no tools" in problem(serving(Plain(says="x")).chat(tools=[tool()]), 400)["message"]


def test_log_probabilities_of_a_model_that_gives_them(serving):
    class Sure(Scripted):
        gives_logprobs: bool = True

    logprobs = {
        "content": [
            {"token": "yes", "logprob": -0.1, "bytes": None, "top_logprobs": [{"token": "no", "logprob": -2.0, "bytes": None}]}
        ]
    }
    chat = Sure(says=AIMessage("yes", response_metadata={"logprobs": logprobs}))
    site = serving(chat)
    asked = {"model": "scripted", "messages": [{"role": "user", "content": "?"}], "logprobs": True, "top_logprobs": 1}
    answer = site.openai.chat.completions.create(**asked)
    assert answer.choices[0].logprobs.content[0].top_logprobs[0].logprob == -2.0
    assert chat.heard[0][1]["top_logprobs"] == 1


def test_reasoning_length_and_half_characters_come_through(serving):
    said = AIMessage("cut \ud83d", additional_kwargs={"reasoning_content": "hm"}, response_metadata={"finish_reason": "length"})
    choice = serving(Scripted(says=said)).chat().json()["choices"][0]
    assert (choice["message"]["reasoning_content"], choice["finish_reason"]) == ("hm", "length")
    assert choice["message"]["content"] == "cut ?"


def test_a_fault_of_the_model_is_logged_and_not_told(serving, caplog):
    site = serving(Scripted(says=RuntimeError("no such file /home/someone/key sk-secret")))
    with caplog.at_level(logging.ERROR, "gems.server"):
        error = problem(site.chat(), 500)
    assert (error["type"], error["message"]) == ("server_error", "the model scripted failed: the server's log says how")
    assert "RuntimeError" in caplog.text
    with pytest.raises(openai.InternalServerError):
        site.openai.chat.completions.create(model="scripted", messages=[{"role": "user", "content": "x"}])

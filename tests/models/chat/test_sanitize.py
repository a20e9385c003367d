"""Whatever a server answers is received in one form that a checkpoint holds, or is a clear error."""

import json

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, ChatMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from gems.errors import ModelAnswerError, ModelCallError
from gems.models.chat.answer_probability import tokens_of
from gems.models.chat.ask import ask
from gems.models.chat.call import call
from gems.models.chat.sanitize import arguments_of, storable
from gems.models.options import ChatOptions
from gems.models.registry import chat_model
from gems.nodes.planner import Plan
from gems.storage.serializer import serializer

from ...faulty_server import Reply, chat_reply, stream_reply

HI = [HumanMessage("Hi.")]
ARGUMENTS = '{"name": "counting"}'


def said(server, reply, *, streaming=False):
    """Return what a chat model behind a server that answers so is received as."""
    server.replies = [reply]
    chat = chat_model(ChatOptions(model=f"{server.url}#m", retries=0, timeout=5))
    message, spent = call(chat.model_copy(update={"streaming": streaming}), HI)
    assert serializer().loads_typed(serializer().dumps_typed(message)) == message
    return message, spent


def called(*calls):
    return chat_reply("", tool_calls=list(calls))


def function(arguments=ARGUMENTS, name="load_skill", **call):
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **call}


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    "ids", [[{}, {}], [{"id": None}, {"id": None}], [{"id": "a"}, {"id": "a"}], [{"id": 5}, {"id": ""}], [{"id": "a"}, {"id": "b"}]]
)
def test_every_tool_call_has_an_id_of_its_own(server, ids, streaming):
    calls = [function(index=n, **id) for n, id in enumerate(ids)]
    reply = stream_reply({"tool_calls": calls}, {}) if streaming else called(*calls)
    message, _ = said(server, reply, streaming=streaming)
    assert [c["args"] for c in message.tool_calls] == [{"name": "counting"}] * 2
    assert len({c["id"] for c in message.tool_calls} - {"", None}) == 2


@pytest.mark.parametrize(
    ("arguments", "args"),
    [
        (ARGUMENTS, {"name": "counting"}),
        ({"name": "counting"}, {"name": "counting"}),
        (json.dumps(ARGUMENTS), {"name": "counting"}),
        ("", {}),
        (None, {}),
        ('{"name": 100000000000000000000}', {"name": "100000000000000000000"}),
        ('{"name": "\\ud800"}', {"name": "?"}),
        ("[1]", None),
        ([1], None),
        ("5", None),
        ("{", None),
        ('{"a":' * 100_000, None),
        (f'{{"name": {"1" * 5000}}}', None),
    ],
)
def test_arguments_of_a_tool_call_are_an_object_or_the_call_is_apart(server, arguments, args):
    assert arguments_of(arguments) == args
    message, _ = said(server, called(function(arguments, id="a"), function(id="b")))
    assert [c["args"] for c in message.tool_calls] == [*([] if args is None else [args]), {"name": "counting"}]
    assert len(message.invalid_tool_calls) == (args is None)


def test_a_tool_call_without_a_name_is_apart(server):
    message, _ = said(server, called(function(name=None), function(name=7), {"id": "x"}, "what", function()))
    assert (len(message.tool_calls), len(message.invalid_tool_calls)) == (1, 3)


def completion(**changes):
    reply = chat_reply('{"prompt": "a red circle"}').body
    choice, message = reply["choices"][0], reply["choices"][0]["message"]
    return Reply(
        {
            **reply,
            **{k: v for k, v in changes.items() if k in ("usage", "model", "id", "created", "service_tier")},
            "choices": [
                {
                    **choice,
                    **{k: v for k, v in changes.items() if k in ("logprobs", "finish_reason", "index")},
                    "message": {
                        **message,
                        **{k: v for k, v in changes.items() if k in ("role", "content", "annotations", "audio")},
                    },
                }
            ],
        }
    )


HUGE = [{"token": "x", "logprob": -(10**400), "top_logprobs": [{"token": "y", "logprob": -1}]}]
HALF = [{"token": "\ud83d", "logprob": -1, "top_logprobs": [{"token": "\ud83d", "logprob": -1}]}]


@pytest.mark.parametrize(
    "changes",
    [
        {"role": "robot"},
        {"role": None},
        {"role": 5},
        {"role": "tool"},
        {"usage": {"prompt_tokens": "a", "completion_tokens": "b", "total_tokens": "c"}},
        {"usage": {"prompt_tokens": 10**20, "completion_tokens": -5, "total_tokens": 1.5}},
        {"usage": "much"},
        {"usage": {"prompt_tokens_details": 5, "completion_tokens_details": {"reasoning_tokens": "a"}}},
        {"model": 5},
        {"id": 5},
        {"service_tier": ["x"]},
        {"annotations": 5},
        {"audio": 5},
        {"finish_reason": 5},
        {"logprobs": 5},
        {"logprobs": {"content": [{"token": "x", "logprob": -1, "top_logprobs": 5}]}},
        {"logprobs": {"content": HUGE}},
        {"logprobs": {"content": HALF}},
    ],
)
def test_an_answer_of_clear_meaning_is_taken(server, changes):
    message, spent = said(server, completion(**changes))
    assert message.text == '{"prompt": "a red circle"}'
    assert spent.input_tokens >= 0
    assert spent.output_tokens >= 0
    tokens_of(message)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (5, "5"),
        ({"prompt": "x"}, '{"prompt": "x"}'),
        (None, ""),
        ([{"text": 5}, {"type": "text", "text": "x\0y"}, 7], "xy"),
        ("\ud800", "?"),
    ],
)
def test_a_content_of_another_kind_is_its_text(server, content, text):
    assert said(server, completion(content=content))[0].text == text


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b'{"a":' * 100_000, "its answer cannot be read: RecursionError"),
        (f'{{"choices": {"1" * 5000}}}'.encode(), "its answer cannot be read: ValueError"),
        (b'{"choices": [{"message": 5}]}', "its choices have no message"),
        (b'{"choices": [7]}', "its choices have no message"),
        (b"[]", "its answer is a JSON list"),
    ],
)
def test_what_is_no_answer_is_a_clear_error(server, body, problem):
    with pytest.raises(ModelCallError, match=problem) as caught:
        said(server, Reply(body))
    assert ("check the URL" in str(caught.value)) is ("cannot be read" not in problem)


class Own(BaseChatModel):
    """A chat model of one's own that answers with a message as it is."""

    message: object

    @property
    def _llm_type(self):
        return "own"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        made = self.message() if callable(self.message) else self.message
        return ChatResult(generations=[ChatGeneration(message=made)])


def test_the_same_holds_for_a_model_of_ones_own():
    calls = [{"name": "load_skill", "args": {"name": 10**30}, "id": None}]
    message, spent = call(Own(message=AIMessage("\ud800", tool_calls=calls, response_metadata={"seen": {1, 2}, "n": 10**30})), HI)
    assert (message.text, message.tool_calls[0]["args"], spent.calls) == ("?", {"name": str(10**30)}, 1)
    assert serializer().dumps_typed(message)
    robot, _ = call(Own(message=ChatMessage(role="robot", content="hello")), HI)
    assert (type(robot), robot.text) == (AIMessage, "hello")


@pytest.mark.parametrize("content", [[{"text": 5, "type": "text"}], ["a", 5]])
def test_a_content_that_langchain_cannot_read_is_a_clear_error(content):
    chat = Own(message=lambda: AIMessage(content))
    with pytest.raises((ModelCallError, ModelAnswerError), match=r"read|empty"):
        ask(chat, HI, Plan, role="planner")


def test_what_is_storable():
    deep = []
    for _ in range(1000):
        deep = [deep]
    assert storable({"a": 2**63, 5: "x\0", "b": (1, 10**4000)}) == {"a": str(2**63), "5": "x", "b": [1, None]}
    assert serializer().dumps_typed(storable(deep))

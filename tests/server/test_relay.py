"""A served chat model that is itself the client of an endpoint: requests and answers are relayed."""

import json

import pytest
from langchain_openai import ChatOpenAI

from ..faulty_server import Reply, chat_reply
from .conftest import problem
from .test_chat import ASK_PLAN, REQUEST, tool


def client(url, **options):
    return ChatOpenAI(base_url=url, model="behind", api_key="sk-very-secret", max_retries=0, **options)


def test_the_request_goes_on_in_the_endpoints_own_form(serving, server):
    server.replies = [chat_reply("fine")]
    site = serving(client(server.url, extra_body={"top_k": 5}))
    asked = {
        "temperature": 0.5, "seed": 3, "max_tokens": 9, "stop": ["X"], "logprobs": True, "top_logprobs": 2, "presence_penalty": 0.5,
        "tools": [tool()], "tool_choice": "auto", "chat_template_kwargs": {"enable_thinking": False}, "min_p": 0.1, **ASK_PLAN,
    }  # fmt: skip
    assert site.chat(**asked, user="me").status_code == 200
    sent = server.heard[0].json
    sent["max_tokens"] = sent.pop("max_completion_tokens", sent.get("max_tokens"))
    assert {k: sent[k] for k in asked} == asked
    assert (sent["model"], sent["top_k"]) == ("behind", 5)
    assert "user" not in sent


def test_log_probabilities_and_broken_tool_calls_come_back(serving, server):
    reply = chat_reply(
        "", finish="tool_calls", tool_calls=[{"id": "1", "type": "function", "function": {"name": "look", "arguments": "{broken"}}]
    )
    reply.body["choices"][0]["logprobs"] = {"content": [{"token": "a", "logprob": -1.0, "bytes": None, "top_logprobs": []}]}
    server.replies = [reply]
    choice = serving(client(server.url)).chat(tools=[tool()]).json()["choices"][0]
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "look", "arguments": "{broken"}
    assert choice["logprobs"]["content"][0]["logprob"] == -1.0


def test_a_stream_is_relayed_piece_by_piece_with_its_usage(serving, server):
    def chunk(finish=None, usage=None, **delta):
        choices = [] if usage else [{"index": 0, "delta": delta, "finish_reason": finish}]
        data = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": choices, "usage": usage}
        return f"data: {json.dumps(data)}\n\n".encode()

    def call(**function):
        return [{"index": 0, **({"id": "1", "type": "function"} if "name" in function else {}), "function": function}]

    body = [
        chunk(role="assistant", content=""), chunk(content="one "), chunk(content="two"),
        chunk(tool_calls=call(name="look", arguments="")), chunk(tool_calls=call(arguments='{"at":')),
        chunk(tool_calls=call(arguments="1}")), chunk(finish="tool_calls"),
        chunk(usage={"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}), b"data: [DONE]\n\n",
    ]  # fmt: skip
    server.replies = [Reply(b"".join(body), content_type="text/event-stream")]
    site = serving(client(server.url))
    asked = {"messages": [{"role": "user", "content": "x"}], "tools": [tool()], "stream_options": {"include_usage": True}}
    with site.openai.chat.completions.stream(model="behind", **asked) as stream:
        pieces = [e.delta for e in stream if e.type == "content.delta" and e.delta]
        final = stream.get_final_completion()
    assert pieces == ["one ", "two"]
    assert final.choices[0].message.tool_calls[0].function.arguments == '{"at":1}'
    assert (final.choices[0].finish_reason, final.usage.total_tokens) == ("tool_calls", 10)


def test_a_stream_that_breaks_off_says_so_and_does_not_seem_whole(serving, server):
    first = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": "one"}}],
    }
    begun = f"data: {json.dumps(first)}\n\n".encode()
    server.replies = [Reply(begun * 2, content_type="text/event-stream", reset_after=len(begun))]
    lines = serving(client(server.url)).chat(stream=True).text.strip().split("\n\n")
    assert any('"one"' in line for line in lines)
    assert "error" in json.loads(lines[-1].removeprefix("data: "))


@pytest.mark.parametrize("stream", [False, True])
def test_failures_behind_have_a_status_of_their_own(serving, server, stream):
    site = serving(client(server.url))
    for status, said, expected, told in [
        (400, "context too long", 400, "context too long"),
        (400, "the key sk-very-secret is in it", 400, "refused"),
        (401, "bad key sk-very-secret", 502, "failed"),
        (429, "slow down", 429, "busy"),
        (503, "oops", 502, "failed"),
    ]:
        server.replies = [Reply({"error": {"message": said}}, status=status)]
        error = problem(site.chat(stream=stream), expected)
        assert told in error["message"]
        assert "secret" not in error["message"]


def test_an_endpoint_that_is_not_there_is_a_bad_gateway(serving):
    assert "endpoint behind" in problem(serving(client("http://127.0.0.1:9/v1")).chat(), 502)["message"]


def test_two_servers_in_a_row(site, serving):
    outer = serving(ChatOpenAI(base_url=site.url, model="shapes-chat", api_key="none"))
    assert outer.chat(REQUEST, **ASK_PLAN).json()["choices"] == site.chat(REQUEST, **ASK_PLAN).json()["choices"]
    assert "cannot converse" in problem(outer.chat(), 400)["message"]

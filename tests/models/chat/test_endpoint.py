"""Chat models behind endpoints, over real HTTP: what goes out, what comes back, and every way in which it goes wrong."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI

from gems.errors import ModelCallError, ModelSpecError
from gems.models.chat.call import call, server_notes
from gems.models.chat.endpoint import EndpointChat
from gems.models.concurrency_limit import CallLimit
from gems.models.options import ChatOptions
from gems.models.registry import chat_model

from ...faulty_server import Reply, chat_reply, refusal, stream_reply

HI = [SystemMessage("Be good."), HumanMessage("Hi.")]


def chat_at(server, *replies, model="kimi", **options):
    server.replies = list(replies) or [chat_reply("hello")]
    return chat_model(ChatOptions(model=f"{server.url}#{model}", **{"retries": 0, "timeout": 5, **options}))


def failed(chat, role="painter"):
    with pytest.raises(ModelCallError) as caught:
        call(chat, HI, role=role)
    return caught.value


def key_of(request):
    return next(value for name, value in request.headers.items() if name.lower() == "authorization")


# What goes out


def test_what_is_set_goes_out_and_nothing_else(server):
    call(chat_at(server), HI)
    assert set(server.heard[0].json) <= {"model", "messages", "stream"}
    chat = chat_at(server, temperature=0.3, top_p=0.9, max_tokens=50, extra_body={"top_k": 5})
    call(chat, HI)
    assert server.heard[1].path == "/v1/chat/completions"
    sent = server.heard[1].json
    assert {k: sent[k] for k in ("temperature", "top_p", "max_tokens", "top_k")} == {
        "temperature": 0.3, "top_p": 0.9, "max_tokens": 50, "top_k": 5,
    }  # fmt: skip
    assert "max_completion_tokens" not in sent


def test_the_switch_for_reasoning_arrives_in_the_body(server):
    chat = chat_at(server, thinking=False, extra_body={"chat_template_kwargs": {"tone": "calm"}})
    call(chat, HI)
    assert server.heard[0].json["chat_template_kwargs"] == {"enable_thinking": False, "thinking": False, "tone": "calm"}


def test_the_key_is_read_from_the_environment(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-for-strangers")
    call(chat_at(server), HI)
    assert key_of(server.heard[0]) == "Bearer none"
    monkeypatch.setenv("GEMS_API_KEY", "sk-default")
    call(chat_at(server), HI)
    assert key_of(server.heard[1]) == "Bearer sk-default"
    monkeypatch.setenv("MY_KEY", "sk-mine")
    call(chat_at(server, key_env="MY_KEY"), HI)
    assert key_of(server.heard[2]) == "Bearer sk-mine"


@pytest.mark.parametrize("options", [{"model": "http://localhost:1/v1#m", "key_env": "MISSING"}, {"model": "openai:gpt-5.2"}])
def test_a_missing_key_is_told_before_any_call(options):
    with pytest.raises(ModelSpecError, match=f"needs a key: set {options.get('key_env', 'OPENAI_API_KEY')}"):
        chat_model(ChatOptions(**options))


@pytest.mark.parametrize("spec", ["openai:", "http://localhost:1/v1", "localhost:1/v1#m"])
def test_a_spec_that_is_none_is_told(spec):
    with pytest.raises(ModelSpecError, match="not understood"):
        chat_model(ChatOptions(model=spec))


def test_openai_gets_its_own_names_for_things(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    chat = chat_model(ChatOptions(model="openai:gpt-5.2", max_tokens=9, thinking=False, temperature=0.5))
    sent = chat._get_request_payload(HI)
    assert (sent["max_completion_tokens"], sent["reasoning_effort"], sent["temperature"]) == (9, "none", 0.5)
    assert server_notes(chat) == []


def test_what_is_not_sent_as_asked_is_noted(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    chat = chat_model(ChatOptions(model="openai:gpt-5", thinking=False, temperature=0.5))
    notes = " ".join(server_notes(chat))
    assert "cannot be switched off" in notes
    assert "takes no temperature" in notes


def test_the_environment_may_move_openai(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    server.replies = [chat_reply("hello")]
    assert call(chat_model(ChatOptions(model="openai:m")), HI)[0].text == "hello"


# What comes back


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_is_kept(server, field):
    chat = chat_at(server, chat_reply("hello", **{field: "thus"}))
    message, spent = call(chat, HI)
    assert message.additional_kwargs["reasoning_content"] == "thus"
    assert (spent.calls, spent.input_tokens, spent.output_tokens) == (1, 7, 3)
    assert asyncio.run(chat.ainvoke(HI)).additional_kwargs["reasoning_content"] == "thus"


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_is_kept_in_streams(server, field):
    pieces = [{"role": "assistant", field: "th"}, {field: "us"}, {"content": "hel"}, {"content": "lo"}]
    chat = chat_at(server, stream_reply(*pieces))

    def whole(chunks):
        total = chunks[0]
        for chunk in chunks[1:]:
            total += chunk
        return total.text, total.additional_kwargs["reasoning_content"]

    async def collected():
        return [chunk async for chunk in chat.astream(HI)]

    assert whole(list(chat.stream(HI))) == ("hello", "thus")
    assert whole(asyncio.run(collected())) == ("hello", "thus")


def test_the_hooks_it_overrides_are_still_those_of_the_client():
    for hook in ("_create_chat_result", "_convert_chunk_to_generation_chunk", "_get_request_payload", "_generate", "_agenerate"):
        assert hasattr(ChatOpenAI, hook)
        assert hook in vars(EndpointChat)


def test_an_answer_with_fields_nobody_knows_is_an_answer(server):
    reply = chat_reply("hello", sparkle=1)
    reply.body.update(prompt_logprobs=None, kv_transfer_params={"a": 1}, usage=None)
    message, spent = call(chat_at(server, reply), HI)
    assert message.text == "hello"
    assert (spent.input_tokens, spent.output_tokens) == (0, 0)


def test_tools_still_work_through_bound_options(server):
    tool = {"type": "function", "function": {"name": "load_skill", "parameters": {"type": "object", "properties": {}}}}
    called = {"id": "t1", "type": "function", "function": {"name": "load_skill", "arguments": "{}"}}
    message, _ = call(chat_at(server, chat_reply(None, tool_calls=[called])).bind_tools([tool]), HI)
    assert message.tool_calls[0]["name"] == "load_skill"


# What goes wrong


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_a_passing_failure_is_tried_again(server, status):
    assert call(chat_at(server, refusal("busy", status), chat_reply("hello"), retries=1), HI)[0].text == "hello"
    assert len(server.heard) == 2


@pytest.mark.parametrize(
    ("status", "said"),
    [(400, "refused the request"), (401, "the key in GEMS_API_KEY"), (403, "does not allow"), (422, "refused the request")],
)
def test_a_lasting_failure_is_told_at_once(server, status, said):
    error = failed(chat_at(server, refusal("no such thing", status), retries=3))
    assert str(error).startswith(f"painter (kimi at {server.url[7:-3]}): ")
    assert said in str(error)
    assert "no such thing" in str(error)
    assert (error.role, error.model, error.status, len(server.heard)) == ("painter", "kimi", status, 1)


def test_what_lasts_after_all_tries_says_so(server):
    assert "no quota left after 2 tries: busy" in str(failed(chat_at(server, refusal("busy", 429), retries=1)))
    assert len(server.heard) == 2
    assert "failed after 2 tries (HTTP 500): boom" in str(failed(chat_at(server, refusal("boom", 500), retries=1)))


def test_a_connection_reset_in_mid_answer_is_tried_again(server):
    broken = chat_reply("hello")
    broken.reset_after = 20
    assert call(chat_at(server, broken, chat_reply("whole"), retries=1), HI)[0].text == "whole"
    error = failed(chat_at(server, broken))
    assert "the connection broke off" in str(error)
    assert error.status is None


def test_silence_is_told_with_the_option_that_helps(server):
    error = failed(chat_at(server, Reply(hang=30), timeout=0.2))
    assert "no answer within 0.2 s: raise the option timeout" in str(error)


def test_silence_is_tried_again(server):
    assert call(chat_at(server, Reply(hang=30), chat_reply("hello"), timeout=0.6, retries=1), HI)[0].text == "hello"
    assert len(server.heard) == 2


def test_an_endpoint_that_is_not_there_is_told(server):
    chat = chat_at(server)
    server.close()
    assert f"cannot be reached: is the server running at {server.url[7:-3]}?" in str(failed(chat))


def test_a_model_that_is_not_there_is_told_with_those_that_are(server):
    lists = Reply({"object": "list", "data": [{"id": "kimi-k2.5"}, {"id": "qwen"}]})
    error = failed(chat_at(server, lambda request: lists if request.method == "GET" else refusal("not found", 404)))
    assert "it has no model kimi, but kimi-k2.5, qwen" in str(error)
    error = failed(chat_at(server, refusal("not found", 404)))
    assert "check the URL, which mostly ends in /v1, and the model's name (kimi)" in str(error)
    error = failed(chat_at(server, lambda request: lists if request.method == "GET" else refusal("?", 404), model="qwen"))
    assert "it lists the model qwen, so check the URL" in str(error)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(b"<!DOCTYPE html><html>Welcome</html>", content_type="text/html"), "a web page"),
        (Reply(b"ready", content_type="text/plain"), "text: 'ready'"),
        (Reply(b"{nope"), "not JSON"),
        (Reply(b""), "not JSON"),
        (Reply([1]), "a JSON list"),
        (Reply({"status": "ok"}), "no choices"),
        (Reply({"choices": None}), "no choices"),
        (Reply({"choices": []}), "no choices"),
        (Reply({"choices": [{"index": 0}]}), "no message"),
        (Reply({"choices": [{"index": 0, "message": None}]}), "no message"),
        (Reply({"choices": ["hello"]}), "no message"),
    ],
)
def test_what_is_no_chat_endpoint_is_told(server, reply, said):
    chat = chat_at(server, reply)
    error = str(failed(chat))
    assert "not an OpenAI-compatible chat endpoint" in error
    assert said in error
    with pytest.raises(ValueError, match=said):
        asyncio.run(chat.ainvoke(HI))


def test_a_stream_of_nothing_is_told(server):
    chat = chat_at(server, Reply(b"<html>Welcome</html>", content_type="text/html"))
    chat.streaming = True
    assert "its stream is empty" in str(failed(chat))
    with pytest.raises(ValueError, match="its stream is empty"):
        asyncio.run(chat.ainvoke(HI))


def test_an_error_with_status_200_is_told_as_one(server):
    assert "answered with an error: out of memory" in str(failed(chat_at(server, Reply({"error": {"message": "out of memory"}}))))


def test_no_secret_is_in_an_error(server, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-very-secret")
    chat = chat_at(server, refusal("Incorrect API key provided: sk-very-secret", 401), key_env="MY_KEY")
    error = str(failed(chat))
    assert "the key in MY_KEY was refused" in error
    assert "sk-very-secret" not in error
    with pytest.raises(ModelSpecError, match="a key has no place in a URL") as refused:
        chat_model(ChatOptions(model="http://me:pass@127.0.0.1:9/v1#m"))
    assert "me:pass" not in str(refused.value)


def test_what_other_models_raise_passes_through():
    class Broken:
        def invoke(self, messages):
            raise self.error

    for error in (KeyError("mine"), KeyboardInterrupt()):
        chat = Broken()
        chat.error = error
        with pytest.raises(type(error)):
            call(chat, HI)


# How many at once


def slow(reply):
    def answer(request):
        reply.hang = 0.05
        return reply

    return answer


def test_calls_of_all_models_of_a_host_are_limited_together(server):
    chats = [chat_at(server, slow(chat_reply("hello")), model=name, in_flight=2) for name in ("a", "b")]
    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(lambda i: call(chats[i % 2], HI)[0].text, range(8)))
    assert texts == ["hello"] * 8
    assert server.most_at_once == 2


def test_coroutines_are_limited_too(server):
    chat = chat_at(server, slow(chat_reply("hello")), in_flight=2)

    async def many():
        return await asyncio.gather(*(chat.ainvoke(HI) for _ in range(6)))

    assert len(asyncio.run(many())) == 6
    assert len(asyncio.run(many())) == 6  # in a new event loop
    assert server.most_at_once == 2


def test_streams_are_limited_too(server):
    chat = chat_at(server, slow(stream_reply({"content": "hello"})), in_flight=1)

    async def many():
        async def one():
            return [chunk async for chunk in chat.astream(HI)]

        return await asyncio.gather(*(one() for _ in range(3)))

    with ThreadPoolExecutor(3) as pool:
        assert len(list(pool.map(lambda _: list(chat.stream(HI)), range(3)))) == 3
    assert len(asyncio.run(many())) == 3
    assert server.most_at_once == 1


def test_a_failed_call_makes_room(server):
    chat = chat_at(server, refusal("no", 400), in_flight=1)
    for _ in range(3):
        failed(chat)


def test_who_gives_up_waiting_takes_no_room():
    limit = CallLimit()

    async def impatient():
        async with limit.async_slot(1):
            pass

    async def give_up():
        waiting = asyncio.create_task(impatient())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    with limit.slot(1):
        asyncio.run(give_up())
    done = threading.Event()

    def enter():
        with limit.slot(1):
            done.set()

    threading.Thread(target=enter, daemon=True).start()
    assert done.wait(5)

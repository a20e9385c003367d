"""The one way of asking: whatever a model wraps its answer in, and what happens when it is of no use."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import BaseModel, Field

from gems.errors import ModelAnswerError, ModelCallError
from gems.models.chat.answer_text import parse_answer, reasoning_of
from gems.models.chat.ask import ask
from gems.models.chat.call import bind_schema, server_notes
from gems.models.options import ChatOptions
from gems.models.registry import chat_model

from ...faulty_server import chat_reply, likely, refusal, with_logprobs


class Colors(BaseModel):
    names: list[str]
    count: int = Field(ge=0)


GOOD = {"names": ["red", "blue"], "count": 2}


class Sayings(BaseChatModel):
    """Says what it was given, one after the other, and remembers what it was asked."""

    sayings: list
    heard: list = []
    model_name: str = "sayings-1"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        self.heard.append((messages, kwargs))
        said = self.sayings.pop(0)
        message = said if isinstance(said, AIMessage) else AIMessage(said)
        return ChatResult(generations=[ChatGeneration(message=message)])

    @property
    def _llm_type(self):
        return "sayings"


def asked(*sayings):
    chat = Sayings(sayings=list(sayings))
    return chat, lambda: ask(chat, [SystemMessage("Name colours."), HumanMessage("Go.")], Colors, role="painter")


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(GOOD),
        f"```json\n{json.dumps(GOOD, indent=2)}\n```",
        f"Here you are: {json.dumps(GOOD)} - anything else?",
        f"<think>{{not this}} maybe three?</think>\n{json.dumps(GOOD)}",
        f"{{braces}} in prose, then {json.dumps(GOOD)}",
        json.dumps({**GOOD, "extra": "field"}),
        f'maybe {{"names": [], "count": 7}}\n</think>\n{json.dumps(GOOD)}',
    ],
)
def test_the_object_is_found_in_whatever_surrounds_it(text):
    assert parse_answer(text, Colors) == Colors(**GOOD)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("<think>I wonder", "empty"),
        ("I cannot help with that.", "no JSON object"),
        ('{"names": ["red", "bl', "no JSON object"),
        ('{"names": "red", "count": 1}', "names: "),
        ('{"names": [], "count": -1}', "count: "),
        ("[1, 2]", "no JSON object"),
        ('{"a":' * 100_000, "no JSON object"),
    ],
)
def test_an_answer_of_no_use_says_why(text, problem):
    with pytest.raises(ValueError, match=problem):
        parse_answer(text, Colors)


@pytest.mark.parametrize(
    "text",
    [
        '{"names": ["red", "blue",], "count": 2,}',
        "{'names': ['red', 'blue'], 'count': 2}",
        "Sure:\n```json\n{names: [red, blue], count: 2}\n```\nAnything else?",
        "{“names”: [“red”, “blue”], “count”: 2}",
        '{"names": ["red" "blue"], "count": 2}',
    ],
)
def test_broken_json_is_repaired_and_noted(text):
    chat, go = asked(text)
    answer = go()
    assert (answer.value, answer.spent.calls) == (Colors(**GOOD), 1)
    assert answer.notes == ("An answer of the painter was broken JSON: it was repaired.",)
    chat, go = asked(AIMessage(text, response_metadata={"finish_reason": "length"}), json.dumps(GOOD))
    assert go().notes == ()  # an answer that was cut off is not repaired
    assert len(chat.heard) == 2


@pytest.mark.parametrize(
    "text",
    [
        '{"names": ["red", "blue"], "count": 2',  # cut off, though the server does not say so
        '{"names": ["red", "bl}',
        '{"names": ["red",], "names": ["blue"], "count": 2}',
        "{'names': ['red'], 'count': ~2}",
        '{"names": ["red" // or blue\n], "count": 2}',
        '{"names": ["red",]}',
        '{"names": ["red",], "count": -1}',
        "{" * 5000 + "}" * 5000,
    ],
)
def test_no_part_of_a_broken_answer_is_guessed(text):
    with pytest.raises(ValueError, match=r"no JSON object|count: "):
        parse_answer(text, Colors, repair=True)


def test_one_repair_turn_shows_the_error():
    chat, go = asked("red and blue", json.dumps(GOOD))
    answer = go()
    assert answer.value.count == 2
    assert answer.spent.calls == 2
    repair = chat.heard[1][0]
    assert repair[-2].text == "red and blue"
    assert "no JSON object" in repair[-1].text


def test_the_second_failure_names_role_model_and_answer():
    _, go = asked("no idea", "still no idea")
    with pytest.raises(ModelAnswerError, match=r"painter \(sayings-1\): .*the answer began: still no idea"):
        go()


def test_an_empty_answer_is_an_error_too_never_none():
    _, go = asked("", "")
    with pytest.raises(ModelAnswerError, match=r"\(nothing\)"):
        go()


def test_half_a_character_does_no_harm():
    for half in ("\ud83d", "\\ud83d"):
        _, go = asked(f'{{"names": ["red {half}"], "count": 1}}')
        assert go().value.names == ["red ?"]


def test_the_schema_goes_out_in_words_and_in_the_request():
    chat, go = asked(json.dumps(GOOD))
    go()
    messages, options = chat.heard[0]
    assert messages[0].text.startswith("Name colours.")
    assert '"names"' in messages[0].text
    assert options["response_format"]["json_schema"]["name"] == "Colors"


def test_openai_clients_get_the_schema_past_their_own_parser():
    from langchain_openai import ChatOpenAI

    bound = bind_schema(ChatOpenAI(model="m", api_key="none", extra_body={"seed": 1}), Colors)
    assert bound.kwargs["extra_body"]["seed"] == 1
    assert bound.kwargs["extra_body"]["response_format"]["type"] == "json_schema"
    assert "response_format" not in bound.kwargs


def test_tokens_are_counted_from_the_response():
    usage = {"input_tokens": 30, "output_tokens": 5, "total_tokens": 35}
    _, go = asked(AIMessage("nope", usage_metadata=usage), AIMessage(json.dumps(GOOD), usage_metadata=usage))
    spent = go().spent
    assert (spent.calls, spent.input_tokens, spent.output_tokens) == (2, 60, 10)


def test_visible_reasoning_is_the_thought():
    assert reasoning_of(AIMessage("x", additional_kwargs={"reasoning_content": " because "})) == "because"
    assert reasoning_of(AIMessage("<think>so</think>{}")) == "so"
    assert reasoning_of(AIMessage("{}")) == ""


# What servers make of an answer, over real HTTP


HELLO = [SystemMessage("Name colours."), HumanMessage("Go.")]
TEXT = json.dumps(GOOD)


def ask_at(server, *replies, model="kimi", logprobs=False, **options):
    server.replies = list(replies)
    chat = chat_model(ChatOptions(model=f"{server.url}#{model}", **{"retries": 0, "timeout": 5, **options}))
    return chat, lambda: ask(chat, HELLO, Colors, role="painter", logprobs=logprobs)


def tool_reply(arguments):
    call = {"id": "t1", "type": "function", "function": {"name": "Colors", "arguments": arguments}}
    return chat_reply(None, finish="tool_calls", tool_calls=[call])


@pytest.mark.parametrize(
    "reply",
    [
        chat_reply(TEXT),
        chat_reply(f"```json\n{TEXT}\n```"),
        chat_reply(f"Sure! {TEXT} Anything else?"),
        chat_reply(f"<think>hm {{}}</think>{TEXT}"),
        chat_reply(f"{json.dumps(Colors.model_json_schema())}\n{TEXT}"),
        chat_reply(TEXT, finish="length"),
        chat_reply(TEXT, reasoning_content='maybe {"names": ["pink"], "count": 1}'),
        tool_reply(TEXT),
        tool_reply(f"{TEXT}}}"),
        chat_reply(None, reasoning_content=TEXT),
        chat_reply("", reasoning=f"Red and blue, so:\n```json\n{TEXT}\n```"),
    ],
    ids=[
        "plain",
        "fenced",
        "prose",
        "think",
        "schema-first",
        "just-in-time",
        "draft",
        "tool",
        "broken-tool",
        "swallowed",
        "end-of-thought",
    ],
)
def test_an_answer_is_found_wherever_the_server_put_it(server, reply):
    _, go = ask_at(server, reply)
    answer = go()
    assert answer.value == Colors(**GOOD)
    assert '"red"' in answer.text
    assert answer.tokens == ()
    assert answer.spent.calls == len(server.heard) == 1


def test_a_draft_in_the_midst_of_the_reasoning_is_no_answer(server):
    _, go = ask_at(
        server, chat_reply("", reasoning_content=f"Perhaps {TEXT}, but I am not sure."), chat_reply('{"names": [], "count": 0}')
    )
    assert go().value.count == 0


def test_reasoning_that_was_cut_off_is_no_answer(server):
    _, go = ask_at(server, chat_reply("", finish="length", reasoning_content=TEXT), chat_reply(TEXT))
    assert go().spent.calls == 2


def test_an_answer_cut_off_asks_to_be_brief_and_then_names_the_option(server):
    _, go = ask_at(server, chat_reply('{"names": ["red", "bl', finish="length"))
    with pytest.raises(
        ModelAnswerError, match=r"painter \(kimi\): the answer was cut off at max_tokens.*: raise max_tokens; .*began: {"
    ):
        go()
    assert "Be brief." in server.heard[1].json["messages"][-1]["content"]


def test_a_long_answer_of_no_use_is_not_repeated_whole(server):
    _, go = ask_at(server, chat_reply("x" * 50_000, finish="length"), chat_reply(TEXT))
    go()
    assert len(server.heard[1].data) < 10_000


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (chat_reply(None, refusal="I can't look at that."), "the model refused: I can't look at that"),
        (chat_reply("", finish="content_filter"), "the model refused: its content filter cut in"),
        (chat_reply(None), "the answer was empty; the answer began: (nothing)"),
    ],
)
def test_no_answer_says_why_after_one_repair_turn(server, reply, said):
    _, go = ask_at(server, reply)
    with pytest.raises(ModelAnswerError) as caught:
        go()
    assert said in str(caught.value)
    assert caught.value.spent.calls == len(server.heard) == 2


def test_a_failed_call_names_who_asked(server):
    _, go = ask_at(server, refusal("context too long"))
    with pytest.raises(ModelCallError, match=r"painter \(kimi at 127.0.0.1:\d+\): .*: context too long"):
        go()
    assert len(server.heard) == 1


# What endpoints take


def picky(*fields, message="{} is not supported", status=400, reply=None):
    """Refuse requests with one of these fields, the first one first."""

    def answer(request):
        for field in fields:
            if field in request.json:
                return refusal(message.format(field), status)
        return reply or chat_reply(TEXT)

    return answer


def test_the_schema_goes_out_beside_what_else_is_set(server):
    _, go = ask_at(server, chat_reply(TEXT), extra_body={"top_k": 1})
    go()
    sent = server.heard[0].json
    assert sent["response_format"]["json_schema"]["name"] == "Colors"
    assert sent["top_k"] == 1
    assert "logprobs" not in sent


def test_a_schema_that_is_not_taken_is_asked_for_once(server):
    _, go = ask_at(server, picky("response_format"))
    go()
    assert len(server.heard) == 2
    go()
    assert len(server.heard) == 3
    other, _ = ask_at(server, picky("response_format"), temperature=0.5)
    ask(other, HELLO, Colors, role="painter")
    assert len(server.heard) == 4  # known of the model, not of the object
    host = server.url[7:-3]
    assert server_notes(other) == [f"kimi at {host} does not take a schema in the request: it is sent in words only."]


@pytest.mark.filterwarnings("ignore:This model does not support")
def test_openais_own_words_for_it_are_understood(server):
    words = "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."
    _, go = ask_at(server, picky("response_format", message=words))
    assert go().spent.calls == 1


YES = likely('{"names": ["red", "blue"], "count": '), likely("2", **{"2": 0.75, "3": 0.25}), likely("}")


def test_log_probabilities_come_along(server):
    chat, go = ask_at(server, with_logprobs(chat_reply(TEXT), *YES), logprobs=True)
    answer = go()
    assert (server.heard[0].json["logprobs"], server.heard[0].json["top_logprobs"]) == (True, 20)
    assert answer.tokens[1].text == "2"
    assert set(answer.tokens[1].top) == {"2", "3"}
    assert "".join(token.text for token in answer.tokens) == answer.text
    assert server_notes(chat) == []


def test_fewer_alternatives_are_asked_for_where_few_are_given(server):
    def answer(request):
        few = request.json["top_logprobs"] <= 5
        return with_logprobs(chat_reply(TEXT), *YES) if few else refusal("top_logprobs must be at most 5")

    chat, go = ask_at(server, answer, logprobs=True)
    assert go().tokens
    go()
    assert [h.json["top_logprobs"] for h in server.heard] == [20, 5, 5]
    assert "5 are requested" in server_notes(chat)[0]


@pytest.mark.parametrize("status", [400, 403])
def test_log_probabilities_that_are_refused_are_not_asked_for_again(server, status):
    """OpenAI's reasoning models refuse them with a 403."""
    chat, go = ask_at(server, picky("logprobs", status=status, message="not allowed to request logprobs"), logprobs=True)
    assert go().tokens == ()
    go()
    assert ["logprobs" in h.json for h in server.heard] == [True, False, False]
    host = server.url[7:-3]
    assert server_notes(chat) == [f"kimi at {host} gives no log-probabilities: its answers count as certain."]


def test_log_probabilities_that_do_not_come_are_not_asked_for_again(server):
    chat, go = ask_at(server, chat_reply(TEXT), logprobs=True)
    assert go().tokens == ()
    go()
    assert ["logprobs" in h.json for h in server.heard] == [True, False]
    assert "gives no log-probabilities" in server_notes(chat)[0]


def test_an_endpoint_that_takes_nothing_still_answers(server):
    chat, go = ask_at(server, picky("top_logprobs", "response_format"), logprobs=True)
    assert go().value.count == 2
    assert len(server.heard) == 4
    go()
    assert len(server.heard) == 5
    assert len(server_notes(chat)) == 3


def test_many_threads_find_out_the_same(server):
    chat, go = ask_at(server, picky("top_logprobs", "response_format"), logprobs=True)
    with ThreadPoolExecutor(8) as pool:
        assert all(answer.value.count == 2 for answer in pool.map(lambda _: go(), range(16)))
    assert len(server_notes(chat)) == 3


def test_other_models_are_asked_for_log_probabilities_only_if_they_give_them():
    class Sure(Sayings):
        gives_logprobs: bool = True

    for kind, asked_for in ((Sayings, None), (Sure, 20)):
        chat = kind(sayings=[TEXT])
        ask(chat, HELLO, Colors, role="painter", logprobs=True)
        assert chat.heard[-1][1].get("top_logprobs") == asked_for
        assert server_notes(chat) == []

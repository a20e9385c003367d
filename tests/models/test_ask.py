"""The one way of asking: whatever a model wraps its answer in, and what happens when it is of no use."""

import json

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import BaseModel, Field

from gems.models.ask import ModelAnswerError, ask, bind_schema, parse, thought_of


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
    assert parse(text, Colors) == Colors(**GOOD)


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
        parse(text, Colors)


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
    assert thought_of(AIMessage("x", additional_kwargs={"reasoning_content": " because "})) == "because"
    assert thought_of(AIMessage("<think>so</think>{}")) == "so"
    assert thought_of(AIMessage("{}")) == ""

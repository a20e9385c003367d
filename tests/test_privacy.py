"""Secrets are taken out of text in every form, and nothing else is."""

import base64
from urllib.parse import quote

import pytest
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI

from gems.errors import ModelSpecError
from gems.models.chat.call import call
from gems.privacy import keys_of, read_key, redact, refuse_secrets, without_keys

from .faulty_server import chat_reply

KEY = "sk-proj-Qm3/vX9+TzR4wKpLs7YhDn2BcFg6Ja8U"


@pytest.mark.parametrize("before", ["", "x", "xy", "xyz"])
def test_a_key_in_base64_is_found_whatever_stands_before_it(before):
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        told = redact(encode(f"{before}{KEY}: and more".encode()).decode(), KEY)
        assert "***" in told
        assert len(told) < len(f"{before}: and more") * 4 / 3 + 14


def test_a_key_is_found_whole_cut_and_in_a_url():
    assert redact(f"the key {KEY}.", KEY) == "the key ***."
    assert redact(f"?key={quote(KEY, safe='')}&x=1", KEY) == "?key=***&x=1"
    assert redact(f"{KEY[:12]}...{KEY[-8:]}", KEY) == "***...***"
    assert redact(f"{KEY} and {KEY[::-1]}", KEY) == f"*** and {KEY[::-1]}"
    assert redact("one-secret", "one-secret", KEY) == "***"


@pytest.mark.parametrize("key", ["", "none", "EMPTY", "ollama", KEY])
def test_ordinary_words_stay_as_they_are(key):
    text = 'A sign that says "EMPTY", none of its letters like ollama; a sketch of a project, sk-pro.'
    assert redact(text, key) == text


@pytest.mark.parametrize(
    "key", ["sk-no-key-required", "local-development-key", "whatever", "placeholder", "Ab3-required-Xy9-registry-Zq"]
)
def test_words_of_a_key_stay_words(key):
    text = "Registration required; whatever the placeholder, local development has no key, nor a registry."
    assert redact(text, key) == text


def test_a_key_of_words_is_found_whole_and_cut_off():
    assert redact("a correct-horse-battery-staple.", "correct-horse-battery-staple") == "a ***."
    assert redact("it begins with correct-hor...", "correct-horse-battery-staple") == "it begins with ***..."
    assert redact("letters qmxvkzrwkplsyh.", "sk-1-qmxvkzrwkplsyhdn") == "letters ***."


def test_a_message_is_cleaned_wherever_the_key_is_in_it():
    chat = ChatOpenAI(model="m", api_key=KEY, base_url="http://127.0.0.1:9/v1")
    assert keys_of(chat.bind(temperature=1)) == (KEY,)
    message = AIMessage(
        [{"type": "text", "text": f"I saw {KEY}"}],
        additional_kwargs={"reasoning_content": KEY},
        tool_calls=[{"name": "load_skill", "args": {"name": f"{KEY}!"}, "id": "1"}],
    )
    clean = without_keys(message, chat)
    assert KEY not in clean.model_dump_json()
    assert clean.text == "I saw ***"
    assert clean.tool_calls[0]["args"] == {"name": "***!"}
    harmless = AIMessage("fine")
    assert without_keys(harmless, chat) is harmless


def test_a_model_given_as_an_object_is_cleaned_too(server):
    server.replies = [chat_reply(f"you are {KEY}")]
    message, _ = call(ChatOpenAI(model="m", api_key=KEY, base_url=server.url), [("user", "hi")])
    assert message.text == "you are ***"


def test_a_key_that_no_header_can_carry_is_refused_unseen(monkeypatch):
    monkeypatch.setenv("MINE", f"{KEY[:9]}\n{KEY[9:]}")
    with pytest.raises(ModelSpecError, match="the key in MINE has characters that no key has") as caught:
        read_key("MINE")
    assert KEY[:9] not in str(caught.value)
    monkeypatch.setenv("MINE", f" {KEY}\n")
    assert read_key("MINE") == KEY


@pytest.mark.parametrize(
    "name",
    [
        *(
            "x-goog-api-key",
            "Ocp-Apim-Subscription-Key",
            "Cookie",
            "Proxy-Authorization",
            "openai_api_key",
            "hf_token",
            "api_token",
        ),
        *("key", "sig", "X-Amz-Signature", "aws_secret_access_key", "client-secret", "X-Amz-Security-Token", "db_password"),
    ],
)
def test_fields_that_hold_secrets_are_refused_wherever_they_are(name):
    for spec, fields in [
        (f"https://h/v1?{name}=x#m", {}),
        ("openai:m", {"extra_headers": {name: "x"}}),
        ("m", {"a": [{name: "x"}]}),
    ]:
        with pytest.raises(ModelSpecError, match=f"the field '{name}' would be recorded"):
            refuse_secrets("chat", spec, fields)


def test_fields_that_only_sound_like_secrets_are_taken():
    harmless = {"max_tokens": 9, "skip_special_tokens": True, "echo_token": True, "stop_token": "<end>", "prompt_cache_key": "gems"}
    refuse_secrets("chat", "https://h/v1?api-version=1&max_tokens=9#m", {**harmless, "allowed_token_ids": [1], "keyboard": "x"})

"""The switches for reasoning: what goes out for whom, and what is said when it is not quite what was asked for."""

import pytest

from gems.models.chat.thinking import thinking_fields

ON, OFF = {"type": "enabled"}, {"type": "disabled"}
LOCAL = "http://localhost:30000/v1"


@pytest.mark.parametrize(
    ("url", "model", "thinking", "fields"),
    [
        (LOCAL, "kimi-k2.5", False, {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}}),
        (LOCAL, "Qwen3-VL-8B", True, {"chat_template_kwargs": {"enable_thinking": True, "thinking": True}}),
        (LOCAL, "openai/gpt-oss-20b", "high", {"reasoning_effort": "high"}),
        (LOCAL, "openai/gpt-oss-20b", False, {"reasoning_effort": "low"}),
        ("https://api.moonshot.ai/v1", "kimi-k2.5", False, {"thinking": OFF}),
        ("https://api.moonshot.cn/v1", "kimi-k2.5", "high", {"thinking": ON}),
        ("https://api.deepseek.com", "deepseek-flash", "high", {"thinking": ON, "reasoning_effort": "high"}),
        ("https://api.z.ai/api/paas/v4", "glm-4.6v", False, {"thinking": OFF}),
        ("https://api.z.ai/api/paas/v4", "glm-5.3", False, {"reasoning_effort": "low"}),
        ("https://openrouter.ai/api/v1", "qwen/qwen3-vl", False, {"reasoning": {"effort": "none"}}),
        ("https://openrouter.ai/api/v1", "qwen/qwen3-vl", True, {"reasoning": {"enabled": True}}),
        ("https://openrouter.ai/api/v1", "qwen/qwen3-vl", "low", {"reasoning": {"effort": "low"}}),
        ("https://generativelanguage.googleapis.com/v1beta/openai/", "gemini-3.8-flash", False, {"reasoning_effort": "none"}),
        ("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "qwen-plus", False, {"enable_thinking": False}),
        ("http://localhost:11434/v1", "qwen3-vl", False, {"reasoning_effort": "none"}),
        ("http://localhost:11434/v1", "qwen3-vl", True, {}),
        ("https://api.openai.com/v1", "gpt-5.2", False, {"reasoning_effort": "none"}),
        ("https://api.openai.com/v1", "gpt-5.2", "xhigh", {"reasoning_effort": "xhigh"}),
        ("https://api.openai.com/v1", "gpt-5-mini", False, {"reasoning_effort": "minimal"}),
        ("https://api.openai.com/v1", "gpt-5", False, {"reasoning_effort": "minimal"}),
        ("https://api.openai.com/v1", "o4-mini", "minimal", {"reasoning_effort": "low"}),
        ("https://api.openai.com/v1", "gpt-4o", True, {}),
        ("https://me:secret@api.moonshot.ai/v1", "kimi-k2.5", True, {"thinking": ON}),
    ],
)
def test_every_endpoint_gets_the_switch_it_knows(url, model, thinking, fields):
    assert thinking_fields(url, model, thinking)[0] == fields


def test_nothing_is_sent_where_nothing_was_asked_for():
    assert thinking_fields(LOCAL, "m", None)[0] == {}
    assert thinking_fields(LOCAL, "m", None)[1] is None


def test_an_effort_on_a_local_server_also_switches_reasoning_on():
    fields = thinking_fields(LOCAL, "qwen3.8", "low")[0]
    assert fields["reasoning_effort"] == "low"
    assert fields["chat_template_kwargs"]["enable_thinking"] is True


def test_a_host_that_only_looks_like_one_of_the_table_is_not_it():
    assert "chat_template_kwargs" in thinking_fields("http://notmoonshot.ai.example/v1", "m", True)[0]


@pytest.mark.parametrize(
    ("url", "model", "thinking", "said"),
    [
        ("https://api.moonshot.ai/v1", "kimi-k2.5", "high", "only on or off: thinking=high means on"),
        ("https://api.openai.com/v1", "o4-mini", "xhigh", "does not take the effort xhigh: high is sent"),
        ("https://api.openai.com/v1", "o4-mini", False, "cannot be switched off"),
        ("https://api.openai.com/v1", "gpt-4o", True, "does not reason: thinking=true has no effect"),
    ],
)
def test_what_cannot_be_done_is_told(url, model, thinking, said):
    assert said in thinking_fields(url, model, thinking)[1]


@pytest.mark.parametrize(("model", "thinking"), [("kimi-k2.5", True), ("kimi-k2.5", False), ("gpt-4o", False)])
def test_what_is_done_as_asked_needs_no_words(model, thinking):
    url = "https://api.openai.com/v1" if model == "gpt-4o" else "https://api.moonshot.ai/v1"
    assert thinking_fields(url, model, thinking)[1] is None


def test_an_unknown_effort_is_an_error():
    with pytest.raises(ValueError, match="'enormous' is not known"):
        thinking_fields(LOCAL, "m", "enormous")[0]

"""Request fields that switch reasoning on or off, or set its effort: each endpoint has its own.

The first row of the table whose host and model match counts; the last row is for self-hosted servers. What an endpoint
cannot do is approximated, and noted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from ...privacy import host_of
from ..endpoint_address import OPENAI_HOST

EFFORTS = ("minimal", "low", "medium", "high", "xhigh")
"""Efforts, from the least to the most."""

EffortField = Literal["reasoning_effort", "reasoning.effort", ""]


class ReasoningSwitch(NamedTuple):
    """A row of the table: which endpoints and models it is for, and their request fields."""

    hosts: str
    """Regular expression, searched in `host:port`."""
    models: str
    """Regular expression, searched in the name of the model in lower case."""
    on: Mapping[str, Any] = {}
    """Fields for True, and in addition to an effort."""
    off: Mapping[str, Any] = {}
    """Fields for False."""
    effort: EffortField = ""
    """Field of the effort; empty where reasoning is only on or off: then an effort means on."""
    efforts: tuple[str, ...] = EFFORTS
    """Efforts that the endpoint takes; for others the nearest one is sent."""
    can: Literal["both", "only on", "only off"] = "both"
    """`only on`: reasoning cannot be switched off, and `off` is its minimum; `only off`: the model does not reason."""


REASONING_SWITCHES = (
    # OpenAI: models before the GPT-5.1 do not know "none"; the ones before the o series do not reason and refuse the field.
    ReasoningSwitch(OPENAI_HOST, r"^(gpt-3|gpt-4|chatgpt)|chat-latest", can="only off"),
    ReasoningSwitch(OPENAI_HOST, r"^o\d", on={"reasoning_effort": "medium"}, off={"reasoning_effort": "low"},
                    effort="reasoning_effort", efforts=("low", "medium", "high"), can="only on"),
    ReasoningSwitch(OPENAI_HOST, r"^gpt-5(-(?!\d$)|$)", on={"reasoning_effort": "medium"}, off={"reasoning_effort": "minimal"},
                    effort="reasoning_effort", efforts=("minimal", "low", "medium", "high"), can="only on"),
    ReasoningSwitch(OPENAI_HOST, "", on={"reasoning_effort": "medium"}, off={"reasoning_effort": "none"},
                    effort="reasoning_effort", efforts=("low", "medium", "high", "xhigh")),
    # Moonshot, platform.kimi.ai/docs/api/models-overview: on or off, no effort.
    ReasoningSwitch(r"(^|\.)(moonshot\.(ai|cn)|kimi\.(ai|com))(:|$)", "", on={"thinking": {"type": "enabled"}},
                    off={"thinking": {"type": "disabled"}}),
    # DeepSeek, api-docs.deepseek.com/guides/thinking_mode: maps the efforts it lacks by itself.
    ReasoningSwitch(r"(^|\.)deepseek\.com(:|$)", "", on={"thinking": {"type": "enabled"}}, off={"thinking": {"type": "disabled"}},
                    effort="reasoning_effort"),
    # Z.ai, docs.z.ai chat completion: the effort counts from GLM-5.2 on and is ignored before; GLM-5.3 cannot be switched off.
    ReasoningSwitch(r"(^|\.)(z\.ai|bigmodel\.cn)(:|$)", r"glm-5\.3", on={"thinking": {"type": "enabled"}},
                    off={"reasoning_effort": "low"}, effort="reasoning_effort", efforts=("low", "high"), can="only on"),
    ReasoningSwitch(r"(^|\.)(z\.ai|bigmodel\.cn)(:|$)", "", on={"thinking": {"type": "enabled"}},
                    off={"thinking": {"type": "disabled"}}, effort="reasoning_effort"),
    # OpenRouter, openrouter.ai/docs/use-cases/reasoning-tokens: translates for whoever serves the model.
    ReasoningSwitch(r"(^|\.)openrouter\.ai(:|$)", "", on={"reasoning": {"enabled": True}}, off={"reasoning": {"effort": "none"}},
                    effort="reasoning.effort"),
    # Gemini's OpenAI endpoint, ai.google.dev/gemini-api/docs/openai; "minimal" is in its table but was refused.
    ReasoningSwitch(r"(^|\.)generativelanguage\.googleapis\.com(:|$)", "", on={"reasoning_effort": "medium"},
                    off={"reasoning_effort": "none"}, effort="reasoning_effort", efforts=("low", "medium", "high")),
    # Alibaba Model Studio, help.aliyun.com/en/model-studio/deep-thinking: on or off, no effort.
    ReasoningSwitch(r"(^|[.-])(dashscope|maas)[a-z-]*\.aliyuncs\.com(:|$)", "", on={"enable_thinking": True},
                    off={"enable_thinking": False}),
    # Ollama, github.com/ollama/ollama issue 14820: on by itself where the model can, and levels only for models that have them.
    ReasoningSwitch(r":11434$|(^|\.)ollama\.com(:|$)", "", off={"reasoning_effort": "none"},
                    effort="reasoning_effort", efforts=("low", "medium", "high")),
    # gpt-oss wherever it is served, github.com/vllm-project/vllm issue 22809: it always reasons.
    ReasoningSwitch("", r"gpt-oss", on={"reasoning_effort": "medium"}, off={"reasoning_effort": "low"},
                    effort="reasoning_effort", efforts=("low", "medium", "high"), can="only on"),
    # vLLM, SGLang and llama.cpp: variables of the chat template. Qwen's, GLM's and Gemma's call it `enable_thinking`, Kimi's and
    # DeepSeek's `thinking`; a template ignores what it does not use, so both go out. docs.vllm.ai reasoning_outputs,
    # SGLang separate_reasoning, llama.cpp tools/server/README.
    ReasoningSwitch("", "", on={"chat_template_kwargs": {"enable_thinking": True, "thinking": True}},
                    off={"chat_template_kwargs": {"enable_thinking": False, "thinking": False}}, effort="reasoning_effort"),
)  # fmt: skip


def thinking_fields(base_url: str, model: str, thinking: bool | str | None) -> tuple[dict[str, Any], str | None]:
    """Return the body fields that switch reasoning, and a sentence if they only approximate the option.

    Args:
        base_url: the endpoint.
        model: the model's name there.
        thinking: on, off, an effort (`minimal` to `xhigh`), or None to leave it to the endpoint.

    Raises:
        ValueError: the effort is not known.
    """
    if thinking is None:
        return {}, None
    if isinstance(thinking, str) and thinking not in EFFORTS:
        raise ValueError(f"the effort {thinking!r} is not known: write true, false, {', '.join(EFFORTS)}")
    host, name = host_of(base_url).lower(), model.lower()
    row = next(s for s in REASONING_SWITCHES if re.search(s.hosts, host) and re.search(s.models, name))
    if row.can == "only off":
        return {}, f"{model} does not reason: thinking={str(thinking).lower()} has no effect." if thinking is not False else None
    if thinking is False:
        note = f"The reasoning of {model} cannot be switched off: its minimum is requested."
        return dict(row.off), note if row.can == "only on" else None
    if thinking is True:
        return dict(row.on), None
    if not row.effort:
        return dict(row.on), f"{model} has reasoning only on or off: thinking={thinking} means on."
    sent = min(row.efforts, key=lambda known: abs(EFFORTS.index(known) - EFFORTS.index(thinking)))
    note = f"{model} does not take the effort {thinking}: {sent} is sent." if sent != thinking else ""
    if row.effort == "reasoning.effort":
        return {"reasoning": {"effort": sent}}, note or None
    return {**row.on, "reasoning_effort": sent}, note or None

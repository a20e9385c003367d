"""A chat model that answers at random: `random`, to rehearse runs, and judges of benchmarks, without a model.

What it says has the form that is asked for: that of a role's schema, of marks, of letters, of yes or no, of one word with its
probabilities. What it says is decided by what it is asked: the same words and pictures are answered the same way.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from ..numerals import NUMBER_WORDS

YES_NO = ("Yes", "No", "yes", "no", " Yes", " No", " yes", " no")
COUNTS = (*NUMBER_WORDS[1:11], *map(str, range(1, 11)))
READ = ("the", "of", "and", "a", "to", "in", "is", "OPEN", "SALE", "的", "一", "是", "了", "我")
"""Words that a text may well hold."""
MOST_CHECKS = 4
REASON = "this was decided at random"


class RandomChat(BaseChatModel):
    """Plays every role of GEMS, and any judge, without looking."""

    model_name: str = "random"

    gives_logprobs: ClassVar[bool] = True
    """For one word of a judge only."""

    @property
    def _llm_type(self) -> str:
        return "random"

    def bind_tools(
        self, tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool], **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools; it may load one skill."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        chance = random.Random(repr([message.content for message in messages]))
        told = "\n".join(message.text for message in messages if message.type == "human")
        wanted = kwargs.get("response_format", {}).get("json_schema", {}).get("name")
        if wanted:
            message = AIMessage(json.dumps(_played(wanted, told, chance), ensure_ascii=False))
        elif kwargs.get("tools"):
            message = _planned(kwargs["tools"], messages, told, chance)
        elif kwargs.get("logprobs"):
            message = _word(told, int(kwargs.get("top_logprobs") or 0), chance)
        else:
            message = AIMessage(_judged(told, chance))
        read, said = len(told.split()), len(message.text.split())
        message.usage_metadata = UsageMetadata(input_tokens=read, output_tokens=said, total_tokens=read + said)
        return ChatResult(generations=[ChatGeneration(message=message)])


def _played(schema: str, told: str, chance: random.Random) -> dict[str, Any]:
    """Answer as a role: what a schema does not have is left aside by who reads it."""
    request = _tag(told, "request")
    if schema == "Checks":
        parts = [part.strip() for part in re.split(r"[.,;:!?。，；：]", request) if part.strip()][:MOST_CHECKS]
        return {"checks": [{"kind": "object", "question": f"Is this in the image: {part}?"} for part in parts]}
    if schema == "Findings":
        ids = re.findall(r"^(\S+?)\. ", _tag(told, "questions"), re.MULTILINE)
        return {"findings": [{"id": id, "answer": chance.choice(("yes", "no")), "reason": REASON} for id in ids]}
    if schema == "LearnedLessons":
        return {"lessons": []}
    return {
        "prompt": request if schema == "Plan" else f"{request} (take {chance.randrange(2, 1000)})",
        "strategy": REASON,
        "action": "regenerate",
        "experience": f"Nothing was learned: {REASON}.",
    }


def _planned(tools: Sequence[dict[str, Any]], messages: Sequence[BaseMessage], told: str, chance: random.Random) -> AIMessage:
    """Load a skill, or none, and then plan."""
    offered: list[str] = []
    for tool in tools if messages[-1].type == "human" else ():
        if tool["function"]["name"] == "load_skill":
            name = tool["function"]["parameters"]["properties"]["name"]
            offered = name.get("enum") or [name["const"]]
    if offered and chance.random() < 0.5:
        load = {"name": "load_skill", "args": {"name": chance.choice(offered)}, "id": "call_1", "type": "tool_call"}
        return AIMessage("", tool_calls=[load])
    return AIMessage(json.dumps(_played("Plan", told, chance), ensure_ascii=False))


def _judged(told: str, chance: random.Random) -> str:
    """Answer a judge's question in words."""
    if marks := re.findall(r'"(\w+)": (\d+)-(\d+)', told):
        return json.dumps({name: chance.randint(int(low), int(high)) for name, low, high in marks})
    if "multiple-choice" in told:
        return "\n".join(f"{n}. {chance.choice('ABCDE')}" for n in re.findall(r"^(\d+)\. ", told, re.MULTILINE))
    if re.search(r"\byes\b.{0,12}\bno\b", told, re.IGNORECASE):
        return chance.choice(("yes", "no"))
    if "one word" in told:
        return _word(told, 0, chance).text
    return " ".join(chance.sample(READ, len(READ) // 2))


def _word(told: str, alternatives: int, chance: random.Random) -> AIMessage:
    """Answer in one token, with the probabilities of what else might have been said."""
    first, second = (COUNTS, YES_NO) if "how many" in told.casefold() else (YES_NO, COUNTS)
    weights = [chance.random() ** 4 + 0.001 for _ in first] + [0.0001] * len(second)
    likely = sorted(zip([*first, *second], weights, strict=True), key=lambda one: -one[1])
    top = [{"token": token, "logprob": math.log(weight / sum(weights)), "bytes": list(token.encode())} for token, weight in likely]
    content = [{**top[0], "top_logprobs": top[:alternatives]}]
    return AIMessage(likely[0][0].strip(), response_metadata={"logprobs": {"content": content}})


def _tag(text: str, name: str) -> str:
    found = re.search(rf"<{name}>\s*(.*?)\s*</{name}>", text, re.DOTALL)
    return found[1] if found else ""

"""Base of the chat models that are Python code and no network: tools, structured answers, and token counts."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool


class ScriptedChat(BaseChatModel):
    """A chat model whose answers a Python function writes. Subclasses give `answer` and `count_tokens`."""

    gives_logprobs: ClassVar[bool] = True
    """For one-word answers to a judge only; JSON answers of roles have no log-probabilities."""

    @abstractmethod
    def answer(self, messages: Sequence[BaseMessage], options: Mapping[str, Any]) -> AIMessage:
        """Return the answer to messages.

        Args:
            messages: of the whole conversation.
            options: of the call, such as `tools`, `response_format` and `logprobs`.
        """

    @abstractmethod
    def count_tokens(self, messages: Sequence[BaseMessage], answer: AIMessage) -> tuple[int, int]:
        """Return the number of tokens of the messages, and of the answer."""

    def bind_tools(
        self, tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool], **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools; only `load_skill` is ever called."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        message = self.answer(messages, kwargs)
        tokens_in, tokens_out = self.count_tokens(messages, message)
        message.usage_metadata = UsageMetadata(
            input_tokens=tokens_in, output_tokens=tokens_out, total_tokens=tokens_in + tokens_out
        )
        return ChatResult(generations=[ChatGeneration(message=message)])


def schema_name(options: Mapping[str, Any]) -> str:
    """Return the name of the schema in `response_format`, empty where there is none."""
    wanted = options.get("response_format") or {}
    return str(wanted.get("json_schema", {}).get("name", "")) if isinstance(wanted, dict) else ""


def tag_content(text: str, tag: str) -> str:
    """Return what stands between `<tag>` and `</tag>`, empty where there is no such tag."""
    match = re.search(rf"<{tag}>\s*(.*?)\s*</{tag}>", text, re.DOTALL)
    return match[1] if match else ""


def loadable_skills(tools: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of the skills that the tool `load_skill` offers, empty without that tool."""
    for tool in tools:
        if tool["function"]["name"] == "load_skill":
            name = tool["function"]["parameters"]["properties"]["name"]
            return list(name.get("enum") or [name["const"]])
    return []


def load_skills(names: Sequence[str]) -> AIMessage:
    """Return the message that calls the tool `load_skill` for each of these skills."""
    calls = [{"name": "load_skill", "args": {"name": name}, "id": f"call_{name}", "type": "tool_call"} for name in names]
    return AIMessage("", tool_calls=calls)

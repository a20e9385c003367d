"""Judges by their specs: `rapidocr`, `perception`, or a chat model that sees images."""

from __future__ import annotations

from collections.abc import Mapping

from langchain_core.language_models import BaseChatModel

from ...errors import GemsError, JudgeError, ModelSpecError
from ...models.chat.call import model_name
from ...models.options import ChatOptions
from ...models.registry import chat_model
from ...privacy import folder_name
from .base import Judge
from .chat import ChatJudge
from .ocr import OcrJudge
from .shapes import PerceptionJudge

JUDGES: Mapping[str, type[OcrJudge] | type[PerceptionJudge]] = {"rapidocr": OcrJudge, "perception": PerceptionJudge}
"""Judges that are not chat models, by their specs."""


def judge_of(spec: str | ChatOptions | BaseChatModel, *, concurrency: int = 8) -> Judge:
    """Return a judge.

    Args:
        spec: `rapidocr`; `perception`, which sees shapes; or a chat model that sees images: `shapes`, `openai:MODEL`,
            `http(s)://HOST/v1#MODEL`, its options, or the model itself. Reasoning is off unless the options say otherwise.
        concurrency: most calls to its endpoint at the same time; options have a number of their own.

    Raises:
        JudgeError: the spec is not understood, the key is missing, or RapidOCR is not installed.
    """
    if isinstance(spec, BaseChatModel):
        return ChatJudge(spec, folder_name(model_name(spec)))
    try:
        if isinstance(spec, str) and spec in JUDGES:
            return JUDGES[spec]()
        options = spec if isinstance(spec, ChatOptions) else ChatOptions(model=spec).with_known(in_flight=concurrency)
        if getattr(options, "thinking", None) is None:
            options = options.with_known(thinking=False)
        chat = chat_model(options.with_known(temperature=None))  # each question has its own
    except ModelSpecError as error:
        message = str(error).replace("--chat", "--judge").replace("the chat model", "the judge")
        raise JudgeError(message.replace("write shapes,", "write rapidocr, perception, shapes,")) from error
    except GemsError as error:
        raise JudgeError(str(error)) from error
    return ChatJudge(
        chat,
        folder_name(model_name(chat)),
        # Of a model that has no such option too: recorded answers have it in their keys.
        settings={"thinking": False, **options.model_dump(include={"thinking", "top_p", "extra_body"}, exclude_defaults=True)},
        least_tokens=getattr(options, "max_tokens", None) or 0,
    )

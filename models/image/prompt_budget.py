"""How much of a prompt a pipeline reads, by its own tokenizer and template."""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import Mapping
from typing import Any

from .families import PipelineFamily

PLACEHOLDER = "\N{OBJECT REPLACEMENT CHARACTER}"


class PromptBudget:
    """Counts the tokens of prompts with copies of the tokenizers of a pipeline.

    Copies, because a tokenizer remembers the truncation of its last call: counting with the original would change what the
    pipeline reads in another thread.

    Args:
        pipeline: a loaded pipeline.
        family: its row.
        call: options of its call, for `max_sequence_length` in tokens.
    """

    def __init__(self, pipeline: Any, family: PipelineFamily, call: Mapping[str, Any]) -> None:
        self._family = family
        self._template: str = getattr(pipeline, "prompt_template_encode", "{}")
        self._system: str = getattr(pipeline, "system_message", "")
        self._skips: int = getattr(pipeline, "prompt_template_encode_start_idx", 0) if family.wraps == "template" else 0
        # The 2.1 and edit pipelines have a processor, and FLUX.2 calls its processor a tokenizer.
        names = [n for n in ("tokenizer", "tokenizer_2", "tokenizer_3", "tokenizer_4") if getattr(pipeline, n, None)]
        parts = [getattr(pipeline, n) for n in names or ["processor"] if getattr(pipeline, n, None)]
        self._template_owner: Any = copy.deepcopy(parts[0]) if parts else None
        inner = [self._template_owner, *(copy.deepcopy(p) for p in parts[1:])]
        tokenizers = [getattr(p, "tokenizer", p) for p in inner]
        self._tokenizers = [t for t in tokenizers if getattr(t, "is_fast", False)]
        self._all_fast = bool(tokenizers) and len(self._tokenizers) == len(tokenizers)
        option = inspect.signature(pipeline.__call__).parameters.get("max_sequence_length")
        self._limit: int | None = call.get("max_sequence_length", option.default if option else None)
        self._lock = threading.Lock()

    def _with_template(self, prompt: str) -> str:
        """Return a prompt in the template that the tokenizer receives."""
        match self._family.wraps:
            case "chat" | "chat-no-thinking":
                text: str = self._template_owner.apply_chat_template(
                    [{"role": "user", "content": prompt}],
                    tokenize=False,
                    add_generation_prompt=True,
                    enable_thinking=self._family.wraps == "chat",
                )
            case "conversation":
                parts = {"system": self._system, "user": prompt}
                messages = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in parts.items()]
                text = self._template_owner.apply_chat_template(messages, tokenize=False, add_generation_prompt=False)
            case "template":
                text = self._template.format(prompt)
            case "none":
                text = prompt
        return text

    def _token_spans(self, tokenizer: Any, text: str, most: int | None = None) -> list[tuple[int, int]]:
        """Return the (start, end) characters of each token, of the first `most` tokens."""
        bos = tokenizer.bos_token
        twice = self._family.wraps == "conversation" and bos is not None and text.startswith(bos)
        with self._lock:
            encoded = tokenizer(
                text,
                return_offsets_mapping=True,
                truncation=most is not None,
                max_length=most,
                add_special_tokens=not twice,
                verbose=False,
            )
        spans: list[tuple[int, int]] = encoded["offset_mapping"]
        return spans

    def _max_tokens(self, tokenizer: Any) -> int | None:
        """Return the most tokens that a text encoder receives; None without a limit."""
        if not self._family.cuts:
            return None
        if self._family.wraps != "none":
            return None if self._limit is None else self._limit + self._skips
        # Tokenizers without a limit of their own say a very large number.
        limits = [n for n in (self._limit, tokenizer.model_max_length) if n is not None and n < 10**6]
        return min(limits, default=None)

    @property
    def limit(self) -> int | None:
        """Most tokens of a prompt that are read, without the template; None without a limit, or if it is unknown."""
        before = self._with_template(PLACEHOLDER).index(PLACEHOLDER) if self._template_owner is not None else 0
        counts = []
        for tokenizer in self._tokenizers:
            most = self._max_tokens(tokenizer)
            if most is None:
                return None
            around = sum(1 for start, end in self._token_spans(tokenizer, self._with_template("")) if end <= before)
            counts.append(max(0, most - around))
        return max(counts, default=None)

    def truncated(self, prompt: str) -> str | None:
        """Return the end of a prompt that no text encoder receives; None if all is read, or if that is unknown."""
        if not self._all_fast:
            return None
        if self._family.wraps == "conversation":
            prompt = prompt.replace("[IMG]", "")  # as format_input in pipeline_flux2.py does
        text = self._with_template(prompt)
        before = self._with_template(PLACEHOLDER).index(PLACEHOLDER)
        read = 0
        for tokenizer in self._tokenizers:
            most = self._max_tokens(tokenizer)
            if most is None or len(self._token_spans(tokenizer, text)) <= most:
                return None
            read = max([read, *(end - before for _, end in self._token_spans(tokenizer, text, most))])
        return prompt[read:] or None

    def padded_length(self, prompt: str) -> tuple[int, bool]:
        """Return the padded length of a prompt in tokens, and whether it fills the limit, so that it needs no mask.

        The length is 0 where it is fixed, else rounded and truncated as the family does.
        """
        if not self._tokenizers:
            return 0, False
        most = self._max_tokens(self._tokenizers[0])
        count = len(self._token_spans(self._tokenizers[0], self._with_template(prompt), most))
        step = self._family.length_step
        return -(-count // step) * step if step else 0, count == most

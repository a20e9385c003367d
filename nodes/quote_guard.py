"""Quoted texts of a request survive every rewrite: code puts lost ones back into the prompt."""

from __future__ import annotations

from ..memory.quoted_text import quoted_strings
from .checks.text_match import contains, normalize

QUOTE_PAIRS = (('"', '"'), ("“", "”"), ("«", "»"), ("「", "」"))
"""Quotation marks around a text that is put back: the first pair that it does not contain."""


def restore_quoted(prompt: str, request: str) -> tuple[str, list[str]]:
    """Put the quoted texts of a request back into a rewritten prompt.

    Returns:
        The prompt, and the texts that were missing.
    """
    normalized = normalize(prompt)
    lost = [text for text in visible_quotes(request) if not contains(normalized, normalize(text))]
    for text in lost:
        opener, closer = next((pair for pair in QUOTE_PAIRS if not set(pair) & set(text)), QUOTE_PAIRS[0])
        prompt = f"{prompt.rstrip().rstrip('.')}. The image shows the text {opener}{text}{closer}."
    return prompt, lost


def visible_quotes(request: str) -> list[str]:
    """Return the quoted texts of a request, without those of invisible characters only, such as a zero-width space."""
    return [text for text in quoted_strings(request) if normalize(text)]

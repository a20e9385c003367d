"""The guard of the user's quoted strings: they survive every rewrite, checked in code."""

from __future__ import annotations

from ..memory.quotes import quoted_strings
from .checks.text_match import contains, normalize

QUOTE_PAIRS = (('"', '"'), ("“", "”"), ("«", "»"), ("「", "」"))
"""What a text is quoted in when it is put back: the first marks that it does not hold itself."""


def restore_quoted(prompt: str, request: str) -> tuple[str, list[str]]:
    """Put back quoted strings of the request that a rewritten prompt has lost.

    Returns:
        The prompt, and the strings that had to be put back.
    """
    there = normalize(prompt)
    lost = [text for text in visible_quotes(request) if not contains(there, normalize(text))]
    for text in lost:
        opener, closer = next((pair for pair in QUOTE_PAIRS if not set(pair) & set(text)), QUOTE_PAIRS[0])
        prompt = f"{prompt.rstrip().rstrip('.')}. The image shows the text {opener}{text}{closer}."
    return prompt, lost


def visible_quotes(request: str) -> list[str]:
    """Return the quoted strings of a request, without those of signs that cannot be seen, such as a zero-width space."""
    return [text for text in quoted_strings(request) if normalize(text)]

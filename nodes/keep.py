"""The guard of the user's quoted strings: they survive every rewrite, checked in code."""

from __future__ import annotations

import re

from ..memory.state import quoted_strings


def keep_quoted(prompt: str, request: str) -> tuple[str, list[str]]:
    """Put back quoted strings of the request that a rewritten prompt has lost.

    Returns:
        The prompt, and the strings that had to be put back.
    """
    lost = [text for text in quoted_strings(request) if not re.search(rf"(?<!\w){re.escape(text)}(?!\w)", prompt)]
    for text in lost:
        prompt = f'{prompt.rstrip().rstrip(".")}. The image shows the text "{text}".'
    return prompt, lost

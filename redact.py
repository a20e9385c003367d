"""Secrets out of text: servers quote the keys they are sent, in errors and even in answers, and text is kept."""

from __future__ import annotations

import base64
from functools import lru_cache
from itertools import groupby
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"
SHORTEST = 8
"""Characters of the shortest secret. What stands for a key where none is wanted is shorter: none, EMPTY, ollama."""
LONG = 16
"""Characters from which on a secret is also found in pieces: it may have been cut."""
PIECE = 8
"""Characters of the shortest piece that is found."""


def redact(text: str, *secrets: str) -> str:
    """Return text with `***` in the place of secrets: whole, cut off, URL-encoded or in base64 together with other text."""
    if len(text) < PIECE:  # as the many tokens of an answer are
        return text
    for secret in secrets:
        if len(secret) >= SHORTEST:
            text = _without(text, secret)
    return text


def redact_all(value: Any, *secrets: str) -> Any:
    """Return a value with `***` in the place of secrets in all texts inside of its dicts, lists and tuples."""
    if isinstance(value, str):
        return redact(value, *secrets)
    if isinstance(value, dict):
        return {key: redact_all(item, *secrets) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(redact_all(item, *secrets) for item in value)
    return value


def _without(text: str, secret: str) -> str:
    hidden = bytearray(len(text))
    for size, pieces in _pieces(secret).items():
        for at in range(len(text) - size + 1):
            if text[at : at + size] in pieces:
                hidden[at : at + size] = b"\1" * size
    if not any(hidden):
        return text
    runs = groupby(zip(text, hidden, strict=True), key=lambda pair: pair[1])
    return "".join(MASK if masked else "".join(sign for sign, _ in run) for masked, run in runs)


@lru_cache(maxsize=64)
def _pieces(secret: str) -> dict[int, frozenset[str]]:
    """Return what gives a secret away, by length: its forms, or all pieces of these if it is long."""
    found: dict[int, set[str]] = {}
    for form in _forms(secret):
        size = PIECE if len(secret) >= LONG else len(form)
        found.setdefault(size, set()).update(form[at : at + size] for at in range(len(form) - size + 1))
    return {size: frozenset(pieces) for size, pieces in found.items()}


def _forms(secret: str) -> set[str]:
    data = secret.encode()
    forms = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret)}
    for shift, begin in enumerate((0, 2, 3)):  # in base64 its signs depend on how many bytes stand before it, modulo 3
        end = (shift + len(data)) * 8 // 6  # those after this one depend on what follows
        core = base64.b64encode(bytes(shift) + data).decode()[begin:end]
        forms |= {core, core.replace("+", "-").replace("/", "_")}
    return forms

"""Secrets out of text: servers quote the keys they are sent, in errors and even in answers, and text is kept."""

from __future__ import annotations

import base64
import re
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
WORD = 12
"""Characters from which on what could be a plain word is taken for a piece."""
PLACEHOLDERS = frozenset({"sk-no-key-required", "no-key-required", "not-needed", "not-required", "lm-studio"})
"""What servers that want no key have one write in its place."""
PLAIN = re.compile(r"[A-Z]?[a-z]+")
"""A word of ordinary text."""
PARTS = re.compile(r"[A-Za-z]{1,15}([-_][A-Za-z]{1,15})*")
"""What may be no more than words: longer ones are letters by chance."""


def redact(text: str, *secrets: str) -> str:
    """Return text with `***` in the place of secrets: whole, cut off, URL-encoded or in base64 together with other text.

    Words that only happen to be in a secret stay. What is a single word, or stands for a key where none is wanted, is none.
    """
    if len(text) < PIECE:  # as the many tokens of an answer are
        return text
    for secret in secrets:
        if len(secret) >= SHORTEST and secret not in PLACEHOLDERS and not _is_word(secret):
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
            if (piece := text[at : at + size]) in pieces:
                sure = len(secret) < LONG or not PLAIN.fullmatch(piece)
                hidden[at : at + size] = bytes(max(old, 1 + sure) for old in hidden[at : at + size])
    if not any(hidden):
        return text
    enough = len(text) + 1 if PARTS.fullmatch(secret) else WORD
    out, at = [], 0
    for masked, run in groupby(hidden, key=bool):
        marks = bytes(run)
        out.append(MASK if masked and (2 in marks or len(marks) >= enough) else text[at : at + len(marks)])
        at += len(marks)
    return "".join(out)


def _is_word(secret: str) -> bool:
    return len(secret) < LONG and (
        PLAIN.fullmatch(secret) is not None or (secret.isascii() and secret.isalpha() and secret.isupper())
    )


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

"""What is kept out of everything that is written or sent on: keys, hosts, and the folders of paths.

Keys are read from the environment in one place. Servers quote the keys that they are sent, in errors and even in answers,
and both are recorded; so are the reasons of errors, which name hosts and folders.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

from pydantic import BaseModel, SecretStr

from .errors import ModelSpecError

Message = TypeVar("Message", bound=BaseModel)

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


SECRET_ENDINGS = (
    *("apikey", "accesskey", "secretkey", "subscriptionkey", "token", "authorization", "password", "passwd", "secret"),
    *("signature", "cookie"),
)
"""How names of fields end that hold secrets, without `-` and `_`."""
SECRET_FIELDS = frozenset({"key", "sig"})
"""Whole names of fields that hold secrets: others that end so are harmless, such as `prompt_cache_key`."""
MARKS = re.compile(r"(eos|bos|pad|unk|sep|cls|mask|stop|image)token")
"""Names of fields that hold signs of a tokenizer."""


def read_key(variable: str) -> str:
    """Return the key in an environment variable, empty where there is none.

    Raises:
        ModelSpecError: it has characters that no key has; the transport's own error would quote it.
    """
    key = os.environ.get(variable, "").strip()  # from a file it often ends in a line break
    if not (key.isascii() and key.isprintable()):
        raise ModelSpecError(f"the key in {variable} has characters that no key has: set it anew")
    return key


def refuse_secrets(option: str, spec: str, fields: Any) -> None:
    """Refuse a key in the URL of a model or in the fields of its calls: both are recorded.

    Args:
        option: what it is an option of, for the message: chat or image.
        spec: the model's spec.
        fields: what is added to its calls.

    Raises:
        ModelSpecError: there is one.
    """
    given = parse_qsl(urlsplit(spec).query, keep_blank_values=True) if "://" in spec else []
    if found := next((name for name, value in [*given, *_fields(fields)] if _holds_a_secret(name, value)), None):
        raise ModelSpecError(
            f"--{option}: the field {found!r} would be recorded with its value: put the key into the environment variable "
            "GEMS_API_KEY, or into the one that the option key_env names"
        )


def _fields(value: Any) -> list[tuple[str, Any]]:
    """Return all fields within plain data, with their values."""
    if isinstance(value, dict):
        return [field for key, inner in value.items() for field in ((str(key), inner), *_fields(inner))]
    return [field for inner in value for field in _fields(inner)] if isinstance(value, list) else []


def _holds_a_secret(name: str, value: Any) -> bool:
    name = name.lower().replace("-", "").replace("_", "")
    if name.endswith("token") and (isinstance(value, bool | int | float) or MARKS.fullmatch(name)):
        return False  # a number of tokens, whether to give them, or a sign
    return name in SECRET_FIELDS or name.endswith(SECRET_ENDINGS)


def keys_of(model: Any) -> tuple[str, ...]:
    """Return the keys that a model sends to its endpoint: what it holds as `SecretStr`."""
    while (inner := getattr(model, "bound", None)) is not None:
        model = inner
    return tuple(v.get_secret_value() for v in getattr(model, "__dict__", {}).values() if isinstance(v, SecretStr))


def without_keys(message: Message, model: Any) -> Message:
    """Return a model's message without the keys that the model has sent: some proxies answer with what they were asked."""
    keys = keys_of(model)
    if not keys:
        return message
    whole = message.model_dump()
    clean = redact_all(whole, *keys)
    return message if clean == whole else type(message).model_validate(clean)


_TOP = "root|home|Users|Volumes|tmp|var|mnt|opt|srv|usr|etc"
"""Folders at the top of a disk: what begins with them is a path, also where it stands right after a letter of another script."""

_PATH = re.compile(
    rf"""(?<![A-Za-z0-9_/.~\\-])(?:file:///?)?                # not inside a word, a web address or a relative path
        (?: /(?:home|Users)/(?:[^\s/"'<>|]+(?:[ ][A-Z][^\s/"'<>|]*){{0,2}}/)+               # /home/First Last/...
          | [A-Za-z]:[\\/]Users[\\/](?:[^\s\\/"'<>|]+(?:[ ][A-Z][^\s\\/"'<>|]*){{0,2}}[\\/])+   # C:\Users\First Last\...
          | /(?:{_TOP})/(?:[^\s/"'<>|]+/)*                  # /home/me/...
          | /(?=(?:{_TOP})(?![^\s"'<>|,;:.!?)]))            # /root
          | (?<!\w)/(?!v\d+/(?!\S*\.\./))(?:[^\s/"'<>|]+/)+   # /any/folder/..., but not /v1/images/...
          | [A-Za-z]:[\\/](?:[^\s\\/"'<>|]+[\\/])*          # C:\Users\me\...
          | \\\\(?:[^\s\\/"'<>|]+[\\/])+ )                  # \\server\share\...""",
    re.VERBOSE,
)


def without_paths(text: str) -> str:
    """Return text with `…/` in the place of the folders of absolute paths.

    Example:
        ```python
        without_paths("no file /home/me/models/a.safetensors")  # 'no file …/a.safetensors'
        ```
    """
    return _PATH.sub("…/", text)


def folder_name(name: str) -> str:
    """Return a model's name; of one that is a local folder, the folder's own name."""
    return PurePosixPath(name).name if name.startswith(("/", "~", ".", "file:/")) else name


def host_of(url: str) -> str:
    """Return host and port of a URL, without a user's name and password; empty if it has none."""
    return urlsplit(url).netloc.rpartition("@")[2]


def without_hosts(text: str, urls: Iterable[str]) -> str:
    """Return text with `HOST` in the place of the hosts of these URLs, with and without their ports."""
    hosts = {form for url in urls if (host := host_of(url)) for form in (host, host.rpartition(":")[0] or host)}
    for host in sorted(hosts, key=len, reverse=True):
        text = re.sub(rf"(?<![\w.-]){re.escape(host)}(?![\w-])", "HOST", text, flags=re.IGNORECASE)
    return text

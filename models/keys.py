"""Keys of endpoints: read from the environment in one place, and taken out of whatever a model sends back."""

from __future__ import annotations

import os
import re
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from langchain_core.messages import AIMessage
from pydantic import SecretStr

from ..errors import ModelSpecError
from ..privacy import redact_all

Message = TypeVar("Message", bound=AIMessage)

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

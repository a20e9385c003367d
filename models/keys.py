"""Keys of endpoints: read from the environment in one place, and taken out of whatever a model sends back."""

from __future__ import annotations

import os
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from langchain_core.messages import AIMessage
from pydantic import SecretStr

from ..redact import redact_all
from .options import ModelSpecError

Message = TypeVar("Message", bound=AIMessage)

SECRET_FIELDS = frozenset(
    {"key", "apikey", "token", "accesstoken", "authtoken", "bearertoken", "authorization", "password", "secret", "clientsecret"}
    | {"sig", "signature", "xapikey", "subscriptionkey"}
)
"""Names of fields that hold secrets, without `-` and `_`."""


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
    named = [name for name, _ in parse_qsl(urlsplit(spec).query, keep_blank_values=True)] if "://" in spec else []
    if found := next((name for name in [*named, *_names(fields)] if _holds_a_secret(name)), None):
        raise ModelSpecError(
            f"--{option}: the field {found!r} would be recorded with its value: put the key into the environment variable "
            "GEMS_API_KEY, or into the one that the option key_env names"
        )


def _names(fields: Any) -> list[str]:
    if isinstance(fields, dict):
        return [name for key, value in fields.items() for name in (str(key), *_names(value))]
    return [name for value in fields for name in _names(value)] if isinstance(fields, list) else []


def _holds_a_secret(name: str) -> bool:
    return name.lower().replace("-", "").replace("_", "") in SECRET_FIELDS


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

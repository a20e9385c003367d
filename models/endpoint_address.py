"""Addresses and keys of endpoints, chat and images alike: `openai:MODEL` and `http(s)://HOST/v1#MODEL`."""

from __future__ import annotations

import re
from typing import Any, Literal
from urllib.parse import urlsplit

from ..errors import ModelSpecError
from ..privacy import host_of, read_key

OPENAI_URL = "https://api.openai.com/v1"

OPENAI_HOST = r"(^|\.)api\.openai\.com(:|$)|\.openai\.azure\.com(:|$)"
"""Pattern of the hosts of OpenAI and Azure, searched in `host:port` in small letters."""


def is_openai(url: str) -> bool:
    """Return whether a URL is of OpenAI's own API, or of Azure's.

    Example:
        >>> is_openai("https://eu.api.openai.com/v1"), is_openai("http://localhost:30000/v1")
        (True, False)
    """
    return re.search(OPENAI_HOST, host_of(url).lower()) is not None


def is_endpoint(kind: Literal["chat", "image"], spec: str) -> bool:
    """Return whether the spec of a model names an endpoint.

    Args:
        kind: the command-line option that the spec is of.
        spec: as the option takes it.

    Raises:
        ModelSpecError: the URL holds a user's name or password.
    """
    scheme, _, name = spec.partition(":")
    if scheme == "openai":
        return bool(name)
    try:
        url = urlsplit(spec)
    except ValueError:  # half of an IPv6 address, for one
        return False
    refuse_url_user(kind, spec, "GEMS_API_KEY")
    return url.scheme in ("http", "https") and bool(url.hostname and url.fragment)


def refuse_url_user(kind: Literal["chat", "image"], spec: str, variable: str) -> None:
    """Refuse the URL in a spec that holds a user's name or password: specs are recorded.

    Args:
        kind: the command-line option that the spec is of.
        spec: of the model.
        variable: the environment variable where a key belongs.

    Raises:
        ModelSpecError: it holds one.
    """
    if re.search("://[^/#?]*@", spec):
        raise ModelSpecError(f"--{kind}: a key has no place in a URL; put it in the environment variable {variable}")


def endpoint_key(kind: Literal["chat", "image"], spec: str, key_env: str | None) -> tuple[str, str]:
    """Return the environment variable that holds the key of an endpoint, and the key, empty where the endpoint needs none.

    Args:
        kind: the command-line option that the spec is of.
        spec: of the model.
        key_env: environment variable that the options name.

    Raises:
        ModelSpecError: the key is missing.
    """
    of_openai = spec.startswith("openai:")
    return find_key(kind, spec, key_env, "OPENAI_API_KEY" if of_openai else "GEMS_API_KEY", required=of_openai)


def find_key(kind: Literal["chat", "image"], spec: str, key_env: str | None, usual: str, *, required: bool) -> tuple[str, str]:
    """Return the environment variable that holds a key, and the key, empty where it is not required and there is none.

    Args:
        kind: the command-line option that the spec is of.
        spec: of the model.
        key_env: environment variable that the options name; the key is required then.
        usual: the environment variable by default.
        required: whether the backend needs a key in any case.

    Raises:
        ModelSpecError: the key is missing.
    """
    variable = key_env or usual
    key = read_key(variable)
    if not key and (required or key_env):
        raise ModelSpecError(f"--{kind} {spec} needs a key: set {variable}")
    return variable, key


def redirect_problem(response: Any) -> str:
    """Describe an answer that is a redirect. It is not followed: key and messages are for the host that the user named."""
    to = response.headers.get("location", "").partition("?")[0][:200]
    return f"answered {response.status_code} and sends elsewhere{f' ({to})' if to else ''}: give the address it sends to"

"""What a server on this machine refuses: requests of a stranger's page in the user's browser.

Such a page sends its requests from an origin of its own. Or its DNS changes its name's address to this machine's (rebinding):
then the browser takes this server's answers for the page's own. The former shows in `Origin`, the latter in `Host`, and a page can
set neither.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope


def refusal(scope: Scope, allowed_hosts: Sequence[str] = (), pages: str = "") -> str | None:
    """Say why a request is refused, or return None.

    `Origin`, where there is one, must be of this machine, of an allowed host, or the origin that is asked itself. Of a request that
    comes over a loopback address, `Host` must name this machine or an allowed host.

    Args:
        scope: the request, as ASGI has it.
        allowed_hosts: names that the server has besides those of this machine; `*.example.com` stands for all below, `*` for all.
        pages: a regular expression: origins that may use the server, under whatever name they reach it.
    """
    headers = Headers(scope=scope)
    host, origin = headers.get("host", ""), headers.get("origin")
    loopback = is_loopback(_name((scope.get("server") or [""])[0]))
    if origin is not None:
        if pages and re.fullmatch(pages, origin):
            return None
        same = not loopback and origin.partition("://")[2] == host
        if not same and not _is_ours(_name(origin.partition("://")[2]), allowed_hosts):
            return f"pages of {origin[:200]} may not use this server"
    if loopback and host and not _is_ours(_name(host), allowed_hosts):
        return f"this server is not {host[:200]}: use localhost, or allow the name (GEMS_ALLOWED_HOSTS)"
    return None


def allowed_by(setting: str | None) -> list[str]:
    """Read names of hosts from a setting: with commas between them."""
    return [name.strip() for name in (setting or "").split(",") if name.strip()]


def is_loopback(name: str) -> bool:
    """Tell whether a name or address can only mean the machine itself."""
    try:
        address: Any = ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    return bool((getattr(address, "ipv4_mapped", None) or address).is_loopback)


def _is_ours(name: str, allowed_hosts: Sequence[str]) -> bool:
    allowed = [other.lower() for other in allowed_hosts]
    below = [other[1:] for other in allowed if other.startswith("*.")]
    return bool(name) and (is_loopback(name) or "*" in allowed or name in allowed or name.endswith(tuple(below)))


def _name(host: str) -> str:
    """Return the name in a `Host`: without port, brackets and the dot at its end, empty where it is none."""
    if set(host) & set("@#/?\\"):
        return ""
    try:
        return (urlsplit(f"//[{host}]" if host.count(":") > 1 and "[" not in host else f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""

"""Refuse requests of a foreign page in the user's browser to a server on this machine.

Such a page sends its requests from another origin. Or it changes the address of its name to this machine's (DNS rebinding): then
the browser takes this server's answers for the page's own. The former shows in `Origin`, the latter in `Host`, and a page can set
neither.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope


def refusal_reason(scope: Scope, allowed_hosts: Sequence[str] = (), pages: str = "") -> str | None:
    """Return why a request is refused, None if it is not.

    `Origin`, if there is one, must be of this machine, of an allowed host, or the origin of the request's own host. If the request
    comes over a loopback address, `Host` must name this machine or an allowed host.

    Args:
        scope: the ASGI scope of the request.
        allowed_hosts: names of the server besides those of this machine; `*.example.com` matches all below it, `*` all.
        pages: a regular expression of origins that may use the server under any name.
    """
    headers = Headers(scope=scope)
    host, origin = headers.get("host", ""), headers.get("origin")
    loopback = is_loopback(_host_name((scope.get("server") or [""])[0]))
    if origin is not None:
        if pages and re.fullmatch(pages, origin):
            return None
        same_origin = not loopback and origin.partition("://")[2] == host
        if not same_origin and not _is_allowed(_host_name(origin.partition("://")[2]), allowed_hosts):
            return f"pages of {origin[:200]} may not use this server"
    if loopback and host and not _is_allowed(_host_name(host), allowed_hosts):
        return f"this server is not {host[:200]}: use localhost, or allow the name (GEMS_ALLOWED_HOSTS)"
    return None


def parse_allowed_hosts(setting: str | None) -> list[str]:
    """Split a comma-separated setting into host names."""
    return [name.strip() for name in (setting or "").split(",") if name.strip()]


def is_loopback(name: str) -> bool:
    """Return whether a host name or address can only be this machine."""
    try:
        address: Any = ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    return bool((getattr(address, "ipv4_mapped", None) or address).is_loopback)


def _is_allowed(name: str, allowed_hosts: Sequence[str]) -> bool:
    allowed = [host.lower() for host in allowed_hosts]
    suffixes = [host[1:] for host in allowed if host.startswith("*.")]
    return bool(name) and (is_loopback(name) or "*" in allowed or name in allowed or name.endswith(tuple(suffixes)))


def _host_name(host: str) -> str:
    """Return the name in a `Host` header without port, brackets and final dot; empty if it is malformed."""
    if set(host) & set("@#/?\\"):
        return ""
    try:
        return (urlsplit(f"//[{host}]" if host.count(":") > 1 and "[" not in host else f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""

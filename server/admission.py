"""Middleware that admits requests: by key and origin, their number, their size and their speed."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import anyio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import ApiError
from .origin_check import refusal_reason
from .served_models import Limits

HEAD_START = 2**16
"""Bytes that are added to those received when speeds are compared: a body that has just begun is not slow."""


class IncomingBody:
    """A request body that is being read: the bytes so far, and the scope that cancels the reading."""

    def __init__(self) -> None:
        self.scope, self.data, self.began = anyio.CancelScope(), bytearray(), time.monotonic()

    @property
    def speed(self) -> float:
        """In bytes per second."""
        return (HEAD_START + len(self.data)) / max(time.monotonic() - self.began, 1e-3)


class AdmissionMiddleware:
    """Refuses requests without the key or from a foreign page, and those that are too many, too large or too slow.

    A request counts as in flight once it is read completely, so a slow client blocks nobody. Plain ASGI: the framework's own
    middleware would buffer streams.

    Args:
        app: the app behind it.
        key: the key that clients must send; None for none.
        limits: bounds on requests.
        allowed_hosts: names of the server besides those of this machine.
    """

    def __init__(self, app: ASGIApp, *, key: str | None, limits: Limits, allowed_hosts: Sequence[str] = ()) -> None:
        self.app, self.key, self.limits, self.allowed_hosts = app, key, limits, allowed_hosts
        self._in_flight = 0
        self._bodies: set[IncomingBody] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, or refuse it."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        answered = False

        async def send_and_leave(message: Message) -> None:
            nonlocal answered
            answered = True
            if message["type"] == "http.response.body" and not message.get("more_body"):
                place.close()  # before the client reads the end: its next request must be admitted
            await send(message)

        with ExitStack() as place:
            try:
                self._check(scope)
                if scope["method"] == "POST":
                    receive = await self._read_body(receive)
                    place.enter_context(self._place())
                await self.app(scope, receive, send_and_leave)
            except ApiError as error:
                await error.response()(scope, receive, send)
            except asyncio.CancelledError:  # the server ends and waits no longer: nothing above would answer
                if not answered:
                    await ApiError(503, "the server was stopped before the answer was there").response()(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        """Check all that is known before the body is read.

        Raises:
            ApiError: the request is refused.
        """
        headers = Headers(scope=scope)
        if self.key is None and (problem := refusal_reason(scope, self.allowed_hosts)):
            raise ApiError(403, problem, code="forbidden")
        if scope["path"] != f"{scope.get('root_path', '')}/health":  # also where the app is mounted below a path
            self._check_key(headers)
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self.limits.max_body:
            raise self._too_large()
        if scope["method"] == "POST":
            self._check_in_flight()

    def _check_key(self, headers: Headers) -> None:
        if self.key is None:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode("latin-1"), self.key.encode()):
            problem = "the key is wrong" if given else "this server wants a key: send Authorization: Bearer KEY"
            raise ApiError(401, problem, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})

    def _too_large(self) -> ApiError:
        return ApiError(
            413, f"the request is too large: at most {self.limits.max_body:,} bytes are taken", code="request_too_large"
        )

    def _check_in_flight(self) -> None:
        if self._in_flight >= self.limits.in_flight:
            problem = f"{self._in_flight} requests are under way: try again later"
            raise ApiError(429, problem, code="rate_limit_exceeded", headers={"Retry-After": "1"})

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Take one of the places of requests in flight."""
        self._check_in_flight()
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    async def _read_body(self, receive: Receive) -> Receive:
        """Read a body to its end; return a `receive` that gives it to the endpoint.

        Raises:
            ApiError: it is too large or too slow.
        """
        body = IncomingBody()
        if len(self._bodies) >= self.limits.bodies:
            slowest = min(self._bodies, key=lambda other: other.speed)
            self._bodies.remove(slowest)
            slowest.scope.cancel()
        self._bodies.add(body)
        body.scope.deadline = anyio.current_time() + self.limits.body_seconds
        more = True
        try:
            with body.scope:
                while more:
                    message = await receive()
                    if message["type"] != "http.request":  # the client has disconnected: no answer reaches it
                        break
                    body.data += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body.data) > self.limits.max_body:
                        raise self._too_large()
        finally:
            self._bodies.discard(body)
        if more:
            within = f"{self.limits.body_seconds:g} s, or sooner where many send at once"
            problem = f"the request came too slowly: all of it must be here within {within}"
            raise ApiError(408, problem, headers={"Connection": "close"})
        whole: list[Message] = [{"type": "http.request", "body": bytes(body.data), "more_body": False}]

        async def receive_body() -> Message:
            return whole.pop() if whole else await receive()

        return receive_body

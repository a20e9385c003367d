"""The gate before the endpoints: who may ask, how many at once, how much they may send, and how slowly."""

from __future__ import annotations

import asyncio
import hmac
import threading
import time
from collections.abc import Sequence

import anyio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import ApiError
from .hosts import refusal
from .served import Limits

HEAD_START = 2**16
"""Bytes that a body counts as having sent when it begins: one that has just begun is not slow."""


class Body:
    """A body that is being read: how much of it is here, and how to end the reading."""

    def __init__(self) -> None:
        self.scope, self.data, self.began = anyio.CancelScope(), bytearray(), time.monotonic()

    @property
    def speed(self) -> float:
        """Bytes in a second."""
        return (HEAD_START + len(self.data)) / max(time.monotonic() - self.began, 1e-3)


class Gate:
    """Turns requests away: without the key or from a stranger's page, too many at once, too large, or too slow.

    A request takes one of the places when all of it is here: who sends slowly keeps nobody waiting. It is plain ASGI: the
    framework's own middleware would buffer streams.
    """

    def __init__(self, app: ASGIApp, *, key: str | None, limits: Limits, allowed_hosts: Sequence[str] = ()) -> None:
        self.app, self.key, self.limits, self.allowed_hosts = app, key, limits, allowed_hosts
        self._under_way, self._lock = 0, threading.Lock()
        self._bodies: set[Body] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        answered, inside = False, False

        def leave() -> None:
            nonlocal inside
            if inside:
                inside = False
                self._leave()

        async def watched(message: Message) -> None:
            nonlocal answered
            answered = True
            if message["type"] == "http.response.body" and not message.get("more_body"):
                leave()  # before the client reads the end: its next request must find the place free
            await send(message)

        try:
            try:
                if self.key is None and (problem := refusal(scope, self.allowed_hosts)):
                    raise ApiError(403, problem, code="forbidden")
                if scope["path"] != f"{scope.get('root_path', '')}/health":  # all else: also where the app is mounted below a path
                    self._check_key(headers)
                self._check_length(headers)
                if scope["method"] == "POST":
                    self._check_places()
                    receive = await self._whole(receive)
                    self._enter()
                    inside = True
            except ApiError as error:
                return await error.response()(scope, receive, send)
            await self.app(scope, receive, watched)
        except asyncio.CancelledError:  # the server ends and waits no longer: this is the last word, and above is only the server
            if not answered:
                await ApiError(503, "the server was stopped before the answer was there").response()(scope, receive, send)
        finally:
            leave()

    def _check_key(self, headers: Headers) -> None:
        if self.key is None:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode("latin-1"), self.key.encode()):
            problem = "the key is wrong" if given else "this server wants a key: send Authorization: Bearer KEY"
            raise ApiError(401, problem, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})

    def _check_length(self, headers: Headers) -> None:
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self.limits.max_body:
            raise self._too_large()

    def _too_large(self) -> ApiError:
        return ApiError(
            413, f"the request is too large: at most {self.limits.max_body:,} bytes are taken", code="request_too_large"
        )

    def _check_places(self) -> None:
        if self._under_way >= self.limits.in_flight:
            raise _busy(f"{self._under_way} requests are under way: try again later")

    def _enter(self) -> None:
        with self._lock:
            self._check_places()
            self._under_way += 1

    def _leave(self) -> None:
        with self._lock:
            self._under_way -= 1

    async def _whole(self, receive: Receive) -> Receive:
        """Read a body to its end, and return what gives it to the endpoint.

        Raises:
            ApiError: it is too large or too slow.
        """
        body = Body()
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
                    if message["type"] != "http.request":  # the client has left: nothing that is answered reaches it
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

        async def given() -> Message:
            return whole.pop() if whole else await receive()

        return given


def _busy(problem: str) -> ApiError:
    return ApiError(429, problem, code="rate_limit_exceeded", headers={"Retry-After": "1"})

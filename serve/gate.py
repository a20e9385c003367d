"""The gate before the endpoints: who may ask, how many at once, and how much they may send."""

from __future__ import annotations

import asyncio
import hmac
import threading

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import ApiError
from .served import Limits


class Gate:
    """Turns requests away before their body is read: without the key, too many at once, or too large.

    It is plain ASGI: the framework's own middleware would read a body first, or buffer streams.
    """

    def __init__(self, app: ASGIApp, *, key: str | None, limits: Limits) -> None:
        self.app, self.key, self.limits = app, key, limits
        self._under_way, self._lock = 0, threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        works = scope["method"] == "POST"
        try:
            if scope["path"] != f"{scope.get('root_path', '')}/health":  # all else: also where the app is mounted below a path
                self._check_key(headers)
            self._check_length(headers)
            if works:
                self._enter()
        except ApiError as error:
            return await error.response()(scope, receive, send)
        answered, inside = False, works

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
            await self.app(scope, self._measured(receive), watched)
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
            raise ApiError(413, self._too_large(), code="request_too_large")

    def _too_large(self) -> str:
        return f"the request is too large: at most {self.limits.max_body:,} bytes are taken"

    def _enter(self) -> None:
        with self._lock:
            if self._under_way >= self.limits.in_flight:
                message = f"{self._under_way} requests are under way: try again later"
                raise ApiError(429, message, code="rate_limit_exceeded", headers={"Retry-After": "1"})
            self._under_way += 1

    def _leave(self) -> None:
        with self._lock:
            self._under_way -= 1

    def _measured(self, receive: Receive) -> Receive:
        """Count what comes in, for bodies that do not say their length. The framework lets this one error through."""
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.limits.max_body:
                raise HTTPException(413, self._too_large())
            return message

        return counted

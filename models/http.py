"""HTTP clients for chat and image endpoints: no redirects, a time-out of the whole request, and a limit on its size.

A time-out of httpx restarts at each byte. Here it counts from the start of a request to the last byte of the response, however
slowly the server sends. Without coroutines it is enforced on the connection, since headers and chunk frames are read only there.
"""

from __future__ import annotations

import asyncio
import ssl
import time
import weakref
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpcore2
import httpx2

MAX_BYTES = 128 * 2**20
"""Longest response that is read, in bytes, decompressed."""

CHUNK_BYTES = 64 * 2**10
"""Bytes that are sent at once: the time left is checked after each chunk."""

UNCOMPRESSED = {"Accept-Encoding": "identity"}

MANY = httpx2.Limits(max_connections=1000, max_keepalive_connections=100)
"""Connections of a client: how many calls are made at once is decided elsewhere."""


class OversizedAnswerError(httpx2.HTTPError):
    """A response is longer than `MAX_BYTES`, or compressed with an unknown method. A retry does not help."""


class GuardedClient(httpx2.Client):
    """An HTTP client without redirects, with a time-out of whole requests and a limit on the size of responses.

    Example:
        >>> GuardedClient(timeout=60).get("http://localhost:30000/v1/models")
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"headers": UNCOMPRESSED, "limits": MANY, "follow_redirects": False, **options})
        self.event_hooks["response"].append(_limit_body)
        own: list[Any] = [self._transport, *self._mounts.values()]  # the latter for the proxies in the environment
        for pool in [transport._pool for transport in own if transport is not None]:
            pool._network_backend = _DeadlineBackend(pool._network_backend)
            # Nobody else closes them. A finalizer comes before those of the sockets, `__del__` does not.
            weakref.finalize(self, pool.close)


class GuardedAsyncClient(httpx2.AsyncClient):
    """The same for coroutines. No connection is kept open: the next event loop would find it dead."""

    def __init__(self, **options: Any) -> None:
        super().__init__(headers={**UNCOMPRESSED, "Connection": "close"}, limits=MANY, follow_redirects=False, **options)
        self.event_hooks["response"].append(_limit_body_async)

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request; its time-out goes on while the body of the response is read."""
        timeout = request.extensions.get("timeout", {}).get("read")
        deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        try:
            async with asyncio.timeout_at(deadline):
                response = await super().send(request, **options)
        except TimeoutError as error:
            raise httpx2.ReadTimeout("the time-out is over", request=request) from error
        if isinstance(response.stream, _LimitedBody):
            response.stream.deadline = deadline
        return response


class _Deadline:
    """Seconds left of a time-out, counted from the start of a request."""

    def __init__(self) -> None:
        self._began, self._writing = time.monotonic(), True  # the first request begins by connecting

    def left(self, timeout: float | None, *, writing: bool) -> float | None:
        """Return the seconds left.

        Args:
            timeout: seconds for the whole request.
            writing: the request is written, else the response is read. Writing after reading starts the next request.

        Raises:
            WriteTimeout: the time is over, while writing.
            ReadTimeout: the time is over, while reading.
        """
        if writing and not self._writing:
            self._began = time.monotonic()
        self._writing = writing
        if timeout is None:
            return None
        if (left := self._began + timeout - time.monotonic()) <= 0:
            raise (httpcore2.WriteTimeout if writing else httpcore2.ReadTimeout)("the time-out is over")
        return left


class _DeadlineStream(httpcore2.NetworkStream):
    """A connection whose time-outs are for whole requests."""

    def __init__(self, stream: httpcore2.NetworkStream, clock: _Deadline) -> None:
        self._stream, self._clock = stream, clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._clock.left(timeout, writing=False))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), CHUNK_BYTES):
            self._stream.write(buffer[start : start + CHUNK_BYTES], self._clock.left(timeout, writing=True))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        left = self._clock.left(timeout, writing=True)
        return _DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, left), self._clock)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _DeadlineBackend(httpcore2.NetworkBackend):
    """Opens connections whose time-outs are for whole requests."""

    def __init__(self, backend: httpcore2.NetworkBackend) -> None:
        self._backend = backend

    def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore2.NetworkStream:
        clock = _Deadline()
        return _DeadlineStream(self._backend.connect_tcp(*args, **kwargs), clock)


def _limit_body(response: httpx2.Response) -> None:
    """Limit the decompressed body of a response to `MAX_BYTES`."""
    announced = response.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > MAX_BYTES:
        raise _oversized_error(response)
    response.stream = _LimitedBody(response)


async def _limit_body_async(response: httpx2.Response) -> None:
    _limit_body(response)


class _LimitedBody(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """The body of a response, at most `MAX_BYTES`. Decompressed here, although compression is not requested."""

    deadline: float | None = None
    """When a coroutine ends its reading, on the clock of its event loop."""

    def __init__(self, response: httpx2.Response) -> None:
        self._response, self._stream, self._size = response, response.stream, 0
        encoding = response.headers.pop("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "", "gzip", "x-gzip", "deflate"):
            raise _oversized_error(response)
        self._zlib = None if encoding in ("identity", "") else zlib.decompressobj(zlib.MAX_WBITS | 32)

    def _decompress(self, chunk: bytes) -> bytes:
        if self._zlib is not None:
            try:
                chunk = self._zlib.decompress(chunk, MAX_BYTES + 1)
            except zlib.error as error:
                raise httpx2.DecodingError(str(error), request=self._response.request) from error
        self._size += len(chunk)
        if self._size > MAX_BYTES:
            raise _oversized_error(self._response)
        return chunk

    def __iter__(self) -> Iterator[bytes]:
        assert isinstance(self._stream, httpx2.SyncByteStream)
        for chunk in self._stream:
            yield self._decompress(chunk)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        assert isinstance(self._stream, httpx2.AsyncByteStream)
        chunks = aiter(self._stream)
        while True:
            try:
                async with asyncio.timeout_at(self.deadline):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                raise httpx2.ReadTimeout("the time-out is over", request=self._response.request) from error
            yield self._decompress(chunk)

    def close(self) -> None:
        assert isinstance(self._stream, httpx2.SyncByteStream)
        self._stream.close()

    async def aclose(self) -> None:
        assert isinstance(self._stream, httpx2.AsyncByteStream)
        await self._stream.aclose()


def _oversized_error(response: httpx2.Response) -> OversizedAnswerError:
    host = response.request.url.host
    return OversizedAnswerError(f"the answer of {host} is longer than {MAX_BYTES:,} bytes, or compressed in another way than gzip")

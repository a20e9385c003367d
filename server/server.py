"""Run the app: on an address of one's own choice, until a signal ends it."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import uvicorn
from langchain_core.language_models import BaseChatModel
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..errors import ServeError
from ..models.image.base import ImageModel
from .app import create_app
from .hosts import is_loopback
from .served import Limits


class Protocol(H11Protocol):
    """A connection that is cut off where its client keeps it for nothing: uvicorn waits for ever for a header and for a reader."""

    patience = 30.0
    """Seconds between two looks at it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to look."""
        super().connection_made(transport)
        self._before: tuple[object, int] = None, 0
        self._next = self.loop.call_later(self.patience, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Look no more."""
        self._next.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        """Cut it off if since the last look no request has come, or nothing of an answer was read."""
        unread = self.transport.get_write_buffer_size()
        waits = self.cycle is None or self.cycle.response_complete
        if (self.cycle, unread) == self._before and (waits or unread):
            self.transport.abort()
        else:
            self._before = self.cycle, unread
            self._next = self.loop.call_later(self.patience, self._look)


class Server(uvicorn.Server):
    """One uvicorn server that says when it is ready.

    Args:
        app: what answers.
        grace: seconds that requests under way are given when it is stopped.
        on_ready: called once requests are answered.
    """

    def __init__(self, app: ASGIApp, *, grace: float, on_ready: Callable[[], None]) -> None:
        self.on_ready = on_ready
        # Its own logging would reconfigure the process's; websockets and start-up hooks are not used.
        config = uvicorn.Config(
            app,
            http=Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=max(1, round(grace)),
        )
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        self.on_ready()


def serve(
    chat: BaseChatModel,
    image: ImageModel,
    *,
    host: str = "127.0.0.1",
    port: int = 30000,
    key: str | None = None,
    open_to_all: bool = False,
    limits: Limits | None = None,
    allowed_hosts: Sequence[str] = (),
    grace: float = 30,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Answer requests until SIGINT or SIGTERM: then no new ones are taken, and those under way are finished.

    The image model is loaded first: a client that connects meanwhile waits.

    Args:
        chat: the chat model.
        image: the image model.
        host: the address to listen on: other machines reach it only if it is one of the network's.
        port: the port; 0 for any free one.
        key: what clients must send as `Authorization: Bearer KEY`.
        open_to_all: listen beyond this machine also without a key.
        limits: how much may be asked for.
        allowed_hosts: names that it has besides `host` and those of this machine.
        grace: seconds that requests under way are given at the end, at least 1.
        on_ready: called with the base url, such as `http://127.0.0.1:30000/v1`, once requests are answered.

    Raises:
        ServeError: the address cannot be listened on, or has no key and needs one.
        ImageModelError: the image model cannot be loaded.
    """
    if key is not None and not key.strip():
        raise ServeError("the key is empty: set one, or none at all")
    if key is None and not open_to_all and not is_loopback(host):
        raise ServeError(
            f"on {host or 'all addresses'} anyone in the network could use the models: set a key, or listen on 127.0.0.1"
        )
    listener = listen(host, port)
    url = base_url(listener)
    app = create_app(chat, image, key=key, limits=limits, allowed_hosts=[host, *allowed_hosts])
    server = Server(app, grace=grace, on_ready=lambda: on_ready(url) if on_ready else None)
    with listener:
        image.prepare()
        with _ended_by_signals():
            asyncio.run(server.serve(sockets=[listener]))


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        ServeError: the port is taken, or the address is none of this machine's.
    """
    if not 0 <= port < 2**16:
        raise ServeError(f"cannot listen on port {port}: ports go up to 65535")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise ServeError(
            f"cannot listen on {host}, port {port}: {error.strerror}; choose another port, or end what uses this one"
        ) from error


def base_url(listener: socket.socket) -> str:
    """Return the url that clients are given."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Make an end by signal an ordinary end: uvicorn raises the signal again once it has finished the requests."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""Run the app with uvicorn: until a signal ends it, or in a thread."""

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
from ..terminal import signal_handlers
from .app import create_app
from .origin_check import is_loopback
from .served_models import Limits


class IdleClosingProtocol(H11Protocol):
    """A connection that is closed when its client stalls: uvicorn waits forever for a header and for a reader."""

    patience = 30.0
    """Seconds between two checks."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the checks."""
        super().connection_made(transport)
        self._last_state: tuple[object, int] = None, 0
        self._timer = self.loop.call_later(self.patience, self._check)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the checks."""
        self._timer.cancel()
        super().connection_lost(exc)

    def _check(self) -> None:
        """Close the connection if since the last check no request has come, or nothing of an answer was read."""
        unread = self.transport.get_write_buffer_size()
        idle = self.cycle is None or self.cycle.response_complete
        if (self.cycle, unread) == self._last_state and (idle or unread):
            self.transport.abort()
        else:
            self._last_state = self.cycle, unread
            self._timer = self.loop.call_later(self.patience, self._check)


class UvicornServer(uvicorn.Server):
    """A uvicorn server that reports when it is ready.

    Args:
        app: the ASGI app.
        grace: seconds that requests in flight are given when it is stopped.
        on_ready: called once requests are accepted.
    """

    def __init__(self, app: ASGIApp, *, grace: float, on_ready: Callable[[], None]) -> None:
        self.on_ready = on_ready
        # Its logging would reconfigure that of the process; websockets and lifespan events are not used.
        config = uvicorn.Config(
            app,
            http=IdleClosingProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=max(1, round(grace)),
        )
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept requests."""
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
    """Serve until SIGINT or SIGTERM: then no new requests are accepted, and those in flight are finished.

    The image model is loaded first: a client that connects meanwhile waits.

    Args:
        chat: the chat model.
        image: the image model.
        host: the address to listen on; other machines reach it only if it is an address of the network.
        port: the port; 0 for any free one.
        key: the key that clients must send as `Authorization: Bearer KEY`.
        open_to_all: listen on addresses of the network also without a key.
        limits: bounds on requests.
        allowed_hosts: names of the server besides `host` and those of this machine.
        grace: seconds that requests in flight are given at the end, at least 1.
        on_ready: called with the base URL, such as `http://127.0.0.1:30000/v1`, once requests are accepted.

    Raises:
        ServeError: the address cannot be listened on, or it needs a key and there is none.
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
    server = UvicornServer(app, grace=grace, on_ready=lambda: on_ready(url) if on_ready else None)
    with listener:
        image.prepare()
        with _graceful_signals():
            asyncio.run(server.serve(sockets=[listener]))


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        ServeError: the port is in use, or the address is not one of this machine.
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
    """Return the base URL for clients."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"


@contextmanager
def _graceful_signals() -> Iterator[None]:
    """Ignore SIGINT and SIGTERM in the block: uvicorn raises them again after it has finished the requests."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with signal_handlers(dict.fromkeys((signal.SIGINT, signal.SIGTERM), lambda *_: None)):
        yield


@contextmanager
def running(app: ASGIApp, *, port: int = 0, grace: float = 5) -> Iterator[str]:
    """Serve on a loopback address, in a thread, until the block ends.

    Args:
        app: the ASGI app, see `create_app`.
        port: the port; 0 for any free one.
        grace: seconds that requests in flight are given at the end, at least 1.

    Yields:
        The base URL, such as `http://127.0.0.1:41234/v1`.

    Raises:
        ServeError: the port is in use, or the server did not start.
    """
    ready = threading.Event()
    with listen("127.0.0.1", port) as listener:
        server = UvicornServer(app, grace=grace, on_ready=ready.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            while not ready.wait(0.1):
                if not thread.is_alive():
                    raise ServeError("the server did not start: its log says why")
            yield base_url(listener)
        finally:
            server.should_exit = True
            thread.join(grace + 5)

"""Run an app with uvicorn: until a signal ends it, or as long as a block lasts."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..errors import ServeError
from ..terminal import signal_handlers
from .origin_check import is_loopback


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


def serve(
    app: FastAPI,
    *,
    host: str = "127.0.0.1",
    port: int = 30000,
    open_to_all: bool = False,
    grace: float = 30,
    on_ready: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve until SIGINT or SIGTERM: then no new requests are accepted, and those in flight are finished.

    The image model is loaded first: a client that connects meanwhile waits.

    Args:
        app: the app of `create_app`.
        host: the address to listen on; other machines reach it only if it is an address of the network.
        port: the port; 0 for any free one.
        open_to_all: listen on addresses of the network also without a key.
        grace: seconds that requests in flight are given at the end, at least 1.
        on_ready: called with the base URL, such as `http://127.0.0.1:30000/v1`, once requests are accepted.

    Raises:
        ServeError: the address cannot be listened on, or it needs a key and there is none.
        ImageModelError: the image model cannot be loaded.
    """
    if not (app.state.has_key or open_to_all or is_loopback(host)):
        raise ServeError(
            f"on {host or 'all addresses'} anyone in the network could use the models: set a key, or listen on 127.0.0.1"
        )
    with listen(host, port) as listener:
        app.state.image.prepare()
        with (
            _serving(app, listener, grace) as (server, thread),
            signal_handlers(dict.fromkeys((signal.SIGINT, signal.SIGTERM), server.handle_exit)),
        ):
            on_ready(base_url(listener))
            thread.join()


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
    with listen("127.0.0.1", port) as listener, _serving(app, listener, grace):
        yield base_url(listener)


@contextmanager
def _serving(app: ASGIApp, listener: socket.socket, grace: float) -> Iterator[tuple[uvicorn.Server, threading.Thread]]:
    """Serve in a thread until the block ends; the block begins once requests are accepted."""
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
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise ServeError("the server did not start: its log says why")
            time.sleep(0.01)
        yield server, thread
    finally:
        server.should_exit = True
        thread.join(grace + 5)


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

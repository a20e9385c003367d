"""Run an app beside other work: in tests and notebooks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import ASGIApp

from ..errors import ServeError
from .server import Server, base_url, listen


@contextmanager
def running(app: ASGIApp, *, port: int = 0, grace: float = 5) -> Iterator[str]:
    """Answer requests on this machine, in a thread, as long as the block lasts.

    Args:
        app: what answers, see `create_app`.
        port: the port; 0 for any free one.
        grace: seconds that requests under way are given at the end, at least 1.

    Yields:
        The base url, such as `http://127.0.0.1:41234/v1`.

    Raises:
        ServeError: the port is taken, or the server did not start.
    """
    ready = threading.Event()
    with listen("127.0.0.1", port) as listener:
        server = Server(app, grace=grace, on_ready=ready.set)
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

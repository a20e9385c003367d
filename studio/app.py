"""Routes and middlewares added to LangGraph's server: images by hash, pages of runs, origins, runs of Python as threads."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from langgraph_sdk import get_client
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ..errors import GemsError, ImageStoreError, LostImageError, RunError, RunNameError
from ..memory.state import ImageRef
from ..runs.manifest import run_names, studio_id
from ..runs.write_page import page_as_text
from ..server.origin_check import refusal_reason
from ..storage.image_store import DIGEST
from . import setup
from .assistants import create_preset_assistants
from .saver import open_database
from .threads import ThreadSync

CACHE_FOREVER = "public, max-age=31536000, immutable"
THREAD_PATH = re.compile(r"/threads/([0-9a-f-]{36})(/.*)?")
ALLOWED_ORIGINS = r"https://([a-z0-9-]+\.)?smith\.langchain\.com|http://(localhost|127\.0\.0\.1)(:[0-9]+)?"
"""Origins of pages that may use the server: hosted Studio and this machine; langgraph.json has them too."""
LIST_PATHS = ("/threads/search", "/threads/count")
"""Paths by which the server lists threads."""


def serve_image(request: Request) -> Response:
    """Answer with an image of the store; its URL holds its hash, so clients may cache it forever."""
    digest = request.path_params["digest"]
    if not DIGEST.fullmatch(digest):
        raise HTTPException(400, "an image is named by its sha256, 64 digits and letters from a to f: /images/SHA256.png")
    tag = f'"{digest}"'
    headers = {"Cache-Control": CACHE_FOREVER, "ETag": tag, "X-Content-Type-Options": "nosniff"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    try:
        data = setup.workspace.images.read(ImageRef(sha256=digest, width=1, height=1))
    except LostImageError as error:
        raise HTTPException(404, f"there is no image {digest} in the image store of this server") from error
    except ImageStoreError as error:
        raise HTTPException(502, "the image store cannot be read: `gems doctor` says why") from error
    return Response(data, media_type="image/png", headers=headers)


def serve_page(request: Request) -> Response:
    """Answer with the current report of a run, by the id of its thread or by its name."""
    thread = request.path_params["thread"]
    try:
        with setup.workspace.database.open() as connection:
            names = run_names(connection)
            name = next((name for name in names if studio_id(name) == thread), thread)
            html = page_as_text(name, connection, setup.workspace)
    except (RunError, RunNameError) as error:
        raise HTTPException(404, str(error)) from error
    except GemsError as error:
        raise HTTPException(500, str(error)) from error
    return HTMLResponse(html, headers={"Cache-Control": "no-store"})


def redirect_to_page(request: Request) -> Response:
    """Redirect to the report: its relative links to other runs are those of the folder of runs."""
    return RedirectResponse(f"{request.url.path}/report.html")


class OriginMiddleware:
    """Refuses requests of a foreign page in the user's browser: CORS only keeps it from reading the answer, and not always."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, or refuse it."""
        problem = refusal_reason(scope, setup.allowed_hosts, ALLOWED_ORIGINS) if scope["type"] in ("http", "websocket") else None
        await (JSONResponse({"detail": problem}, 403) if problem else self.app)(scope, receive, send)


class NewRunsMiddleware:
    """Adds runs that Python has made meanwhile before the server lists threads, or opens one that it does not know."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] == "http" and scope.get("root_path") != "/noauth":  # that is the server's own client
            match = THREAD_PATH.fullmatch(scope["path"])
            threads: ThreadSync = scope["app"].state.threads
            if scope["path"] in LIST_PATHS or (match and not await threads.is_current(match[1])):
                await threads.refresh()
        await self.app(scope, receive, send)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Create the threads and the assistants when the server starts, and empty its list of threads when it ends."""
    client = get_client()
    async with open_database() as connection:
        threads = app.state.threads = ThreadSync(client, setup.workspace, connection)
        await create_preset_assistants(client)
        await threads.refresh()
        yield
        await threads.clear()


app = Starlette(
    routes=[
        Route("/images/{digest}.png", serve_image),
        Route("/runs/{thread}", redirect_to_page),
        Route("/runs/{thread}/report.html", serve_page),
    ],
    middleware=[Middleware(OriginMiddleware), Middleware(NewRunsMiddleware)],
    lifespan=lifespan,
)

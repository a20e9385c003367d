"""Routes beside the server's own: pictures by their hash, and the page of a run; and what is done when it starts."""

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
from starlette.websockets import WebSocketClose

from ..errors import GemsError, ImageStoreError, LostImageError, RunError, RunNameError
from ..memory.state import ImageRef
from ..runs.manifest import run_names, studio_id
from ..runs.write_page import page_as_text
from ..server.hosts import refusal
from ..storage.image_store import DIGEST
from . import setup
from .assistants import offer_presets
from .saver import opened
from .threads import ThreadSync

FOR_EVER = "public, max-age=31536000, immutable"
THREAD = re.compile(r"/threads/([0-9a-f-]{36})(/.*)?")
PAGES = r"https://([a-z0-9-]+\.)?smith\.langchain\.com|http://(localhost|127\.0\.0\.1)(:[0-9]+)?"
"""Origins of the pages that may use the server: hosted Studio, and pages of this machine; langgraph.json has them too."""
LISTS = ("/threads/search", "/threads/count")
"""Where the server lists threads."""


def image(request: Request) -> Response:
    """Answer with a picture of the image store; its name is its hash, so that it may be kept for ever."""
    digest = request.path_params["digest"]
    if not DIGEST.fullmatch(digest):
        raise HTTPException(400, "an image is named by its sha256, 64 digits and letters from a to f: /images/SHA256.png")
    tag = f'"{digest}"'
    headers = {"Cache-Control": FOR_EVER, "ETag": tag, "X-Content-Type-Options": "nosniff"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    try:
        data = setup.home.images.read(ImageRef(sha256=digest, width=1, height=1))
    except LostImageError as error:
        raise HTTPException(404, f"there is no image {digest} in the image store of this server") from error
    except ImageStoreError as error:
        raise HTTPException(502, "the image store cannot be read: `gems doctor` says why") from error
    return Response(data, media_type="image/png", headers=headers)


def page(request: Request) -> Response:
    """Answer with the report of a run as it stands, by the id of its thread or by its name."""
    thread = request.path_params["thread"]
    try:
        with setup.home.database.open() as database:
            names = run_names(database, setup.home)
            told = page_as_text(next((name for name in names if studio_id(name) == thread), thread), database, setup.home)
    except (RunError, RunNameError) as error:
        raise HTTPException(404, str(error)) from error
    except GemsError as error:
        raise HTTPException(500, str(error)) from error
    return HTMLResponse(told, headers={"Cache-Control": "no-store"})


def to_page(request: Request) -> Response:
    """Lead on to the report: its links to other runs are beside one another, as in the folder of runs."""
    return RedirectResponse(f"{request.url.path}/report.html")


class OriginMiddleware:
    """Refuses what a stranger's page sends from the user's browser: CORS only keeps it from reading the answer, and not always."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        problem = refusal(scope, setup.allowed_hosts, PAGES) if scope["type"] in ("http", "websocket") else None
        if problem is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketClose(1008)(scope, receive, send)
        else:
            await JSONResponse({"detail": problem}, 403)(scope, receive, send)


class NewRunsMiddleware:
    """Looks for runs that Python has made meanwhile before the server lists threads, or opens a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http" and scope.get("root_path") != "/noauth":  # that is the server's own client
            asked = THREAD.fullmatch(scope["path"])
            listed: ThreadSync = scope["app"].state.listed
            if scope["path"] in LISTS or (asked and not await listed.has(asked[1])):
                await listed.refresh()
        await self.app(scope, receive, send)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Make the threads and the assistants when the server starts, and take the threads off its list when it ends."""
    client = get_client()
    async with opened() as database:
        app.state.listed = ThreadSync(client, setup.home, database)
        await offer_presets(client)
        await app.state.listed.refresh()
        yield
        await app.state.listed.leave()


app = Starlette(
    routes=[Route("/images/{digest}.png", image), Route("/runs/{thread}", to_page), Route("/runs/{thread}/report.html", page)],
    middleware=[Middleware(OriginMiddleware), Middleware(NewRunsMiddleware)],
    lifespan=lifespan,
)

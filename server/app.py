"""The app: what is answered where."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import FastAPI
from langchain_core.language_models import BaseChatModel

from ..models.image.base import ImageModel
from .chat import chat_router
from .errors import Json, install
from .gate import Gate
from .images import image_router
from .served import Limits, Served


def create_app(
    chat: BaseChatModel,
    image: ImageModel,
    *,
    key: str | None = None,
    limits: Limits | None = None,
    allowed_hosts: Sequence[str] = (),
) -> FastAPI:
    """Build the app that answers for a pair of models, to be run by any ASGI server.

    Without a key it refuses the pages of strangers in the user's browser, by the `Origin` and the `Host` of a request.

    Args:
        chat: the model behind `/v1/chat/completions`.
        image: the model behind `/v1/images/generations` and `/v1/images/edits`.
        key: what clients must send as `Authorization: Bearer KEY`; nothing by default.
        limits: how much may be asked for.
        allowed_hosts: names that the server has besides those of this machine, such as that of a proxy in front of it.
    """
    limits = limits or Limits()
    served = Served(chat, image, limits)
    app = FastAPI(title="gems", openapi_url=None, redirect_slashes=False)
    install(app)
    app.add_middleware(Gate, key=key, limits=limits, allowed_hosts=allowed_hosts)
    app.include_router(chat_router(served), prefix="/v1")
    app.include_router(image_router(served), prefix="/v1")

    @app.get("/health")
    async def health() -> Json:
        return Json({"status": "ok", "service": "gems"})

    @app.get("/v1/models")
    def models() -> Json:  # in a thread: whether it can edit may have to be read from a folder
        return Json({"object": "list", "data": [served.card("chat"), served.card("image")]})

    @app.get("/v1/models/{name:path}")
    def model(name: str) -> Json:
        return Json(served.card(served.require(name, "chat", "image")))

    return app

"""The FastAPI app with its routes."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import FastAPI
from langchain_core.language_models import BaseChatModel

from ..errors import ServeError
from ..models.chat.call import is_openai_client, model_name
from ..models.image.base import ImageModel
from .admission import AdmissionMiddleware
from .chat import chat_router
from .errors import AsciiJson, install_error_handlers
from .images import image_router
from .served_models import Limits, ServedModels


def create_app(
    chat: BaseChatModel,
    image: ImageModel,
    *,
    key: str | None = None,
    limits: Limits | None = None,
    allowed_hosts: Sequence[str] = (),
) -> FastAPI:
    """Build the app that serves a pair of models, for any ASGI server.

    Without a key it refuses requests of foreign pages in the user's browser, by their `Origin` and `Host`.

    Args:
        chat: the model behind `/v1/chat/completions`; it runs in this process.
        image: the model behind `/v1/images/generations` and `/v1/images/edits`.
        key: the key that clients must send as `Authorization: Bearer KEY`; none by default.
        limits: bounds on requests.
        allowed_hosts: names of the server besides those of this machine, such as that of a proxy in front of it.

    Raises:
        ServeError: the chat model is the client of an endpoint, or the key is empty.
    """
    if is_openai_client(chat):
        raise ServeError(f"{model_name(chat)} has an endpoint, which clients can call themselves: serve a model of this process")
    if key is not None and not key.strip():
        raise ServeError("the key is empty: set one, or none at all")
    limits = limits or Limits()
    served = ServedModels(chat, image, limits)
    app = FastAPI(title="gems", openapi_url=None, redirect_slashes=False)
    app.state.image, app.state.has_key = image, key is not None
    install_error_handlers(app)
    app.add_middleware(AdmissionMiddleware, key=key, limits=limits, allowed_hosts=allowed_hosts)
    app.include_router(chat_router(served), prefix="/v1")
    app.include_router(image_router(served), prefix="/v1")

    @app.get("/health")
    async def health() -> AsciiJson:
        return AsciiJson({"status": "ok", "service": "gems"})

    @app.get("/v1/models")
    def models() -> AsciiJson:  # in a thread: whether the model can edit may have to be read from a folder
        return AsciiJson({"object": "list", "data": [served.card("chat"), served.card("image")]})

    @app.get("/v1/models/{name:path}")
    def model(name: str) -> AsciiJson:
        return AsciiJson(served.card(served.require(name, "chat", "image")))

    return app

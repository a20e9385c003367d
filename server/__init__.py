"""A chat model and an image model behind OpenAI's HTTP API.

`serve(create_app(chat, image))` runs it until a signal ends it; `running(create_app(chat, image))` as long as a block lasts.
"""

from __future__ import annotations

from ..errors import ServeError
from .app import create_app
from .served_models import Limits
from .uvicorn_server import running, serve

__all__ = ["Limits", "ServeError", "create_app", "running", "serve"]

"""The pair of models behind an HTTP API that OpenAI's clients speak.

`serve(chat, image)` runs it until it is told to stop; `running(create_app(chat, image))` runs it beside other work.
"""

from __future__ import annotations

from ..errors import ServeError
from .app import create_app
from .background import running
from .served import Limits
from .server import serve

__all__ = ["Limits", "ServeError", "create_app", "running", "serve"]

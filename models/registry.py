"""Models by name: the specs that `--chat` and `--image` take."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from langchain_core.language_models import BaseChatModel

from ..errors import GemsError
from .image import ImageModel


class ModelSpecError(GemsError, ValueError):
    """A model's spec is not understood, or lacks what it needs; the message says what to write."""


def chat_model(spec: str) -> BaseChatModel:
    """Return a chat model by its spec.

    Args:
        spec: `shapes`, `openai:MODEL` (key in OPENAI_API_KEY), or `http(s)://HOST/v1#MODEL` for any OpenAI-compatible
            endpoint.

    Raises:
        ModelSpecError: the spec is not one of these, or the key is missing.
    """
    if spec == "shapes":
        from .shapes import shapes_chat

        return shapes_chat()
    scheme, _, name = spec.partition(":")
    if scheme == "openai" and name:
        if not os.environ.get("OPENAI_API_KEY"):
            raise ModelSpecError(f"--chat {spec} needs a key: set OPENAI_API_KEY")
        from langchain_openai import ChatOpenAI

        return ChatOpenAI(model=name)
    url = urlsplit(spec)
    if url.scheme in ("http", "https") and url.hostname and url.fragment:
        from langchain_openai import ChatOpenAI
        from pydantic import SecretStr

        key = SecretStr(os.environ.get("OPENAI_API_KEY") or "none")
        return ChatOpenAI(model=url.fragment, base_url=url._replace(fragment="").geturl(), api_key=key)
    raise ModelSpecError(f"the chat model {spec!r} is not understood: write shapes, openai:MODEL or http://HOST:PORT/v1#MODEL")


def image_model(spec: str) -> ImageModel:
    """Return an image model by its spec.

    Args:
        spec: `shapes`, or `diffusers:REPOSITORY` or `diffusers:FOLDER` for a diffusers pipeline.

    Raises:
        ModelSpecError: the spec is not one of these, or the folder does not exist.
    """
    if spec == "shapes":
        from .shapes import shapes_image

        return shapes_image()
    scheme, _, name = spec.partition(":")
    if scheme == "diffusers" and name:
        if name.startswith((".", "/", "~")) and not Path(name).expanduser().is_dir():
            raise ModelSpecError(f"--image {spec}: there is no such folder")
        from .diffusers import DiffusersImage

        return DiffusersImage(Path(name).expanduser() if name.startswith("~") else name)
    raise ModelSpecError(f"the image model {spec!r} is not understood: write shapes, diffusers:REPOSITORY or diffusers:FOLDER")

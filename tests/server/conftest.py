"""Servers on loopback for the tests, with the embedded chat model and an image model that needs no torch."""

import base64
import io
from typing import Any

import httpx
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from openai import OpenAI
from PIL import Image, ImageOps
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

from gems.errors import ImageModelError
from gems.models.image.base import ImageModel
from gems.models.shapes import shapes_chat
from gems.server import Limits, create_app, running
from gems.server.admission import AdmissionMiddleware

from ..conftest import Sketcher


class Scripted(BaseChatModel):
    """Says what it is told to, or raises it, and remembers what it was asked."""

    says: Any
    heard: list = []
    model_name: str = "scripted"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        self.heard.append((messages, {**kwargs, "stop": stop}))
        said = self.says(messages) if callable(self.says) else self.says
        if isinstance(said, Exception):
            raise said
        message = said if isinstance(said, AIMessage) else AIMessage(said)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def bind_tools(self, tools, **kwargs):
        return self.bind(tools=tools, **kwargs)

    @property
    def _llm_type(self):
        return "scripted"


class Negative(ImageModel):
    """Edits a picture into its negative; draws in the colour of the prompt, and fails as the prompt says."""

    name = "lab/negative"
    can_edit = True

    def generate(self, requests):
        return [self._one(r) for r in requests]

    def _one(self, request):
        if request.prompt == "refuse":
            raise ImageModelError("negative refused the request: it is not nice")
        if request.prompt == "fail":
            raise ImageModelError("cannot load /home/someone/weights with sk-secret")
        if request.source is not None:
            return ImageOps.invert(Image.open(io.BytesIO(request.source)))
        return Image.new("RGB", (request.width or 16, request.height or 16), request.prompt)

    def caveats(self, request):
        return ["The negative prompt is not read."] if request.negative_prompt else []


class Site:
    """A server as its client sees it."""

    def __init__(self, url):
        self.url = url
        self.openai = OpenAI(base_url=url, api_key="none", max_retries=0)
        self.http = httpx.Client(base_url=url, timeout=30)

    def post(self, path, **given):
        return self.http.post(path, **given)

    def chat(self, content="hello", **fields):
        return self.post("/chat/completions", json={"messages": [{"role": "user", "content": content}], **fields})

    def draw(self, prompt="a red circle", **fields):
        return self.post("/images/generations", json={"prompt": prompt, **fields})

    def close(self):
        self.http.close()
        self.openai.close()


@pytest.fixture(scope="package")
def site():
    """The embedded chat model and the sketcher, served."""
    with running(create_app(shapes_chat(), Sketcher())) as url:
        found = Site(url)
        yield found
        found.close()


@pytest.fixture(scope="package")
def lab():
    """A chat model that says "fine" and an image model that edits, served."""
    with running(create_app(Scripted(says="fine"), Negative())) as url:
        found = Site(url)
        yield found
        found.close()


@pytest.fixture
def serving():
    """Serve other models for a test: `serving(chat=..., image=..., key=..., limits=...)` gives the site."""
    open_sites = []

    def begin(chat=None, image=None, **options):
        block = running(create_app(chat or Scripted(says="hello"), image or Sketcher(), **options))
        found = Site(block.__enter__())
        open_sites.append((block, found))
        return found

    yield begin
    for block, found in open_sites:
        found.close()
        block.__exit__(None, None, None)


def stream_of(pieces):
    """An app whose POST route streams the pieces, behind the middleware; one request at a time."""

    async def stream(request):
        return StreamingResponse(pieces())

    return AdmissionMiddleware(Starlette(routes=[Route("/stream", stream, methods=["POST"])]), key=None, limits=Limits(in_flight=1))


def png(color="white", size=(16, 16), mode="RGB"):
    """A picture as bytes."""
    out = io.BytesIO()
    Image.new(mode, size, color).save(out, "PNG")
    return out.getvalue()


def data_url(data):
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def pixels(item):
    """The picture in an item of an answer."""
    data = item["b64_json"] if isinstance(item, dict) else item.b64_json
    return Image.open(io.BytesIO(base64.b64decode(data)))


def problem(response, status):
    """The error in an answer, which has OpenAI's form and no more."""
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error

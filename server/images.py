"""POST /v1/images/generations and /v1/images/edits."""

from __future__ import annotations

import base64
import re
import secrets
from time import time
from typing import Any, ClassVar, Literal

from fastapi import APIRouter, Request
from PIL import Image
from pydantic import Field, ValidationError, model_validator
from starlette.datastructures import FormData, UploadFile
from starlette.responses import Response

from ..models.image.base import ImageRequest, generate_rgb
from .chat_request import StrictRequest
from .errors import ApiError, AsciiJson, model_errors, unsupported, validation_error
from .image_codec import encode_png, source_png
from .served_models import ServedModels

SEEDS = 2**31
SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")


class ImagesBody(StrictRequest):
    """The body of a request for new or edited images."""

    HARMLESS: ClassVar = frozenset({"user", "metadata", "safety_identifier", "moderation"})
    NEUTRAL: ClassVar = {"quality": "auto", "background": "auto", "stream": False, "partial_images": 0}

    prompt: str = Field(min_length=1)
    model: str | None = None
    n: int | None = Field(default=None, ge=1)
    size: str | None = None
    width: int | None = Field(default=None, ge=1)
    height: int | None = Field(default=None, ge=1)
    seed: int | None = Field(default=None, ge=0, lt=SEEDS)
    negative_prompt: str | None = None
    response_format: Literal["b64_json"] | None = None
    output_format: Literal["png"] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> ImagesBody:
        if self.size not in (None, "auto") and not SIZE.fullmatch(self.size or ""):
            raise ValueError('size: send WIDTHxHEIGHT in pixels, such as "1024x1024", or "auto"')
        if (self.width is None) != (self.height is None):
            raise ValueError("width and height: send both, or none")
        if self.width is not None and self.size not in (None, "auto", f"{self.width}x{self.height}"):
            raise ValueError("size: it says something else than width and height")
        return self

    @property
    def pixels(self) -> tuple[int, int] | None:
        """Width and height in pixels, None for the model's own size."""
        if self.width is not None and self.height is not None:
            return self.width, self.height
        match = SIZE.fullmatch(self.size or "")
        return (int(match[1]), int(match[2])) if match else None


def image_router(served: ServedModels) -> APIRouter:
    """Build the routes of image generation and editing."""
    router = APIRouter()

    @router.post("/images/generations", response_model=None)
    async def generate(body: ImagesBody) -> Response:
        return AsciiJson(await served.in_thread(generate_images, served, image_requests(body, served)))

    @router.post("/images/edits", response_model=None)
    async def edit(request: Request) -> Response:
        if not served.image.can_edit:
            raise ApiError(400, f"{served.image.name} cannot edit pictures: send /v1/images/generations", code="unsupported")
        async with request.form(max_files=4, max_fields=32) as form:
            body, data = await parse_edit_form(form)
        requests = image_requests(body, served)
        source = await served.in_thread(source_png, data, served.limits.max_pixels, "image")
        return AsciiJson(
            await served.in_thread(generate_images, served, [r.model_copy(update={"source": source}) for r in requests])
        )

    return router


async def parse_edit_form(form: FormData) -> tuple[ImagesBody, bytes]:
    """Return the request in a multipart form and its image.

    Raises:
        ApiError: the form violates the schema, or does not have exactly one image.
    """
    pictures = [value for key, value in form.multi_items() if key in ("image", "image[]")]
    fields = {key: value for key, value in form.multi_items() if key not in ("image", "image[]")}
    try:
        body = ImagesBody.model_validate(fields, strict=False)  # a form has no types
    except ValidationError as error:
        raise validation_error(error.errors()) from error
    if len(pictures) != 1 or not isinstance(pictures[0], UploadFile):
        raise ApiError(400, "image: send one picture, as a file of a multipart form", param="image")
    return body, await pictures[0].read()


def image_requests(body: ImagesBody, served: ServedModels) -> list[ImageRequest]:
    """Return the requests to the image model: one for each seed, counted from the given one.

    Raises:
        ApiError: the model is unknown, a limit is exceeded, or a field is not supported.
    """
    served.require(body.model, "image")
    limits, count, size = served.limits, body.n or 1, body.pixels
    if unknown := sorted(body.unknown):
        message = f"{unknown[0]}: besides prompt, size and seed, what makes a picture is set when the server is started"
        raise unsupported(message, unknown[0])
    if count > limits.max_n:
        raise ApiError(400, f"n: at most {limits.max_n} pictures are made for a request", param="n")
    if size and size[0] * size[1] > limits.max_pixels:
        raise ApiError(400, f"size: at most {limits.max_pixels:,} pixels are drawn", param="size")
    first = secrets.randbelow(SEEDS - count + 1) if body.seed is None else body.seed
    if first + count > SEEDS:
        raise ApiError(400, f"seed: with n={count} it can be {SEEDS - count} at most", param="seed")
    width, height = size or (None, None)
    fields = {"prompt": body.prompt, "negative_prompt": body.negative_prompt or "", "width": width, "height": height}
    return [ImageRequest(**fields, seed=first + i) for i in range(count)]


def generate_images(served: ServedModels, requests: list[ImageRequest]) -> dict[str, Any]:
    """Call the image model once and return the answer in OpenAI's format, with seeds and warnings.

    Raises:
        ApiError: the model does not take the request, or failed.
    """
    image = served.image
    with model_errors(image.name):
        pictures = generate_rgb(image, requests)
        data = [
            {"b64_json": base64.b64encode(encode_png(picture)).decode(), "seed": request.seed}
            for picture, request in zip(pictures, requests, strict=True)
        ]
        warnings = _warnings(served, requests[0], pictures[0])
    size = f"{pictures[0].width}x{pictures[0].height}"
    return {"created": int(time()), "data": data, "model": image.name, "size": size, "output_format": "png", "warnings": warnings}


def _warnings(served: ServedModels, request: ImageRequest, picture: Image.Image) -> list[str]:
    warnings = served.image.caveats(request)
    if unread := served.image.truncated(request.prompt):
        warnings = [*warnings, f"{served.image.name} does not read the end of the prompt: {unread[:200]!r}"]
    if request.width is not None and (request.width, request.height) != picture.size:
        size = f"{picture.width}x{picture.height}"
        warnings = [*warnings, f"{served.image.name} drew {size} pixels instead of {request.width}x{request.height}"]
    return warnings

"""POST /v1/images/generations and /v1/images/edits."""

from __future__ import annotations

import base64
import re
import secrets
from time import time
from typing import Any, ClassVar

from fastapi import APIRouter, Request
from PIL import Image
from pydantic import Field, ValidationError, field_validator, model_validator
from starlette.datastructures import FormData, UploadFile
from starlette.responses import Response

from ..models.image.base import ImageRequest, generate_images
from .errors import ApiError, Json, invalid, model_errors
from .image_codec import as_png, as_source
from .schema import StrictRequest
from .served import Served

SEEDS = 2**31
SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")


class PictureRequest(StrictRequest):
    """The body of a request for pictures, new or edited."""

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
    response_format: str | None = None
    output_format: str | None = None

    @field_validator("response_format")
    @classmethod
    def _in_the_answer(cls, value: str | None) -> str | None:
        if value not in (None, "b64_json"):
            raise ValueError("pictures are sent within the answer: send b64_json")
        return value

    @field_validator("output_format")
    @classmethod
    def _lossless(cls, value: str | None) -> str | None:
        if value not in (None, "png"):
            raise ValueError("pictures are sent as png")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> PictureRequest:
        if self.size not in (None, "auto") and not SIZE.fullmatch(self.size or ""):
            raise ValueError('size: send WIDTHxHEIGHT in pixels, such as "1024x1024", or "auto"')
        if (self.width is None) != (self.height is None):
            raise ValueError("width and height: send both, or none")
        if self.width is not None and self.size not in (None, "auto", f"{self.width}x{self.height}"):
            raise ValueError("size: it says something else than width and height")
        return self

    @property
    def pixels(self) -> tuple[int, int] | None:
        """Width and height, None for the model's own size."""
        if self.width is not None and self.height is not None:
            return self.width, self.height
        found = SIZE.fullmatch(self.size or "")
        return (int(found[1]), int(found[2])) if found else None


def image_router(served: Served) -> APIRouter:
    """Build the routes to the image model."""
    router = APIRouter()

    @router.post("/images/generations", response_model=None)
    async def generate(asked: PictureRequest) -> Response:
        return Json(await served.in_thread(draw, served, requests_of(asked, served)))

    @router.post("/images/edits", response_model=None)
    async def edit(request: Request) -> Response:
        if not served.image.can_edit:
            raise ApiError(400, f"{served.image.name} cannot edit pictures: send /v1/images/generations", code="unsupported")
        async with request.form(max_files=4, max_fields=32) as form:
            asked, data = await read_form(form)
        requests = requests_of(asked, served)
        source = await served.in_thread(as_source, data, served.limits.max_pixels, "image")
        return Json(await served.in_thread(draw, served, [r.model_copy(update={"source": source}) for r in requests]))

    return router


async def read_form(form: FormData) -> tuple[PictureRequest, bytes]:
    """Return a form's request and its picture.

    Raises:
        ApiError: the form does not fit the schema, or has not one picture.
    """
    pictures = [value for key, value in form.multi_items() if key in ("image", "image[]")]
    fields = {key: value for key, value in form.multi_items() if key not in ("image", "image[]")}
    try:
        asked = PictureRequest.model_validate(fields, strict=False)  # a form has no types
    except ValidationError as error:
        raise invalid(error.errors()) from error
    if len(pictures) != 1 or not isinstance(pictures[0], UploadFile):
        raise ApiError(400, "image: send one picture, as a file of a multipart form", param="image")
    return asked, await pictures[0].read()


def requests_of(asked: PictureRequest, served: Served) -> list[ImageRequest]:
    """Return what the image model is asked for: a picture for each seed, from the given one on.

    Raises:
        ApiError: the model is unknown, a limit is passed, or a field has no place here.
    """
    served.require(asked.model, "image")
    limits, count, size = served.limits, asked.n or 1, asked.pixels
    if strange := sorted(asked.unknown):
        message = f"{strange[0]}: besides prompt, size and seed, what makes a picture is set when the server is started"
        raise ApiError(400, message, param=strange[0], code="unsupported_parameter")
    if count > limits.max_n:
        raise ApiError(400, f"n: at most {limits.max_n} pictures are made for a request", param="n")
    if size and size[0] * size[1] > limits.max_pixels:
        raise ApiError(400, f"size: at most {limits.max_pixels:,} pixels are drawn", param="size")
    first = secrets.randbelow(SEEDS - count + 1) if asked.seed is None else asked.seed
    if first + count > SEEDS:
        raise ApiError(400, f"seed: with n={count} it can be {SEEDS - count} at most", param="seed")
    width, height = size or (None, None)
    about = {"prompt": asked.prompt, "negative_prompt": asked.negative_prompt or "", "width": width, "height": height}
    return [ImageRequest(**about, seed=first + i) for i in range(count)]


def draw(served: Served, requests: list[ImageRequest]) -> dict[str, Any]:
    """Call the image model once and return the answer in OpenAI's form, with seeds and with what was not honoured.

    Raises:
        ApiError: the model does not take the request, or failed.
    """
    image = served.image
    with model_errors(image.name):
        pictures = generate_images(image, requests)
        data = [
            {"b64_json": base64.b64encode(as_png(picture)).decode(), "seed": request.seed}
            for picture, request in zip(pictures, requests, strict=True)
        ]
        warnings = _warnings(served, requests[0], pictures[0])
    size = f"{pictures[0].width}x{pictures[0].height}"
    return {"created": int(time()), "data": data, "model": image.name, "size": size, "output_format": "png", "warnings": warnings}


def _warnings(served: Served, request: ImageRequest, picture: Image.Image) -> list[str]:
    said = served.image.caveats(request)
    if lost := served.image.truncated(request.prompt):
        said = [*said, f"{served.image.name} does not read the end of the prompt: {lost[:200]!r}"]
    if request.width is not None and (request.width, request.height) != picture.size:
        drawn = f"{picture.width}x{picture.height}"
        said = [*said, f"{served.image.name} drew {drawn} pixels instead of {request.width}x{request.height}"]
    return said

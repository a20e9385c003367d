"""Image models behind the images API of OpenAI and of servers compatible with it: `openai:MODEL`, `http(s)://HOST/v1#MODEL`."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from PIL import Image
from pydantic import Field

from ...errors import ImageModelError, ImageRefusedError
from ...privacy import refuse_secrets
from ..endpoint_address import OPENAI_URL, endpoint_key, is_endpoint, is_openai
from ..options import ImageOptions
from . import images_api_dialects
from .base import ImageModel, ImageRequest
from .images_api_client import ImagesClient
from .images_api_dialects import OPENAI, OPTIONAL, OTHER, PROVIDERS, RESERVED, Provider
from .images_api_response import decode_image, first_image, parse_error, server_warnings

MAX_REMEMBERED = 1000
"""Number of requests whose remarks are remembered."""


class EndpointImageOptions(ImageOptions):
    """An image model behind an images endpoint, of OpenAI or of a server compatible with it."""

    spec = "openai:MODEL, http(s)://HOST/v1#MODEL"
    about = "an endpoint of OpenAI's images API"

    call: dict[str, Any] = Field(default={}, alias="set", description="Further fields of every request.")
    provider: Literal["openai", "sglang", "vllm-omni", "gems"] | None = Field(
        default=None, description="Which kind of server it is; detected by default."
    )
    timeout: float = Field(default=300, gt=0, description="Seconds for one try, to the last byte of the answer.")
    retries: int = Field(default=4, ge=0, description="Tries after the first, for 429, 5xx, time-outs and dropped connections.")
    in_flight: int = Field(default=4, ge=1, description="Most concurrent calls to the endpoint.")
    key_env: str | None = Field(default=None, description="Environment variable that holds the key.")

    def make(self) -> EndpointImage:
        """Return the image model."""
        if not is_endpoint("image", self.model):
            raise self.not_understood()
        return endpoint_image(self)


def endpoint_image(options: EndpointImageOptions) -> EndpointImage:
    """Return the image model of `openai:MODEL` or `http(s)://HOST/v1#MODEL`.

    The key is in OPENAI_API_KEY for the former, whose server may be another by OPENAI_BASE_URL as in OpenAI's own client, and in
    GEMS_API_KEY for the latter, if it wants one.

    Raises:
        ModelSpecError: the key is missing, malformed, or in the spec or the fields of requests.
        ImageModelError: a reserved field is set, or the URL is malformed.
    """
    of_openai = options.model.startswith("openai:")
    if of_openai:
        url, model = os.environ.get("OPENAI_BASE_URL") or OPENAI_URL, options.model.removeprefix("openai:")
    else:
        url, _, model = options.model.partition("#")
    refuse_secrets("image", options.model, options.call)
    key_env, key = endpoint_key("image", options.model, options.key_env)
    provider = options.provider or ("openai" if of_openai else None)
    return EndpointImage(
        url,
        model,
        key=key or None,
        key_env=key_env,
        provider=PROVIDERS[provider] if provider else None,
        call=options.call,
        timeout=options.timeout,
        retries=options.retries,
        in_flight=options.in_flight,
    )


class EndpointImage(ImageModel):
    """An image model behind an images endpoint: one HTTP call for each request.

    Args:
        url: the base url, with `/v1`.
        model: its name there.
        key: bearer token, none by default.
        key_env: environment variable of the key, for messages.
        provider: decides which fields are sent; by default the server is asked at the first request.
        call: further fields of every request.
        timeout: seconds of one try.
        retries: tries after the first.
        in_flight: most concurrent image calls to the host, over all threads and models.

    Raises:
        ImageModelError: `call` has a reserved field, or the URL is malformed.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        key: str | None = None,
        key_env: str = "GEMS_API_KEY",
        provider: Provider | None = None,
        call: Mapping[str, Any] | None = None,
        timeout: float = 300,
        retries: int = 4,
        in_flight: int = 4,
    ) -> None:
        if taken := sorted(RESERVED & set(call or {})):
            raise ImageModelError(f"the field {taken[0]!r} cannot be set: one request is one image, of this model")
        self.name = model
        self.parallel = in_flight
        self.call = dict(call or {})
        self._client = ImagesClient(url, key, key_env, timeout=timeout, retries=retries, in_flight=in_flight)
        self._fixed = provider or (OPENAI if is_openai(url) else None)
        self._provider = self._fixed or OTHER
        self._has_generated = False
        self._card: Mapping[str, object] | None = None
        self._left_out: set[str] = set()
        self._remarks: dict[int, list[str]] = {}
        self._lock = threading.Lock()

    @property
    def settings(self) -> dict[str, object]:
        """Model, host, fields of requests, and the provider if it is known without a call."""
        provider = self._fixed.name if self._fixed else None
        return {**self.call, "model": self.name, "host": self._client.host, "provider": provider}

    @property
    def can_edit(self) -> bool:
        """Whether it takes requests with a `source`, as its server says, or by its name; may ask the server, once."""
        return images_api_dialects.can_edit(self.name, {} if self._fixed is OPENAI else self._ask_card())

    def truncated(self, prompt: str) -> str | None:
        """Return the part of a prompt past the limit of the provider in characters; `generate` refuses such a prompt."""
        most = self._provider.longest_prompt
        return prompt[most:] or None if most else None

    def caveats(self, request: ImageRequest) -> list[str]:
        """Return what the provider does not honour, fields that the server refused, its warnings, and an unexpected size."""
        if not self._has_generated:
            return []
        notes = images_api_dialects.caveats(self._provider, request, self.call, self._left_out)
        return notes + self._remarks.get(hash(request), [])

    def generate(self, requests: Sequence[ImageRequest]) -> list[Image.Image]:
        """Generate the images, at most `in_flight` at a time, in the order of the requests."""
        if len(requests) < 2:
            return [self._generate_one(request) for request in requests]
        with ThreadPoolExecutor(min(len(requests), self.parallel)) as pool:
            return list(pool.map(self._generate_one, requests))  # after an error, no further request is sent

    def _generate_one(self, request: ImageRequest) -> Image.Image:
        provider = self._find_provider()
        if request.source is None:
            path, files = "/images/generations", None
            body = images_api_dialects.generation_body(provider, request, self.call, self.name)
        else:
            path, files = "/images/edits", {"image": ("image.png", request.source, "image/png")}
            body = dict(images_api_dialects.edit_form(provider, request, self.call, self.name))
        answer = self._send(path, body, files)
        data_or_url = first_image(answer)
        if data_or_url is None:
            host, message = self._client.host, self._client.clean(parse_error(answer).message)
            why = message or "its filter may have held it back"
            raise ImageModelError(f"{host} answered without an image ({why}): change the request, or look at its log")
        image = decode_image(self._client.fetch(data_or_url) if isinstance(data_or_url, str) else data_or_url)
        warnings = [self._client.clean(warning) for warning in server_warnings(answer)]
        self._remember(request, warnings or _size_remark(self.name, request, image))
        return image

    def _send(self, path: str, body: dict[str, Any], files: Mapping[str, Any] | None) -> dict[str, Any]:
        """Send a request; fields that the server refuses are left out, now and in later requests."""
        while True:
            body = {name: value for name, value in body.items() if name not in self._left_out}
            try:
                return self._client.post(path, body, files)
            except ImageRefusedError as error:
                free = OPTIONAL & set(body) - set(self.call)
                refused = error.detail.refused_field(free) if error.status in (400, 422) else None
                if refused is None:
                    raise
                self._left_out.add(refused)

    def _remember(self, request: ImageRequest, remarks: list[str]) -> None:
        self._has_generated = True
        if remarks:
            with self._lock:
                self._remarks[hash(request)] = remarks
                if len(self._remarks) > MAX_REMEMBERED:
                    del self._remarks[next(iter(self._remarks))]

    def _find_provider(self) -> Provider:
        if self._fixed is None:
            self._provider = images_api_dialects.provider_of(self._ask_card())
        return self._provider

    def _ask_card(self) -> Mapping[str, object]:
        """Return the entry of the model in `/v1/models`, empty where there is none; repeated until the server answers."""
        with self._lock:
            if self._card is None:
                cards = self._client.models()
                if cards is None:
                    return {}
                own = [card for card in cards if card.get("id") == self.name]
                self._card = next(iter(own or cards), {})
            return self._card


def _size_remark(name: str, request: ImageRequest, image: Image.Image) -> list[str]:
    if request.width is None or image.size == (request.width, request.height):
        return []
    return [f"{name} gave {image.width}x{image.height} pixels where {request.width}x{request.height} were requested"]

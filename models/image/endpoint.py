"""Image models behind the images API of OpenAI and of servers compatible with it: `openai:MODEL`, `http(s)://HOST/v1#MODEL`."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from PIL import Image

from ...errors import ImageModelError, ImageRefusedError
from ...privacy import refuse_secrets
from ..endpoint_address import OPENAI_URL, endpoint_key, is_openai
from ..options import ImageOptions
from . import providers
from .base import ImageModel, ImageRequest
from .images_client import ImagesClient
from .images_response import decode_image, image_in, parse_error, warnings_in
from .providers import OPENAI, OPTIONAL, OTHER, PROVIDERS, RESERVED, Provider

MAX_REMEMBERED = 1000
"""How many requests' remarks are kept until they are asked for."""


def endpoint_image(options: ImageOptions) -> EndpointImage:
    """Return the image model of `openai:MODEL` or `http(s)://HOST/v1#MODEL`.

    The key is in OPENAI_API_KEY for the former, whose server may be another by OPENAI_BASE_URL as in OpenAI's own client, and in
    GEMS_API_KEY for the latter, if it wants one.

    Raises:
        ModelSpecError: the key is missing, is none, or stands where it would be recorded.
        ImageModelError: a field is set that is not free, or the url is none.
    """
    of_openai = options.model.startswith("openai:")
    if of_openai:
        url, model = os.environ.get("OPENAI_BASE_URL") or OPENAI_URL, options.model.removeprefix("openai:")
    else:
        url, _, model = options.model.partition("#")
    refuse_secrets("image", options.model, options.call)
    key_env, key = endpoint_key("image", options)
    whose = options.provider or ("openai" if of_openai else None)
    return EndpointImage(
        url,
        model,
        key=key or None,
        key_env=key_env,
        provider=PROVIDERS[whose] if whose else None,
        call=options.call,
        timeout=options.timeout,
        retries=options.retries,
        in_flight=options.in_flight,
    )


class EndpointImage(ImageModel):
    """An image model behind an images endpoint: one HTTP call a request.

    Args:
        url: the base url, with `/v1`.
        model: its name there.
        key: what is sent as bearer token, nothing by default.
        key_env: the environment variable that the key is from, for messages.
        provider: whose fields the server takes; by default the server is asked at the first image.
        call: further fields of every request.
        timeout: seconds that one try may take.
        retries: tries after the first.
        in_flight: most calls for images to this host at the same time, whichever thread or model they are from.

    Raises:
        ImageModelError: `call` has a field that is not free, or the url is none.
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
        self._endpoint = ImagesClient(url, key, key_env, timeout=timeout, retries=retries, in_flight=in_flight)
        self._fixed = provider or (OPENAI if is_openai(url) else None)
        self._asked = self._fixed or OTHER
        self._made = False
        self._card: Mapping[str, object] | None = None
        self._left_out: set[str] = set()
        self._remarks: dict[int, list[str]] = {}
        self._lock = threading.Lock()

    @property
    def settings(self) -> dict[str, object]:
        """The model, the host, and the fields set; a provider that is found out is not among them, as it takes a call."""
        provider = self._fixed.name if self._fixed else None
        return {**self.call, "model": self.name, "host": self._endpoint.host, "provider": provider}

    @property
    def can_edit(self) -> bool:
        """Whether it takes requests with a `source`, by its server's word or its name; may ask the server, once."""
        return providers.can_edit(self.name, {} if self._fixed is OPENAI else self._ask_card())

    def truncated(self, prompt: str) -> str | None:
        """Return what is past the most characters that the provider takes; `generate` refuses such a prompt."""
        most = self._asked.longest_prompt
        return prompt[most:] or None if most else None

    def caveats(self, request: ImageRequest) -> list[str]:
        """Return what the provider does not honour, what the server refused or warned of, and a size that was not asked for."""
        if not self._made:
            return []
        said = providers.caveats(self._asked, request, self.call, self._left_out)
        return said + self._remarks.get(hash(request), [])

    def generate(self, requests: Sequence[ImageRequest]) -> list[Image.Image]:
        """Make the images, `in_flight` of them at a time, and return them in the order of the requests."""
        if len(requests) < 2:
            return [self._one(request) for request in requests]
        with ThreadPoolExecutor(min(len(requests), self.parallel)) as pool:
            return list(pool.map(self._one, requests))  # after an error, what has not begun is not begun

    def _one(self, request: ImageRequest) -> Image.Image:
        provider = self._find_provider()
        if request.source is None:
            path, files = "/images/generations", None
            body = providers.generation_body(provider, request, self.call, self.name)
        else:
            path, files = "/images/edits", {"image": ("image.png", request.source, "image/png")}
            body = dict(providers.edit_form(provider, request, self.call, self.name))
        answer = self._send(path, body, files)
        found = image_in(answer)
        if found is None:
            host, said = self._endpoint.host, self._endpoint.clean(parse_error(answer).message)
            why = said or "its filter may have held it back"
            raise ImageModelError(f"{host} answered without an image ({why}): change the request, or look at its log")
        image = decode_image(self._endpoint.fetch(found) if isinstance(found, str) else found)
        warnings = [self._endpoint.clean(warning) for warning in warnings_in(answer)]
        self._remember(request, warnings or _size_remark(self.name, request, image))
        return image

    def _send(self, path: str, body: dict[str, Any], files: Mapping[str, Any] | None) -> dict[str, Any]:
        """Send a request; fields that the server turns out not to know are left out, then and from then on."""
        while True:
            body = {name: value for name, value in body.items() if name not in self._left_out}
            try:
                return self._endpoint.post(path, body, files)
            except ImageRefusedError as error:
                free = OPTIONAL & set(body) - set(self.call)
                refused = error.detail.refused_field(free) if error.status in (400, 422) else None
                if refused is None:
                    raise
                self._left_out.add(refused)

    def _remember(self, request: ImageRequest, remarks: list[str]) -> None:
        self._made = True
        if remarks:
            with self._lock:
                self._remarks[hash(request)] = remarks
                if len(self._remarks) > MAX_REMEMBERED:
                    del self._remarks[next(iter(self._remarks))]

    def _find_provider(self) -> Provider:
        if self._fixed is None:
            self._asked = providers.provider_of(self._ask_card())
        return self._asked

    def _ask_card(self) -> Mapping[str, object]:
        """Return the model's entry in the server's list of models, empty where there is none; asked for until it answers."""
        with self._lock:
            if self._card is None:
                cards = self._endpoint.models()
                if cards is None:
                    return {}
                own = [card for card in cards if card.get("id") == self.name]
                self._card = next(iter(own or cards), {})
            return self._card


def _size_remark(name: str, request: ImageRequest, image: Image.Image) -> list[str]:
    if request.width is None or image.size == (request.width, request.height):
        return []
    return [f"{name} gave {image.width}x{image.height} pixels where {request.width}x{request.height} were asked for"]

"""Image models behind the images API of OpenAI and of servers compatible with it: `openai:MODEL`, `http(s)://HOST/v1#MODEL`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from ...context import RunContext
from ...errors import ImageModelError, is_of_the_run
from ..endpoint_address import OPENAI_URL, endpoint_key, is_endpoint, is_openai
from . import images_api_dialects
from .base import ImageRequest
from .http_image import HttpImage, HttpImageOptions, body_of
from .images_api_dialects import OPENAI, OPTIONAL, OTHER, PROVIDERS, RESERVED, Provider

CARD_TIMEOUT = 10.0
"""Seconds for the list of models, which is not worth a long wait."""


class EndpointImageOptions(HttpImageOptions):
    """An image model behind an images endpoint, of OpenAI or of a server compatible with it."""

    spec = "openai:MODEL, http(s)://HOST/v1#MODEL"
    about = "an endpoint of OpenAI's images API"

    call: dict[str, Any] = Field(default={}, alias="set", description="Further fields of every request.")
    provider: Literal["openai", "sglang", "vllm-omni", "gems"] | None = Field(
        default=None, description="Which kind of server it is; detected by default."
    )

    def api_key(self) -> tuple[str, str]:
        """Return the variable and the key: OPENAI_API_KEY for `openai:`, and GEMS_API_KEY for others, if they need one."""
        return endpoint_key("image", self.model, self.key_env)

    def make(self) -> EndpointImage:
        """Return the image model. The server of `openai:` may be another by OPENAI_BASE_URL, as in OpenAI's own client."""
        if not is_endpoint("image", self.model):
            raise self.not_understood()
        if self.model.startswith("openai:"):
            return EndpointImage(self, os.environ.get("OPENAI_BASE_URL") or OPENAI_URL, self.model.removeprefix("openai:"))
        url, _, name = self.model.partition("#")
        return EndpointImage(self, url, name)


class EndpointImage(HttpImage):
    """An image model behind an images endpoint: one HTTP call for each request.

    Which fields are sent is decided by the provider; where it is not known, the server is asked at the first request.

    Args:
        options: of the endpoint.
        url: the base URL, with `/v1`.
        name: of the model there.

    Raises:
        ImageModelError: `set` has a reserved field, or the URL is malformed.
    """

    options: EndpointImageOptions
    address_hint = "does the address end in /v1"
    inline_hint = ": set response_format to b64_json"

    def __init__(self, options: EndpointImageOptions, url: str, name: str) -> None:
        super().__init__(options, url, name)
        if taken := sorted(RESERVED & set(options.call)):
            raise ImageModelError(f"the field {taken[0]!r} cannot be set: one request is one image, of this model")
        if own := sorted(set(options.call) & set(RunContext.model_fields) - set(ImageRequest.model_fields)):
            raise ImageModelError(f"the image model {name} has no option {own[0]!r}: {is_of_the_run(own[0])}")
        of_openai = options.model.startswith("openai:") or is_openai(url)
        self._fixed = PROVIDERS[options.provider] if options.provider else OPENAI if of_openai else None
        self._provider = self._fixed or OTHER
        self._has_generated = False
        self._card: Mapping[str, object] | None = None

    def key_headers(self, key: str) -> dict[str, str]:
        """Return the key as a bearer token; for OpenAI with the organization and project of the environment."""
        own = {"OpenAI-Organization": "OPENAI_ORG_ID", "OpenAI-Project": "OPENAI_PROJECT_ID"} if is_openai(self.url) else {}
        return {**super().key_headers(key), **{name: os.environ[v] for name, v in own.items() if os.environ.get(v)}}

    @property
    def settings(self) -> dict[str, object]:
        """Model, host, fields of requests, and the provider if it is known without a call."""
        provider = self._fixed.name if self._fixed else None
        return {**self.options.call, "model": self.name, "host": self.host, "provider": provider}

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
        refused = {name for name, taken in self.negotiation.taken.items() if not taken}
        notes = images_api_dialects.caveats(self._provider, request, self.options.call, refused)
        return notes + super().caveats(request)

    def draw(self, request: ImageRequest) -> bytes:
        """Ask for a new image, or for an edit where the request has a source."""
        answer = self._ask(request)
        self._has_generated = True
        if isinstance(warnings := answer.get("warnings"), list) and warnings:  # as `gems serve` adds them
            self.remark(request, *map(str, warnings[:10]))
        data = answer.get("data")
        item = data[0] if isinstance(data, list) and data and isinstance(data[0], dict) else {}
        url = item.get("url")
        if not item.get("b64_json") and isinstance(url, str) and url and not url.startswith("data:"):
            return self.fetch(url)
        return self.inline_image(item.get("b64_json") or url, answer)

    def _ask(self, request: ImageRequest) -> dict[str, Any]:
        """Send a request; what the user has set is never left out, since the image would differ."""
        provider, call = self._find_provider(), self.options.call
        optional = OPTIONAL - call.keys()
        if request.source is None:
            body = images_api_dialects.generation_body(provider, request, call, self.name)
            return self.post("/images/generations", optional=optional, json=body)
        form = images_api_dialects.edit_form(provider, request, call, self.name)
        files = {"image": ("image.png", request.source, "image/png")}
        return self.post("/images/edits", optional=optional, data=form, files=files)

    def _find_provider(self) -> Provider:
        if self._fixed is None:
            self._provider = images_api_dialects.provider_of(self._ask_card())
        return self._provider

    def _ask_card(self) -> Mapping[str, object]:
        """Return the entry of the model in `/v1/models`, empty where there is none; repeated until the server answers."""
        with self._lock:
            if self._card is None:
                cards = self._models()
                if cards is None:
                    return {}
                own = [card for card in cards if card.get("id") == self.name]
                self._card = next(iter(own or cards), {})
            return self._card

    def _models(self) -> list[Mapping[str, object]] | None:
        """Return the models that the server lists, empty where it has no list, None where it does not answer now."""
        try:
            response = self.answer("GET", "/models", 0, timeout=min(CARD_TIMEOUT, self.options.timeout))
        except ImageModelError:
            return None
        if response.status_code >= 500:
            return None  # it may be starting still
        answer = body_of(response)
        cards = answer.get("data") if isinstance(answer, dict) else None
        return [card for card in cards if isinstance(card, dict)] if isinstance(cards, list) else []

    def not_found(self, message: str) -> str:
        """Describe a 404: which models there are, or what may be wrong with the address."""
        served = [str(card.get("id")) for card in self._models() or []]
        if served and self.name not in served:
            more = ", ..." if len(served) > 10 else ""
            return f"{self.host} has no model {self.name!r}: it serves {', '.join(served[:10])}{more}"
        return super().not_found(message)

"""HTTP client of the images API, with limits on responses and errors that say what to do.

The openai client does the transport: keys, forms, retries after 408, 409, 429, 5xx, time-outs and dropped connections, and
`Retry-After`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import responses
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx2
import openai

from ...errors import ImageModelError, ImageRefusedError
from ...privacy import host_of, redact
from ..chat.call import redirect_problem
from ..concurrency_limit import call_limit_of
from ..http import GuardedClient, OversizedAnswerError
from .images_api_response import ErrorDetail, parse_error

CARD_TIMEOUT = 10.0
"""Seconds for the list of models, which is not worth a long wait."""


class ImagesClient:
    """A client of one server of the images API.

    Args:
        url: the base URL, with `/v1`; its query is sent with every request, as Azure needs it.
        key: bearer token, none by default.
        key_env: environment variable of the key, for messages.
        timeout: seconds of one try.
        retries: tries after the first.
        in_flight: most concurrent image calls to the host, over all threads and models.

    Raises:
        ImageModelError: the URL is malformed.
    """

    def __init__(self, url: str, key: str | None, key_env: str, *, timeout: float, retries: int, in_flight: int) -> None:
        self.url = url
        self.host = host_of(url)
        self._key, self._key_env = key, key_env
        self._timeout, self._retries, self._in_flight = timeout, retries, in_flight
        self._limit = call_limit_of(f"{self.host} images")  # apart from chat calls to the host, which have their own limit
        try:
            parts = urlsplit(url)
            self._client = openai.OpenAI(
                base_url=parts._replace(query="").geturl(),
                default_query=dict(parse_qsl(parts.query)),
                api_key=key or "none",
                timeout=timeout,
                max_retries=retries,
                http_client=GuardedClient(event_hooks={"request": [] if key else [_drop_authorization]}),
            )
        except httpx2.InvalidURL as error:
            raise ImageModelError(f"the address {self._where()} is not understood ({error}): write http://HOST:PORT/v1") from error

    def post(self, path: str, body: Mapping[str, Any], files: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send a request, as JSON or with files as a form, and return the JSON object of the response, empty for other JSON.

        Raises:
            ImageRefusedError: the server answered with an error, also after the last try.
            ImageModelError: the server did not answer, or not with JSON.
        """
        options: Any = {"headers": {"Content-Type": "multipart/form-data"}} if files else {}
        try:
            with self._limit.slot(self._in_flight):
                response = self._client.post(path, body=body, files=files, options=options, cast_to=httpx2.Response)
        except openai.APIStatusError as error:
            detail, model = parse_error(error.body), str(body.get("model"))
            message = redact(self._status_message(error, detail, model), self._key or "")
            raise ImageRefusedError(message, error.status_code, detail) from None  # the cause may quote the key
        except (openai.APIConnectionError, OversizedAnswerError) as error:
            raise self._connection_error(error) from error
        try:
            answer = json.loads(response.content)
        except (ValueError, RecursionError):
            kind = response.headers.get("content-type", "no content type").partition(";")[0]
            raise ImageModelError(f"{self._where()} answered with {kind} instead of JSON: does the address end in /v1?") from None
        return answer if isinstance(answer, dict) else {}

    def fetch(self, url: str) -> bytes:
        """Download an image from its URL, only from the server itself: other addresses could be anywhere.

        Raises:
            ImageModelError: the URL is of another server, or the download failed.
        """
        try:
            whole = urlsplit(urljoin(self.url, url))
            host = whole.hostname or whole.scheme
        except ValueError:
            raise ImageModelError(f"{self.host} answered with an address that is none: set response_format to b64_json") from None
        if (whole.scheme, whole.netloc) != urlsplit(self.url)[:2]:
            raise ImageModelError(
                f"{self.host} answered with an image on {host}, which is not fetched: set response_format to b64_json"
            )
        try:
            with self._limit.slot(self._in_flight):
                return self._client.get(whole.geturl(), cast_to=httpx2.Response).content
        except openai.APIStatusError as error:
            raise ImageModelError(f"{self.host} answered {error.status_code} for the URL of its image") from None
        except (openai.APIConnectionError, OversizedAnswerError) as error:
            raise self._connection_error(error) from error

    def models(self) -> list[Mapping[str, object]] | None:
        """Return the models that the server lists, empty where it has no list, None where it does not answer now."""
        quick = self._client.with_options(timeout=min(CARD_TIMEOUT, self._timeout), max_retries=0)
        try:
            answer = json.loads(quick.get("/models", cast_to=httpx2.Response).content)
        except openai.APIConnectionError:
            return None
        except openai.APIStatusError as error:
            return None if error.status_code >= 500 else []  # it may be starting still
        except (OversizedAnswerError, ValueError, RecursionError):
            return []
        cards = answer.get("data") if isinstance(answer, dict) else None
        return [card for card in cards if isinstance(card, dict)] if isinstance(cards, list) else []

    def _connection_error(self, error: openai.OpenAIError) -> ImageModelError:
        if isinstance(error, OversizedAnswerError):
            return ImageModelError(f"{error}: it is not taken")
        tries = f"after {self._retries + 1} tries" if self._retries else "at the only try"
        if isinstance(error, openai.APITimeoutError):
            return ImageModelError(
                f"{self.host} did not answer within {self._timeout:g} s {tries}: is it busy? Set a longer timeout"
            )
        reason = self.clean(str(error.__cause__ or error))
        if isinstance(error.__cause__, httpx2.ConnectError):
            return ImageModelError(f"cannot reach {self._where()} {tries} ({reason}): is the server running there?")
        return ImageModelError(f"{self.host} broke off its answer {tries} ({reason}): look at its log, or try again")

    def _status_message(self, error: openai.APIStatusError, detail: ErrorDetail, model: str) -> str:
        status = error.status_code
        message = self.clean(detail.message) or responses.get(status, "it does not say why")
        if detail.is_refusal:
            return f"{self.host} refused to draw this, because of its content: {message}. Change the request"
        if status == 401:  # its message quotes a part of the key
            todo = f"the key in {self._key_env} was refused" if self._key else f"it wants a key: set {self._key_env}"
            return f"{self.host} answered 401: {todo}"
        if status == 404:
            return self._not_found(message, model)
        if 300 <= status < 400:
            return f"{self._where()} {redirect_problem(error)}"
        if status == 429:
            return f"{self.host} answered 429: {message}. Try again later, or with fewer calls in flight"
        if status >= 500:
            return f"{self.host} answered {status}: {message}. Look at its log, or try again later"
        return f"{self.host} refused the request ({status}): {message}"

    def _not_found(self, message: str, model: str) -> str:
        served = [str(card.get("id")) for card in self.models() or []]
        if served and model not in served:
            more = ", ..." if len(served) > 10 else ""
            return f"{self.host} has no model {model!r}: it serves {', '.join(served[:10])}{more}"
        return f"{self._where()} answered 404 ({message}): does the address end in /v1, and does the server draw images?"

    def _where(self) -> str:
        parts = urlsplit(self.url)
        return parts._replace(netloc=self.host, query="").geturl()

    def clean(self, text: str) -> str:
        """Return a message of the server on one line, without the key, which some servers quote."""
        return redact(" ".join(text.split()), self._key or "")[:400].rstrip(".")


def _drop_authorization(request: httpx2.Request) -> None:
    request.headers.pop("Authorization", None)  # the client cannot be made without one

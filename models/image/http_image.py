"""The base of image models behind an HTTP API. A subclass says what is sent, and where the image is in the answer.

The base brings the key, time-outs, retries, a limit on calls at the same time, no redirects, bounds on answers and pixels, and
errors that say what to do, without keys.
"""

from __future__ import annotations

import json
import random
import ssl
import threading
import time
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from http.client import responses
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx2
from PIL import Image
from pydantic import Field

from ...errors import ImageModelError, ImageRefusedError
from ...privacy import host_of, redact, refuse_secrets, without_hosts
from ..concurrency_limit import call_limit_of
from ..endpoint_address import find_key, redirect_problem, refuse_url_user
from ..http import UNCOMPRESSED, GuardedClient, OversizedAnswerError
from ..negotiation import Negotiation, ServerError, call_adapting, negotiation_with, parse_error
from ..options import ImageOptions
from .base import ImageModel, ImageRequest
from .decode import decode_base64, decode_image

LONGEST_WAIT = 120.0
"""Seconds that a server may ask to wait before the next try; for a longer wait there is none."""

MAX_REMEMBERED = 1000
"""Number of requests whose remarks are remembered."""


class HttpImageOptions(ImageOptions):
    """What image models behind HTTP APIs have in common."""

    key_variable: ClassVar[str] = "GEMS_API_KEY"
    """Environment variable of the key, if `key_env` names no other."""
    key_required: ClassVar[bool] = False

    timeout: float = Field(default=300, gt=0, description="Seconds for one try, to the last byte of the answer.")
    retries: int = Field(default=4, ge=0, description="Tries after the first, for 429, 5xx, time-outs and dropped connections.")
    in_flight: int = Field(default=4, ge=1, description="Most concurrent calls to the endpoint.")
    key_env: str | None = Field(default=None, description="Environment variable that holds the key.")

    def api_key(self) -> tuple[str, str]:
        """Return the environment variable of the key, and the key, empty where none is needed.

        Raises:
            ModelSpecError: the key is missing.
        """
        return find_key("image", self.model, self.key_env, self.key_variable, required=self.key_required)


class HttpImage(ImageModel):
    """An image model behind an HTTP API: a subclass implements `draw` by `post`, `get`, `fetch` and `inline_image`.

    Example:
        ```python
        class AcmeImage(HttpImage):
            def draw(self, request):
                answer = self.post("/draw", json={"text": request.prompt, "seed": request.seed})
                return self.inline_image(answer.get("picture"), answer)
        ```

    Args:
        options: of the backend.
        url: the base URL; its query is sent with every request.
        name: of the model.

    Raises:
        ModelSpecError: the key is missing, or in the spec or the options, which are recorded.
        ImageModelError: the URL is malformed.
    """

    address_hint: ClassVar[str] = "is the address right"
    """What to check where the server does not answer as expected."""
    inline_hint: ClassVar[str] = ""
    """What to do to have images in the answer itself, for the error about an image on another host."""

    def __init__(self, options: HttpImageOptions, url: str, name: str) -> None:
        refuse_secrets("image", options.model, options.model_dump(exclude={"key_env"}))
        refuse_url_user("image", options.model, options.key_variable)
        self.name, self.parallel, self.options = name, options.in_flight, options
        self.url, self.host = url, host_of(url)
        self._key_env, self._key = options.api_key()
        self._limit = call_limit_of(f"{self.host} images")  # apart from chat calls to the host, which have their own limit
        self._remarks: dict[int, list[str]] = {}
        self._lock = threading.Lock()
        try:
            parts = urlsplit(url)
            self._client = GuardedClient(
                base_url=parts._replace(query="").geturl(),
                params=parse_qsl(parts.query),
                headers={**UNCOMPRESSED, "User-Agent": "gems", **(self.key_headers(self._key) if self._key else {})},
                timeout=options.timeout,
            )
        except (ValueError, httpx2.InvalidURL) as error:
            raise ImageModelError(f"the address {self._where()} is not understood ({error}): write http://HOST:PORT/v1") from error

    @abstractmethod
    def draw(self, request: ImageRequest) -> bytes:
        """Return the image of one request, as a PNG, JPEG or WebP. Called from several threads at once.

        Raises:
            ImageModelError: the server refuses the request.
        """

    def key_headers(self, key: str) -> dict[str, str]:
        """Return the headers that carry the key."""
        return {"Authorization": f"Bearer {key}"}

    @property
    def settings(self) -> dict[str, object]:
        """Options of the backend that determine an image, name and host."""
        own = self.options.model_dump(exclude={"model", "price", *HttpImageOptions.model_fields})
        return {**own, "model": self.name, "host": self.host}

    def caveats(self, request: ImageRequest) -> list[str]:
        """Return what was remarked of the request, or that the image has another size."""
        return self._remarks.get(hash(request), [])

    def generate(self, requests: Sequence[ImageRequest]) -> list[Image.Image]:
        """Generate the images, at most `in_flight` at a time, in the order of the requests."""
        if len(requests) < 2:
            return [self._generate_one(request) for request in requests]
        with ThreadPoolExecutor(min(len(requests), self.parallel)) as pool:
            return list(pool.map(self._generate_one, requests))  # after an error, no further request is sent

    def _generate_one(self, request: ImageRequest) -> Image.Image:
        self._remarks.pop(hash(request), None)
        try:
            image = decode_image(self.draw(request))
        except ImageModelError as error:
            error.host = self.host  # no spec names it where it is in the code of a backend
            raise
        asked = (request.width, request.height)
        if request.width and image.size != asked and hash(request) not in self._remarks:
            self.remark(request, f"{self.name} gave {image.width}x{image.height} pixels where {asked[0]}x{asked[1]} were requested")
        return image

    def remark(self, request: ImageRequest, *remarks: str) -> None:
        """Remember sentences about the image of a request, for `caveats`."""
        with self._lock:
            self._remarks[hash(request)] = [without_hosts(self.clean(remark), [self.url]) for remark in remarks]
            if len(self._remarks) > MAX_REMEMBERED:
                del self._remarks[next(iter(self._remarks))]

    @property
    def negotiation(self) -> Negotiation:
        """What the model at its server takes, as far as known: shared by all objects of this process."""
        return negotiation_with(self.url, self.name, "images")

    def post(self, path: str, *, optional: Collection[str] = (), **content: Any) -> dict[str, Any]:
        """Send a request with `json=`, or a form with `data=` and `files=`; return the JSON object of the answer.

        Args:
            path: after the base URL.
            optional: fields of the request that are left out once the server has refused them: rows of `negotiation.OPTIONAL`.
            content: of the request.

        Returns:
            The object; empty for other JSON.

        Raises:
            ImageRefusedError: the server answered with an error, also after the last try.
            ImageModelError: the server did not answer, or not with JSON.
        """
        kind = "json" if "json" in content else "data"
        wants = {name: value for name, value in content.get(kind, {}).items() if name in optional}

        def send(granted: Mapping[str, Any]) -> dict[str, Any]:
            body = {name: value for name, value in content.get(kind, {}).items() if name not in wants or name in granted}
            return self._json_of(self._send("POST", path, **{**content, kind: body}))

        return call_adapting(send, wants, self.negotiation)[0]

    def get(self, path: str, **content: Any) -> dict[str, Any]:
        """Return the JSON object of a GET request, with `params=`; as for `post`."""
        return self._json_of(self._send("GET", path, **content))

    def fetch(self, url: str) -> bytes:
        """Download an image from its URL, only from the server itself: other addresses could be anywhere.

        Raises:
            ImageModelError: the URL is of another server, or the download failed.
        """
        try:
            whole = urlsplit(urljoin(self.url, url))
            host = whole.hostname or whole.scheme
        except ValueError:
            raise ImageModelError(f"{self.host} answered with an address that is none{self.inline_hint}") from None
        if (whole.scheme, whole.netloc) != urlsplit(self.url)[:2]:
            raise ImageModelError(f"{self.host} answered with an image on {host}, which is not fetched{self.inline_hint}")
        try:
            params = parse_qsl(whole.query) if self._client.params else None  # which would take the place of the query
            return self._send("GET", whole.geturl(), params=params).content
        except ImageRefusedError as error:
            raise ImageModelError(f"{self.host} answered {error.status} for the URL of its image") from None

    def inline_image(self, value: object, answer: Mapping[str, Any]) -> bytes:
        """Return the image that an answer holds in base64 or as a data URL.

        Args:
            value: where the image is expected in the answer.
            answer: the whole answer, which may say why there is no image.

        Raises:
            ImageModelError: there is no image, or it is not valid base64.
        """
        if isinstance(value, str) and value and (data := decode_base64(value)):
            return data
        why = self.clean(parse_error(answer).message) or "its filter may have held it back"
        raise ImageModelError(f"{self.host} answered without an image ({why}): change the request, or look at its log")

    def _json_of(self, response: httpx2.Response) -> dict[str, Any]:
        try:
            answer = json.loads(response.content)
        except (ValueError, RecursionError):
            kind = response.headers.get("content-type", "no content type").partition(";")[0]
            raise ImageModelError(f"{self._where()} answered with {kind} instead of JSON: {self.address_hint}?") from None
        return answer if isinstance(answer, dict) else {}

    def _send(self, method: str, path: str, **content: Any) -> httpx2.Response:
        """Send a request and return the answer, which is no error."""
        response = self.answer(method, path, self.options.retries, **content)
        if response.is_success:
            return response
        detail = parse_error(body_of(response))
        raise ImageRefusedError(redact(self._problem(response, detail), self._key), response.status_code, detail)

    def answer(self, method: str, path: str, retries: int, **content: Any) -> httpx2.Response:
        """Send a request, again after an error that may pass, and return the last answer, which may be an error.

        Raises:
            ImageModelError: the server did not answer.
        """
        for attempt in range(retries + 1):
            response = None
            try:
                with self._limit.slot(self.options.in_flight):
                    response = self._client.request(method, path, **content)
            except OversizedAnswerError as error:
                raise ImageModelError(f"{error}: it is not taken") from error
            except (httpx2.RequestError, ssl.SSLError) as error:
                if attempt == retries:
                    raise self._connection_error(error, retries) from error
            delay = retry_delay(response, attempt)
            if response is not None and (response.is_success or delay is None or attempt == retries):
                break
            time.sleep(delay or 0)
        assert response is not None
        return response

    def _connection_error(self, error: Exception, retries: int) -> ImageModelError:
        tries = f"after {retries + 1} tries" if retries else "at the only try"
        if isinstance(error, httpx2.TimeoutException):
            return ImageModelError(
                f"{self.host} did not answer within {self.options.timeout:g} s {tries}: is it busy? Set a longer timeout"
            )
        reason = self.clean(str(error))
        if isinstance(error, httpx2.ConnectError):
            return ImageModelError(f"cannot reach {self._where()} {tries} ({reason}): is the server running there?")
        return ImageModelError(f"{self.host} broke off its answer {tries} ({reason}): look at its log, or try again")

    def _problem(self, response: httpx2.Response, detail: ServerError) -> str:
        """Describe the error of a server, and what to do."""
        status = response.status_code
        message = self.clean(detail.message) or responses.get(status, "it does not say why")
        if detail.is_content_refusal:
            return f"{self.host} refused to draw this, because of its content: {message}. Change the request"
        if status == 401:  # its message quotes a part of the key
            todo = f"the key in {self._key_env} was refused" if self._key else f"it wants a key: set {self._key_env}"
            return f"{self.host} answered 401: {todo}"
        if status == 404:
            return self.not_found(message)
        if 300 <= status < 400:
            return f"{self._where()} {redirect_problem(response)}"
        if status == 429:
            return f"{self.host} answered 429: {message}. Try again later, or with fewer calls in flight"
        if status >= 500:
            return f"{self.host} answered {status}: {message}. Look at its log, or try again later"
        return f"{self.host} refused the request ({status}): {message}"

    def not_found(self, message: str) -> str:
        """Describe a 404 of the server, and what to do."""
        return f"{self._where()} answered 404 ({message}): {self.address_hint}, and does the server draw images?"

    def _where(self) -> str:
        return urlsplit(self.url)._replace(netloc=self.host, query="").geturl()

    def clean(self, text: str) -> str:
        """Return a message of the server on one line, without the key, which some servers quote."""
        return redact(" ".join(text.split()), self._key)[:400].rstrip(".")


def retry_delay(response: httpx2.Response | None, attempt: int) -> float | None:
    """Return the seconds to wait before the next try; None where another try would not help.

    Args:
        response: the answer of the server; None if there was none, which may pass.
        attempt: number of tries before this one.
    """
    delay = min(0.5 * 2.0**attempt, 8) * (1 - 0.25 * random.random())
    if response is None:
        return delay
    asked = _asked_delay(response.headers)
    told: str | None = response.headers.get("x-should-retry")
    passes = told == "true" or (told != "false" and (response.status_code in (408, 409, 429) or response.status_code >= 500))
    return (asked or delay) if passes and asked <= LONGEST_WAIT else None


def _asked_delay(headers: httpx2.Headers) -> float:
    """Return the seconds that a server asks to wait, 0 where it does not ask."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * unit)
        except (KeyError, ValueError):
            continue
    try:
        return max(0.0, parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time())
    except (KeyError, ValueError):
        return 0.0


def body_of(response: httpx2.Response) -> object:
    """Return the body of an answer as JSON, or as text where it is none."""
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        return response.text

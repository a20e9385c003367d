"""Errors in OpenAI's format: `{"error": {"message", "type", "param", "code"}}` with an HTTP status."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ..errors import GemsError, ImageModelError
from ..models.chat.call import is_endpoint_error, server_message
from ..privacy import keys_of, redact

log = logging.getLogger(__name__)

ERROR_TYPES = {401: "authentication_error", 429: "rate_limit_error"}
"""Types of error by status, besides `invalid_request_error` and `server_error`."""


class ApiError(Exception):
    """An error response to a request.

    Args:
        status: the HTTP status.
        message: what is wrong and what to do, for the client's user.
        param: the field of the request that is wrong.
        code: an identifier that programs can compare.
        headers: headers of the response.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code, self.headers = status, message, param, code, dict(headers or {})

    def body(self) -> dict[str, Any]:
        """Return the error in OpenAI's format."""
        kind = ERROR_TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> AsciiJson:
        """Return the error as an HTTP response."""
        return AsciiJson(self.body(), self.status, self.headers)


class AsciiJson(JSONResponse):
    """A JSON response in ASCII: half a surrogate pair, which clients and models may send, has no other encoding."""

    def render(self, content: Any) -> bytes:
        """Encode the content."""
        return json.dumps(content, separators=(",", ":")).encode("ascii")


def validation_error(errors: Sequence[Any]) -> ApiError:
    """Return the error of a request that violates its schema.

    Args:
        errors: pydantic's errors. The deepest is reported: of a union it is that of the branch that was meant.
    """
    deepest = max(errors, key=lambda e: len(e["loc"]))
    if deepest["type"] == "json_invalid":
        return ApiError(400, f"the body is not JSON: {deepest['ctx']['error']} at character {deepest['loc'][-1]}")
    param = ".".join(part for part in map(str, deepest["loc"]) if part != "body" and not part.startswith("<")) or None
    problem = deepest["msg"].removeprefix("Value error, ")
    return ApiError(400, f"{param or 'the body'}: {problem}", param=param)


def install_error_handlers(app: FastAPI) -> None:
    """Have an app answer all errors in OpenAI's format, also those of the framework."""

    async def handle_api_error(_: Request, error: Exception) -> AsciiJson:
        assert isinstance(error, ApiError)
        return error.response()

    async def handle_validation_error(_: Request, error: Exception) -> AsciiJson:
        assert isinstance(error, RequestValidationError)
        return validation_error(error.errors()).response()

    async def handle_http_error(request: Request, error: Exception) -> AsciiJson:
        assert isinstance(error, HTTPException)
        message = str(error.detail)
        if error.status_code in (404, 405):
            message = f"there is no {request.method} {request.url.path} here"
        return ApiError(error.status_code, message, headers=error.headers).response()

    async def handle_any_error(_: Request, error: Exception) -> AsciiJson:
        return ApiError(500, "the server has a fault: its log says which").response()

    app.add_exception_handler(ApiError, handle_api_error)
    app.add_exception_handler(RequestValidationError, handle_validation_error)
    app.add_exception_handler(HTTPException, handle_http_error)
    app.add_exception_handler(Exception, handle_any_error)


@contextmanager
def model_errors(name: str, client: Any = None) -> Iterator[None]:
    """Turn any error of a model into an `ApiError`.

    Args:
        name: the model's name.
        client: the model itself, if it is the client of an endpoint: its key is removed from messages.

    Raises:
        ApiError: 400 if the model does not take the request, else another status. Messages that may hold paths or keys are
            logged and not sent.
    """
    try:
        yield
    except ApiError:
        raise
    except Exception as error:  # models and their clients raise what they like
        raise _as_api_error(error, name, client) from error


def _as_api_error(error: Exception, name: str, client: Any) -> ApiError:
    message = server_message(error, client)
    # An image model also raises its error when it cannot be loaded: then the request is not at fault.
    if isinstance(error, GemsError) and (not isinstance(error, ImageModelError) or "refused the request" in message):
        return ApiError(400, message)
    status = getattr(error, "status_code", None)  # of a client's error: the status that the endpoint has answered with
    if status in (400, 413, 422):
        return ApiError(400, f"the endpoint behind {name} refused the request: {message}")
    log.error("%s failed: %s: %s", name, type(error).__name__, message)
    log.debug("%s failed:\n%s", name, redact("".join(traceback.format_exception(error)), *keys_of(client)))
    if status == 429:
        return ApiError(429, f"the endpoint behind {name} is busy: try again later", headers={"Retry-After": "5"})
    if is_endpoint_error(error):
        return ApiError(502, f"the endpoint behind {name} failed: the server's log says how")
    return ApiError(500, f"the model {name} failed: the server's log says how")

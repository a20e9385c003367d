"""Errors in OpenAI's format: `{"error": {"message", "type", "param", "code"}}` with an HTTP status."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ..errors import GemsError, ImageModelError

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


def unsupported(message: str, param: str) -> ApiError:
    """Return the error of a field that the model does not support."""
    return ApiError(400, message, param=param, code="unsupported_parameter")


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

    async def handle(request: Request, error: Exception) -> AsciiJson:
        if isinstance(error, ApiError):
            return error.response()
        if isinstance(error, RequestValidationError):
            return validation_error(error.errors()).response()
        if isinstance(error, HTTPException):
            unknown = error.status_code in (404, 405)
            message = f"there is no {request.method} {request.url.path} here" if unknown else str(error.detail)
            return ApiError(error.status_code, message, headers=error.headers).response()
        return ApiError(500, "the server has a fault: its log says which").response()

    for kind in (ApiError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, handle)


@contextmanager
def model_errors(name: str) -> Iterator[None]:
    """Turn any error of the model of this name into an `ApiError`.

    Raises:
        ApiError: 400 if the model does not take the request, else 500. Messages that may hold paths are logged and not sent.
    """
    try:
        yield
    except ApiError:
        raise
    except Exception as error:  # models raise what they like
        message = " ".join(str(error).split())
        # An image model also raises its error when it cannot be loaded: then the request is not at fault.
        if isinstance(error, GemsError) and (not isinstance(error, ImageModelError) or "refused the request" in message):
            raise ApiError(400, message) from error
        log.error("%s failed: %s: %s", name, type(error).__name__, message)
        log.debug("%s failed:", name, exc_info=True)
        raise ApiError(500, f"the model {name} failed: the server's log says how") from error

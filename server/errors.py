"""Errors as OpenAI's clients expect them: `{"error": {"message", "type", "param", "code"}}` with a fitting status."""

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

TYPES = {401: "authentication_error", 429: "rate_limit_error"}
"""Types of error by status, where it is neither the request in general nor the server."""


class ApiError(Exception):
    """A request is not answered.

    Args:
        status: HTTP status.
        message: what is wrong and what to do, for the client's user.
        param: the field that is wrong.
        code: a word that programs can compare.
        headers: headers of the answer.
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
        """Return the error in OpenAI's form."""
        kind = TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> Json:
        """Return the error as an answer."""
        return Json(self.body(), self.status, self.headers)


class Json(JSONResponse):
    """JSON in ASCII: half a surrogate pair, which clients and models may send, has no other encoding."""

    def render(self, content: Any) -> bytes:
        """Encode an answer."""
        return json.dumps(content, separators=(",", ":")).encode("ascii")


def invalid(errors: Sequence[Any]) -> ApiError:
    """Return the error for a request that does not fit its schema.

    Args:
        errors: what pydantic found, one dictionary each. Of the branches of a union the one that went deepest is meant.
    """
    worst = max(errors, key=lambda e: len(e["loc"]))
    if worst["type"] == "json_invalid":
        return ApiError(400, f"the body is not JSON: {worst['ctx']['error']} at character {worst['loc'][-1]}")
    param = ".".join(part for part in map(str, worst["loc"]) if part != "body" and not part.startswith("<")) or None
    problem = worst["msg"].removeprefix("Value error, ")
    return ApiError(400, f"{param or 'the body'}: {problem}", param=param)


def install(app: FastAPI) -> None:
    """Give every error of an app OpenAI's form, also those of the framework."""

    async def ours(_: Request, error: Exception) -> Json:
        assert isinstance(error, ApiError)
        return error.response()

    async def schema(_: Request, error: Exception) -> Json:
        assert isinstance(error, RequestValidationError)
        return invalid(error.errors()).response()

    async def http(request: Request, error: Exception) -> Json:
        assert isinstance(error, HTTPException)
        message = str(error.detail)
        if error.status_code in (404, 405):
            message = f"there is no {request.method} {request.url.path} here"
        return ApiError(error.status_code, message, headers=error.headers).response()

    async def fault(_: Request, error: Exception) -> Json:
        return ApiError(500, "the server has a fault: its log says which").response()

    app.add_exception_handler(ApiError, ours)
    app.add_exception_handler(RequestValidationError, schema)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, fault)


@contextmanager
def model_errors(name: str, client: Any = None) -> Iterator[None]:
    """Turn what a model raises into an `ApiError`.

    Args:
        name: the model's name.
        client: the model itself, where it is the client of an endpoint: its key is kept out of what is said.

    Raises:
        ApiError: 400 if the model does not take the request, else a status of its own. What may hold paths or keys is
            logged and not told.
    """
    try:
        yield
    except ApiError:
        raise
    except Exception as error:  # models and their clients raise what they like
        raise _as_api_error(error, name, client) from error


def _as_api_error(error: Exception, name: str, client: Any) -> ApiError:
    said = server_message(error, client)
    # An image model also fails with this error when it cannot be loaded: then the request is not at fault.
    if isinstance(error, GemsError) and (not isinstance(error, ImageModelError) or "refused the request" in said):
        return ApiError(400, said)
    status = getattr(error, "status_code", None)  # of the clients' errors: what an endpoint behind has answered
    if status in (400, 413, 422):
        return ApiError(400, f"the endpoint behind {name} refused the request: {said}")
    log.error("%s failed: %s: %s", name, type(error).__name__, said)
    log.debug("%s failed:\n%s", name, redact("".join(traceback.format_exception(error)), *keys_of(client)))
    if status == 429:
        return ApiError(429, f"the endpoint behind {name} is busy: try again later", headers={"Retry-After": "5"})
    if is_endpoint_error(error):
        return ApiError(502, f"the endpoint behind {name} failed: the server's log says how")
    return ApiError(500, f"the model {name} failed: the server's log says how")

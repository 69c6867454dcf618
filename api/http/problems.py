"""Answers for everything that goes wrong: application/problem+json (RFC 9457)."""

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import psycopg
import sqlalchemy.exc
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from lmx.workflows.database.connect import Database
from lmx.workflows.database.failures import failure_of
from lmx.workflows.errors import LmxError, NeverFitsError

_log = logging.getLogger("lmx.api")


class Problem(JSONResponse):
    """A problem: `code` is a stable word for programs, `detail` one line for people."""

    media_type = "application/problem+json"

    def __init__(self, status: int, code: str, detail: str, **more: Any) -> None:
        content = {
            "type": f"urn:lmx:problem:{code}",
            "title": code.replace("_", " ").capitalize(),
            "status": status,
            "detail": detail,
            "code": code,
            **more,
        }
        super().__init__(content, status_code=status)


def problem_of(error: LmxError) -> Problem:
    """Return the answer for an error of lmx."""
    more: dict[str, Any] = {"hint": error.hint} if error.hint else {}
    if isinstance(error, NeverFitsError):
        more |= {"needs": error.needs, "cap": error.cap, "free": error.free}
    return Problem(error.http_status, error.code, str(error), **more)


def install(app: FastAPI, database: Database) -> None:
    """Make `app` answer every error with a problem."""

    async def known(_: Request, error: Exception) -> Problem:
        assert isinstance(error, LmxError)
        return problem_of(error)

    async def statement(_: Request, error: Exception) -> Problem:
        if found := failure_of(error, database.place):
            return problem_of(found)
        if isinstance(getattr(error, "orig", error), psycopg.DataError):
            return Problem(422, "invalid_input", "a value is one that Postgres cannot store")
        # Neither the statement nor its values are for the caller.
        _log.error("a statement failed", exc_info=error)
        return Problem(500, "internal", "lmx made a mistake; its log says which")

    async def invalid(_: Request, error: Exception) -> Problem:
        assert isinstance(error, RequestValidationError)
        return _validation_problem(error.errors())

    async def by_status(_: Request, error: Exception) -> Problem:
        assert isinstance(error, HTTPException)
        code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
        return Problem(error.status_code, code, str(error.detail))

    async def unexpected(_: Request, error: Exception) -> Problem:  # noqa: ARG001
        return Problem(500, "internal", "lmx made a mistake; its log says which")

    app.add_exception_handler(LmxError, known)
    app.add_exception_handler(psycopg.Error, statement)
    app.add_exception_handler(sqlalchemy.exc.SQLAlchemyError, statement)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, by_status)
    app.add_exception_handler(Exception, unexpected)


def _validation_problem(errors: Sequence[Any]) -> Problem:
    """The first error in a sentence, and all of them in `errors`; values are never repeated."""
    first = errors[0]
    if first["type"] == "json_invalid":
        reason = str(first.get("ctx", {}).get("error", "it cannot be read"))
        return Problem(400, "invalid_json", f"the body is not valid JSON: {reason}")
    listed = [{"where": _where(error["loc"]), "message": _message(error)} for error in errors]
    where, message = listed[0]["where"], listed[0]["message"]
    return Problem(422, "invalid_input", f"{where}: {message}", errors=listed)


def _where(location: Sequence[str | int]) -> str:
    # The tag by which a kind of task was chosen is in the location but not in the request.
    tagged = location[:1] == ("body",) and location[1:2] in (("function",), ("model",))
    parts = (location[0], *location[2:]) if tagged else location
    return ".".join(str(part) for part in parts)


def _message(error: Any) -> str:
    if error["type"] == "model_attributes_type":
        return "it must be a JSON object, sent with content-type: application/json"
    message = str(error["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]

"""Anthropic's Message Batches on the wire; the list comes by pages, the results as JSON lines."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from lmx.api.rehearsal.batches import Batches, Call, ServedBatch, call_of, told
from lmx.api.rehearsal.provider import Rejected
from lmx.api.rehearsal.streaming import bearer, document
from lmx.api.rehearsal.wire_anthropic import ERRORS, asked_of, error_of, message_of

_PREFIX: Final = "msgbatch_"
_PATH: Final = "/v1/messages/batches"


def routes(batches: Batches) -> list[Route]:
    """The paths of the API."""
    wire = _Wire(batches)
    one = f"{_PATH}/{{batch:str}}"
    return [
        Route(_PATH, wire.create, methods=["POST"]),
        Route(_PATH, wire.list, methods=["GET"]),
        Route(one, wire.retrieve, methods=["GET"]),
        Route(one, wire.delete, methods=["DELETE"]),
        Route(f"{one}/results", wire.results, methods=["GET"]),
        Route(f"{one}/cancel", wire.cancel, methods=["POST"]),
    ]


class _Wire:
    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    async def create(self, request: Request) -> Response:
        try:
            rows = json.loads(await request.body())["requests"]
            calls = [_call(row, _key(request)) for row in rows]
            model = str(rows[0]["params"]["model"]) if rows else ""
        except (ValueError, KeyError, TypeError) as error:
            return error_of("invalid", f"the batch cannot be read: {error!r}", {})
        try:
            batch, fault = self._batches.create(_key(request), "", model, calls, _PREFIX)
        except Rejected as rejected:
            return _refusal(rejected)
        return await document(self._batches.provider, self._told(batch, request), fault)

    async def list(self, request: Request) -> Response:
        limit = int(request.query_params.get("limit", 20))
        after = request.query_params.get("after_id")
        try:
            found = self._batches.recent(_key(request), _PREFIX)
        except Rejected as rejected:
            return _refusal(rejected)
        if after is not None:
            ids = [batch.id for batch in found]
            found = found[ids.index(after) + 1 :] if after in ids else []
        page = [self._told(batch, request) for batch in found[:limit]]
        return JSONResponse(
            {
                "data": page,
                "has_more": len(found) > limit,
                "first_id": page[0]["id"] if page else None,
                "last_id": page[-1]["id"] if page else None,
            }
        )

    async def retrieve(self, request: Request) -> Response:
        return self._with(request, self._batches.find)

    async def cancel(self, request: Request) -> Response:
        return self._with(request, self._batches.cancel)

    async def delete(self, request: Request) -> Response:
        batch_id = request.path_params["batch"]
        try:
            self._batches.delete(_key(request), batch_id)
        except Rejected as rejected:
            return _refusal(rejected)
        return JSONResponse({"id": batch_id, "type": "message_batch_deleted"})

    async def results(self, request: Request) -> Response:
        try:
            batch = self._batches.find(_key(request), request.path_params["batch"])
        except Rejected as rejected:
            return _refusal(rejected)
        if batch.ended_at is None:
            return error_of("not_found", "the batch has no results yet", {})
        lines = (json.dumps(_line(call)).encode() + b"\n" for call in batch.calls)
        return StreamingResponse(lines, media_type="application/x-jsonl")

    def _with(self, request: Request, do: Callable[[str, str], ServedBatch]) -> Response:
        try:
            batch = do(_key(request), request.path_params["batch"])
        except Rejected as rejected:
            return _refusal(rejected)
        return JSONResponse(self._told(batch, request))

    def _told(self, batch: ServedBatch, request: Request) -> dict[str, Any]:
        counts = told(batch)
        ended = batch.ended_at is not None
        status = "ended" if ended else "canceling" if batch.cancelled_at else "in_progress"
        url = f"{str(request.base_url).rstrip('/')}{_PATH}/{batch.id}/results"
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": status,
            # Until a batch has ended, all of its calls count as processing.
            "request_counts": {
                "processing": 0 if ended else len(batch.calls),
                "succeeded": counts["succeeded"] if ended else 0,
                "errored": counts["errored"] if ended else 0,
                "canceled": counts["cancelled"] if ended else 0,
                "expired": counts["expired"] if ended else 0,
            },
            "created_at": _time(batch.created_at),
            "expires_at": _time(batch.created_at + self._batches.expires_s),
            "ended_at": None if batch.ended_at is None else _time(batch.ended_at),
            "cancel_initiated_at": batch.cancelled_at and _time(batch.cancelled_at),
            "archived_at": None,
            "results_url": url if ended else None,
        }


def _key(request: Request) -> str:
    return request.headers.get("x-api-key") or bearer(request)


def _call(row: dict[str, Any], key: str) -> Call:
    return call_of(str(row["custom_id"]), lambda: asked_of(row["params"], key))


def _refusal(rejected: Rejected) -> Response:
    headers = {"retry-after": "5"} if rejected.kind == "rate_limited" else {}
    return error_of(rejected.kind, rejected.message, headers)


def _line(call: Call) -> dict[str, Any]:
    match call.outcome:
        case ("cancelled", _):
            result: dict[str, Any] = {"type": "canceled"}
        case ("expired", _):
            result = {"type": "expired"}
        case (str() as kind, str() as message):
            error = {"type": ERRORS[kind][1], "message": message}
            result = {"type": "errored", "error": {"type": "error", "error": error}}
        case (answering, str() as text) if not isinstance(answering, str):
            result = {"type": "succeeded", "message": message_of(answering, text)}
        case other:
            raise AssertionError(other)
    return {"custom_id": call.custom_id, "result": result}


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()

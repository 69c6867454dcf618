"""Gemini's batches on the wire: batchGenerateContent with inline requests and responses."""

import json
from datetime import UTC, datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lmx.api.rehearsal.batches import Batches, Call, ServedBatch, call_of, told
from lmx.api.rehearsal.provider import Rejected
from lmx.api.rehearsal.streaming import document
from lmx.api.rehearsal.wire_gemini import asked_of, error_of, rejection, response_of

_PREFIX: Final = "batches/"
#: google.rpc.Code of what a single request can meet.
_CODES: Final = {"invalid": 3, "too_long": 3, "unknown_model": 5, "server_error": 13}


def routes(batches: Batches) -> list[Route]:
    """The paths of the API; v1 and v1beta alike."""
    wire = _Wire(batches)
    one = "/{version:str}/batches/{batch:str}"
    return [
        Route(
            "/{version:str}/models/{model:str}:batchGenerateContent", wire.create, methods=["POST"]
        ),
        Route("/{version:str}/batches", wire.list, methods=["GET"]),
        Route(f"{one}:cancel", wire.cancel, methods=["POST"]),
        Route(one, wire.get, methods=["GET"]),
        Route(one, wire.delete, methods=["DELETE"]),
    ]


class _Wire:
    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    async def create(self, request: Request) -> Response:
        model = request.path_params["model"]
        try:
            body = json.loads(await request.body())["batch"]
            rows = body["inputConfig"]["requests"]["requests"]
            calls = [_call(model, row, _key(request)) for row in rows]
            name = str(body["displayName"])
        except (ValueError, KeyError, TypeError) as error:
            return error_of("invalid", f"the batch cannot be read: {error!r}", [])
        try:
            batch, fault = self._batches.create(_key(request), name, model, calls, _PREFIX)
        except Rejected as rejected:
            return rejection(rejected)
        return await document(self._batches.provider, _told(batch), fault)

    async def get(self, request: Request) -> Response:
        try:
            return JSONResponse(_told(self._batches.find(_key(request), _id(request))))
        except Rejected as rejected:
            return rejection(rejected)

    async def list(self, request: Request) -> Response:
        size = int(request.query_params.get("pageSize", 50))
        start = int(request.query_params.get("pageToken") or 0)
        try:
            found = self._batches.recent(_key(request), _PREFIX)
        except Rejected as rejected:
            return rejection(rejected)
        page: dict[str, Any] = {"operations": [_told(one) for one in found[start : start + size]]}
        if len(found) > start + size:
            page["nextPageToken"] = str(start + size)
        return JSONResponse(page)

    async def cancel(self, request: Request) -> Response:
        try:
            self._batches.cancel(_key(request), _id(request))
        except Rejected as rejected:
            return rejection(rejected)
        return JSONResponse({})

    async def delete(self, request: Request) -> Response:
        try:
            self._batches.delete(_key(request), _id(request))
        except Rejected as rejected:
            return rejection(rejected)
        return JSONResponse({})


def _id(request: Request) -> str:
    return f"{_PREFIX}{request.path_params['batch']}"


def _key(request: Request) -> str:
    return request.headers.get("x-goog-api-key") or request.query_params.get("key", "")


def _call(model: str, row: dict[str, Any], key: str) -> Call:
    custom_id = str((row.get("metadata") or {}).get("key", ""))
    return call_of(custom_id, lambda: asked_of(model, row["request"], key))


def _told(batch: ServedBatch) -> dict[str, Any]:
    """A long-running operation, as Google tells of batches."""
    counts = told(batch)
    metadata: dict[str, Any] = {
        "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
        "name": batch.id,
        "displayName": batch.name,
        "model": f"models/{batch.model}",
        "state": _state(batch, counts),
        "createTime": _time(batch.created_at),
        "updateTime": _time(batch.ended_at or batch.created_at),
    }
    if batch.ended_at is not None:
        metadata["endTime"] = _time(batch.ended_at)
        metadata["output"] = {
            "inlinedResponses": {"inlinedResponses": [_response(call) for call in batch.calls]}
        }
    return {"name": batch.id, "metadata": metadata, "done": batch.ended_at is not None}


def _state(batch: ServedBatch, counts: dict[str, int]) -> str:
    if batch.ended_at is None:
        return "BATCH_STATE_RUNNING"
    if batch.cancelled_at is not None and counts["cancelled"]:
        return "BATCH_STATE_CANCELLED"
    whole = counts["expired"] == len(batch.calls)
    return "BATCH_STATE_EXPIRED" if whole else "BATCH_STATE_SUCCEEDED"


def _response(call: Call) -> dict[str, Any]:
    metadata = {"metadata": {"key": call.custom_id}}
    match call.outcome:
        case (str() as kind, str() as message):
            code = {"cancelled": 1, "expired": 4}.get(kind, _CODES.get(kind, 13))
            return {**metadata, "error": {"code": code, "message": message or kind}}
        case (answering, str() as text) if not isinstance(answering, str):
            return {**metadata, "response": response_of(answering, text, last=True)}
        case other:
            raise AssertionError(other)


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")

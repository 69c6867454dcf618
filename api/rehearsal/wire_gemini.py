"""Gemini's generateContent API on the wire, v1 and v1beta, streamed or whole."""

import json
from collections.abc import AsyncIterator
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lmx.api.rehearsal.provider import Answering, Asked, FaithfulProvider, Rejected, count_tokens
from lmx.api.rehearsal.streaming import pieces, stream, whole

ERRORS: Final = {
    "unauthorized": (400, "INVALID_ARGUMENT"),
    "unknown_model": (404, "NOT_FOUND"),
    "not_found": (404, "NOT_FOUND"),
    "too_long": (400, "INVALID_ARGUMENT"),
    "invalid": (400, "INVALID_ARGUMENT"),
    "rate_limited": (429, "RESOURCE_EXHAUSTED"),
    "spend_cap": (429, "RESOURCE_EXHAUSTED"),
    "billing": (403, "PERMISSION_DENIED"),
    "overloaded": (503, "UNAVAILABLE"),
    "server_error": (500, "INTERNAL"),
}
#: The ids of Google's quotas, by our names of the limits.
_QUOTAS: Final = {
    "requests/min": "GenerateRequestsPerMinutePerProjectPerModel",
    "input tokens/min": "GenerateContentPaidTierInputTokensPerModelPerMinute",
    "requests/day": "GenerateRequestsPerDayPerProjectPerModel",
    "dollars/10min": "SpendPerTenMinutesPerProject",
}


def routes(provider: FaithfulProvider) -> list[Route]:
    """The paths of the API."""
    wire = _Wire(provider)
    path = "/{version:str}/models/{call:path}"
    return [Route(path, wire.call, methods=["POST"])]


class _Wire:
    def __init__(self, provider: FaithfulProvider) -> None:
        self._provider = provider

    async def call(self, request: Request) -> Response:
        model, _, verb = request.path_params["call"].partition(":")
        key = request.headers.get("x-goog-api-key") or request.query_params.get("key", "")
        try:
            body = json.loads(await request.body())
            asked = asked_of(model, body, key)
        except (ValueError, KeyError, TypeError) as error:
            return error_of("invalid", f"the request cannot be read: {error!r}", [])
        if verb == "countTokens":
            return JSONResponse({"totalTokens": count_tokens(asked.text)})
        try:
            answering = self._provider.admit(asked)
        except Rejected as rejected:
            return rejection(rejected)
        if answering.fault == "malformed":
            return Response(b"data: {]\r\n\r\n", 200, {}, "text/event-stream")
        if verb == "streamGenerateContent":
            return stream(self._events(answering), {})
        text = await whole(self._provider, answering)
        return JSONResponse(response_of(answering, text, last=True))

    async def _events(self, answering: Answering) -> AsyncIterator[bytes]:
        async for piece in pieces(self._provider, answering):
            last = answering.produced >= answering.output_tokens
            yield f"data: {json.dumps(response_of(answering, piece, last=last))}\r\n\r\n".encode()
        if answering.fault == "midstream":
            error = {"code": 503, "message": "overloaded (on demand)", "status": "UNAVAILABLE"}
            yield f"data: {json.dumps({'error': error})}\r\n\r\n".encode()


def asked_of(model: str, body: dict[str, Any], key: str) -> Asked:
    """What a request's body asks."""
    settings = body.get("generationConfig") or {}
    text = json.dumps([body.get("systemInstruction"), body["contents"], body.get("tools")])
    return Asked(model, text, int(settings.get("maxOutputTokens", 1024)), key)


def response_of(answering: Answering, text: str, *, last: bool) -> dict[str, Any]:
    """A response, or the next piece of one."""
    candidate: dict[str, Any] = {
        "content": {"role": "model", "parts": [{"text": text}]},
        "index": 0,
    }
    if last:
        candidate["finishReason"] = "SAFETY" if answering.fault == "refused" else "STOP"
    return {
        "candidates": [candidate],
        "usageMetadata": {
            "promptTokenCount": answering.input_tokens,
            "candidatesTokenCount": answering.produced,
            "totalTokenCount": answering.input_tokens + answering.produced,
        },
        "modelVersion": answering.model.name,
        "responseId": "rehearsal",
    }


def rejection(rejected: Rejected) -> Response:
    """The error for a request that is not served."""
    details: list[dict[str, Any]] = []
    if rejected.refusal is not None:
        refusal = rejected.refusal
        violation = {
            "quotaId": _QUOTAS.get(refusal.limit, refusal.limit),
            "quotaValue": str(int(refusal.granted)),
        }
        details = [
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]},
            {
                "@type": "type.googleapis.com/google.rpc.RetryInfo",
                "retryDelay": f"{max(1, round(refusal.retry_after))}s",
            },
        ]
    message = rejected.message
    if rejected.kind == "too_long":
        message = f"The input token count exceeds the maximum number of tokens allowed ({message})"
    return error_of(rejected.kind, message, details)


def error_of(kind: str, message: str, details: list[dict[str, Any]]) -> Response:
    """An error in Google's form."""
    code, status = ERRORS[kind]
    if kind == "unauthorized":
        message = f"API key not valid. Please pass a valid API key. ({message})"
        reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
        details = [reason]
    error = {"code": code, "message": message, "status": status, "details": details}
    return JSONResponse({"error": error}, code)

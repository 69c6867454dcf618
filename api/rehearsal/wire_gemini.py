"""Gemini's generateContent API on the wire, v1 and v1beta, streamed or whole."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lmx.api.rehearsal.media import Weights, weighed
from lmx.api.rehearsal.provider import Answering, Asked, FaithfulProvider, Rejected
from lmx.api.rehearsal.streaming import pieces, stream, whole
from lmx.api.rehearsal.tools import Form, form_of

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
_WEIGHTS: Final = Weights(image=1_090, page=560, unseen=1_090)
#: What is the caller's own beneath these keys.
_VERBATIM: Final = frozenset(("parametersJsonSchema", "responseJsonSchema", "args", "response"))
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
            return JSONResponse({"totalTokens": asked.tokens})
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
    body = _in_camels(body)
    settings = body.get("generationConfig") or {}
    said, extra = weighed([body.get("systemInstruction"), body["contents"]], _WEIGHTS)
    text = json.dumps([*said, body.get("tools")])
    form = _form_of(model, body, settings)
    return Asked(model, text, int(settings.get("maxOutputTokens", 1024)), key, extra, form)


def _form_of(model: str, body: dict[str, Any], settings: dict[str, Any]) -> Form:
    """Raises ValueError for an earlier call without its signature, as Gemini 3 does."""
    turns = [[p for p in t.get("parts", ()) if "functionCall" in p] for t in body["contents"]]
    calls = [turn for turn in turns if turn]
    if not model.startswith("gemini-2") and any("thoughtSignature" not in c[0] for c in calls):
        raise ValueError("a functionCall is missing its thoughtSignature")
    offered = [tool.get("functionDeclarations", ()) for tool in body.get("tools") or ()]
    calling = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    form = form_of(
        [(tool["name"], tool.get("parametersJsonSchema")) for some in offered for tool in some],
        must=calling.get("mode") == "ANY",
        name=next(iter(calling.get("allowedFunctionNames") or ()), None),
        turn=len(calls),
        schema=settings.get("responseJsonSchema"),
    )
    thinks = (settings.get("thinkingConfig") or {}).get("includeThoughts")
    return replace(form, thinks=bool(thinks))


def _in_camels(value: Any) -> Any:
    """A request whose keys are as documented; those of protocol buffers are taken, too."""
    if isinstance(value, list):
        return [_in_camels(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        _camel(name): one if _camel(name) in _VERBATIM else _in_camels(one)
        for name, one in value.items()
    }


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


def response_of(answering: Answering, text: str, *, last: bool) -> dict[str, Any]:
    """A response, or the next piece of one. A call of a tool comes whole, at the end."""
    parts: list[dict[str, Any]] = [{"text": text}]
    if (name := answering.form.tool) is not None:
        call = {"name": name, "args": json.loads(answering.form.text or "{}")}
        parts = [{"functionCall": call, "thoughtSignature": "c2ln"}] if last else [{"text": ""}]
    if answering.form.thinks:
        parts = [{"text": "Hm.", "thought": True}, *parts]
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
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

"""Anthropic's Messages API on the wire: requests, server-sent events, errors, limit headers."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lmx.api.rehearsal.media import Weights, weighed
from lmx.api.rehearsal.provider import Answering, Asked, FaithfulProvider, Rejected
from lmx.api.rehearsal.streaming import bearer, pieces, stream, whole
from lmx.api.rehearsal.tools import Form, form_of

#: Status, error type and error code of everything that can be refused.
ERRORS: Final[dict[str, tuple[int, str, str | None]]] = {
    "unauthorized": (401, "authentication_error", None),
    "unknown_model": (404, "not_found_error", None),
    "not_found": (404, "not_found_error", None),
    "too_long": (400, "invalid_request_error", None),
    "invalid": (400, "invalid_request_error", None),
    "rate_limited": (429, "rate_limit_error", None),
    "spend_cap": (429, "rate_limit_error", "enforced_spend_limit_reached"),
    "billing": (402, "billing_error", None),
    "overloaded": (529, "overloaded_error", None),
    "server_error": (500, "api_error", None),
}
_WEIGHTS: Final = Weights(image=1_600, page=2_300, unseen=1_600)
_THOUGHTS: Final = frozenset(("thinking", "redacted_thinking"))
_IDS: Final = count(1)
_HEADERS: Final = {
    "requests/min": "requests",
    "input tokens/min": "input-tokens",
    "output tokens/min": "output-tokens",
}


def routes(provider: FaithfulProvider) -> list[Route]:
    """The paths of the API."""
    wire = _Wire(provider)
    return [
        Route("/v1/messages", wire.messages, methods=["POST"]),
        Route("/v1/messages/count_tokens", wire.count, methods=["POST"]),
        Route("/v1/organizations/rate_limits", wire.rate_limits, methods=["GET"]),
    ]


class _Wire:
    def __init__(self, provider: FaithfulProvider) -> None:
        self._provider = provider

    async def messages(self, request: Request) -> Response:
        try:
            body = json.loads(await request.body())
            asked = asked_of(body, request.headers.get("x-api-key") or bearer(request))
        except (ValueError, KeyError, TypeError) as error:
            return error_of("invalid", f"the request cannot be read: {error!r}", {})
        try:
            answering = self._provider.admit(asked)
        except Rejected as rejected:
            return self._rejected(rejected, asked.model)
        headers = {**self._limits(asked.model), "request-id": "req_rehearsal"}
        if answering.fault == "malformed":
            return Response(b"event: message_start\ndata: {\n\n", 200, headers, "text/event-stream")
        if body.get("stream"):
            return stream(self._events(answering), headers)
        text = await whole(self._provider, answering)
        return JSONResponse(message_of(answering, text), headers=headers)

    async def count(self, request: Request) -> Response:
        body = json.loads(await request.body())
        return JSONResponse({"input_tokens": asked_of({"max_tokens": 1, **body}, "").tokens})

    async def rate_limits(self, request: Request) -> Response:
        key = request.headers.get("x-api-key") or bearer(request)
        if key not in self._provider.admin_keys:
            return error_of("unauthorized", "this takes an admin key", {})
        data = [
            {
                "type": "rate_limit",
                "id": f"rl_{name}",
                "group": {"type": "model_group", "id": f"rlg_{name}", "display_name": name},
                "models": [m.name for m in self._provider.models.values() if m.pool == name],
                "limits": [
                    {"type": f"{of}_per_minute", "value": int(meter.limit)}
                    for of, meter in pool.meters.values()
                ],
            }
            for name, pool in self._provider.pools.items()
        ]
        return JSONResponse({"data": data, "next_page": None})

    def _rejected(self, rejected: Rejected, model: str) -> Response:
        headers = self._limits(model)
        if rejected.refusal is not None:
            headers["retry-after"] = str(max(1, round(rejected.refusal.retry_after)))
        elif rejected.kind == "rate_limited":
            headers["retry-after"] = "5"
        return error_of(rejected.kind, rejected.message, headers)

    def _limits(self, model: str) -> dict[str, str]:
        served = self._provider.models.get(model)
        if served is None:
            return {}
        now = self._provider.clock.now()
        headers = {}
        for name, (_, meter) in self._provider.pools[served.pool].meters.items():
            if part := _HEADERS.get(name):
                room, prefix = max(0.0, meter.room(now)), f"anthropic-ratelimit-{part}"
                rounded = int(room) if part == "requests" else round(room, -3)
                full = now + meter.retry_after(now, meter.limit)
                headers[f"{prefix}-limit"] = str(int(meter.limit))
                headers[f"{prefix}-remaining"] = str(int(rounded))
                headers[f"{prefix}-reset"] = datetime.fromtimestamp(full, UTC).isoformat()
        return headers

    async def _events(self, answering: Answering) -> AsyncIterator[bytes]:
        yield _event("message_start", {"message": message_of(answering, None)})
        if answering.form.thinks:
            yield _thought()
        place = int(answering.form.thinks)
        tool = answering.form.tool
        block: dict[str, Any] = {"type": "text", "text": ""}
        if tool is not None:
            block = {"type": "tool_use", "id": f"toolu_{next(_IDS)}", "name": tool, "input": {}}
        yield _event("content_block_start", {"index": place, "content_block": block})
        yield _event("ping", {})
        async for piece in pieces(self._provider, answering):
            delta = {"type": "text_delta", "text": piece}
            if tool is not None:
                delta = {"type": "input_json_delta", "partial_json": piece}
            yield _event("content_block_delta", {"index": place, "delta": delta})
        if answering.fault == "midstream":
            error = {"type": "overloaded_error", "message": "Overloaded (on demand)"}
            yield _event("error", {"error": error})
            return
        yield _event("content_block_stop", {"index": place})
        stop = {"stop_reason": _stop(answering), "stop_sequence": None}
        usage = {"output_tokens": answering.produced}
        yield _event("message_delta", {"delta": stop, "usage": usage})
        yield _event("message_stop", {})


def asked_of(body: dict[str, Any], key: str) -> Asked:
    """What a request's body asks."""
    said, extra = weighed([body.get("system"), body["messages"]], _WEIGHTS)
    text = json.dumps([*said, body.get("tools")])
    return Asked(str(body["model"]), text, int(body["max_tokens"]), key, extra, _form_of(body))


def _form_of(body: dict[str, Any]) -> Form:
    """Raises ValueError where thinking is on and an earlier call came without its own."""
    thinking = (body.get("thinking") or {}).get("type", "disabled")
    calls = [m for m in body["messages"] if m["role"] == "assistant" and _kinds(m) & {"tool_use"}]
    if thinking == "enabled" and any(not _kinds(call) & _THOUGHTS for call in calls[-1:]):
        raise ValueError("a message with tool_use must begin with its thinking block")
    choice = body.get("tool_choice") or {}
    form = form_of(
        [(tool["name"], tool.get("input_schema")) for tool in body.get("tools") or ()],
        must=choice.get("type") in ("any", "tool"),
        name=choice.get("name"),
        turn=len(calls),
        schema=((body.get("output_config") or {}).get("format") or {}).get("schema"),
    )
    return replace(form, thinks=thinking != "disabled")


def _kinds(message: dict[str, Any]) -> set[str]:
    content = message["content"]
    return set() if isinstance(content, str) else {block["type"] for block in content}


def _thought() -> bytes:
    """A block of thinking, whole."""
    block = {"type": "thinking", "thinking": "", "signature": ""}
    return b"".join(
        _event(kind, {"index": 0, **data})
        for kind, data in (
            ("content_block_start", {"content_block": block}),
            ("content_block_delta", {"delta": {"type": "thinking_delta", "thinking": "Hm."}}),
            ("content_block_delta", {"delta": {"type": "signature_delta", "signature": "c2ln"}}),
            ("content_block_stop", {}),
        )
    )


def _stop(answering: Answering) -> str:
    if answering.fault == "refused":
        return "refusal"
    return "end_turn" if answering.form.tool is None else "tool_use"


def message_of(answering: Answering, text: str | None) -> dict[str, Any]:
    """A message, whole or (without text) as it begins."""
    content: list[dict[str, Any]] = [] if text is None else [{"type": "text", "text": text}]
    if text is not None and (name := answering.form.tool) is not None:
        used = {"id": f"toolu_{next(_IDS)}", "name": name, "input": json.loads(text)}
        content = [{"type": "tool_use", **used}]
    return {
        "id": "msg_rehearsal",
        "type": "message",
        "role": "assistant",
        "model": answering.model.name,
        "content": content,
        "stop_reason": None if text is None else _stop(answering),
        "stop_sequence": None,
        "usage": {"input_tokens": answering.input_tokens, "output_tokens": answering.produced or 1},
    }


def _event(kind: str, data: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()


def error_of(kind: str, message: str, headers: dict[str, str]) -> Response:
    """An error in Anthropic's form."""
    status, error_type, code = ERRORS[kind]
    error: dict[str, Any] = {"type": error_type, "message": message}
    if code:
        error["details"] = {"error_code": code}
    body = {"type": "error", "error": error, "request_id": "req_rehearsal"}
    return JSONResponse(body, status, {**headers, "request-id": "req_rehearsal"})

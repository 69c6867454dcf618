"""OpenAI's chat completions on the wire, which most other servers speak, too."""

import json
from collections.abc import AsyncIterator
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lmx.api.rehearsal.media import Weights, weighed
from lmx.api.rehearsal.provider import Answering, Asked, FaithfulProvider, Rejected
from lmx.api.rehearsal.streaming import bearer, pieces, stream, whole
from lmx.api.rehearsal.tools import Form, form_of

_ERRORS: Final = {
    "unauthorized": (401, "invalid_api_key"),
    "unknown_model": (404, "model_not_found"),
    "too_long": (400, "context_length_exceeded"),
    "invalid": (400, "invalid_request_error"),
    "rate_limited": (429, "rate_limit_exceeded"),
    "spend_cap": (429, "insufficient_quota"),
    "billing": (402, "billing_not_active"),
    "overloaded": (503, "overloaded"),
    "server_error": (500, "server_error"),
}

_WEIGHTS: Final = Weights(image=1_100, page=2_000, unseen=1_100)


def routes(provider: FaithfulProvider) -> list[Route]:
    """The paths of the API."""
    return [Route("/v1/chat/completions", _Wire(provider).chat, methods=["POST"])]


class _Wire:
    def __init__(self, provider: FaithfulProvider) -> None:
        self._provider = provider

    async def chat(self, request: Request) -> Response:
        try:
            body = json.loads(await request.body())
            asked = _asked(body, bearer(request))
        except (ValueError, KeyError, TypeError) as error:
            return _error("invalid", f"the request cannot be read: {error!r}", {})
        try:
            answering = self._provider.admit(asked)
        except Rejected as rejected:
            wait = rejected.refusal.retry_after if rejected.refusal else 5.0
            limited = rejected.kind == "rate_limited"
            headers = {"retry-after": str(max(1, round(wait)))} if limited else {}
            return _error(rejected.kind, rejected.message, headers)
        if answering.fault == "malformed":
            return Response(b"data: {]\n\n", 200, {}, "text/event-stream")
        if body.get("stream"):
            return stream(self._events(answering), {"x-request-id": "req_rehearsal"})
        text = await whole(self._provider, answering)
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if (name := answering.form.tool) is not None:
            wished: dict[str, Any] = {"id": f"call_{answering.input_tokens}", "type": "function"}
            wished["function"] = {"name": name, "arguments": text}
            message = {"role": "assistant", "content": None, "tool_calls": [wished]}
        choice = {"index": 0, "message": message, "finish_reason": _finish(answering)}
        return JSONResponse({**_head(answering), "choices": [choice], "usage": _usage(answering)})

    async def _events(self, answering: Answering) -> AsyncIterator[bytes]:
        named = False
        async for piece in pieces(self._provider, answering):
            delta: dict[str, Any] = {"role": "assistant", "content": piece}
            if (name := answering.form.tool) is not None:
                function = {"name": "" if named else name, "arguments": piece}
                wished = {"index": 0, "id": f"call_{answering.input_tokens}", "type": "function"}
                delta = {"role": "assistant", "tool_calls": [{**wished, "function": function}]}
                named = True
            yield _event(answering, [{"index": 0, "delta": delta, "finish_reason": None}])
        if answering.fault == "midstream":
            yield b'data: {"error": {"message": "overloaded (on demand)", "code": 503}}\n\n'
            return
        end = {"index": 0, "delta": {}, "finish_reason": _finish(answering)}
        yield _event(answering, [end])
        yield _event(answering, [], usage=_usage(answering))
        yield b"data: [DONE]\n\n"


def _asked(body: dict[str, Any], key: str) -> Asked:
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or 1024
    said, extra = weighed(body["messages"], _WEIGHTS)
    text = json.dumps([said, body.get("tools")])
    return Asked(str(body["model"]), text, int(limit), key, extra, _form_of(body))


def _form_of(body: dict[str, Any]) -> Form:
    choice = body.get("tool_choice")
    named = choice["function"]["name"] if isinstance(choice, dict) else None
    tools = [tool["function"] for tool in body.get("tools") or ()]
    form = (body.get("response_format") or {}).get("json_schema") or {}
    return form_of(
        [(tool["name"], tool.get("parameters")) for tool in tools],
        must=choice == "required" or named is not None,
        name=named,
        turn=sum(bool(message.get("tool_calls")) for message in body["messages"]),
        schema=form.get("schema"),
    )


def _head(answering: Answering) -> dict[str, Any]:
    return {
        "id": "chatcmpl-rehearsal",
        "object": "chat.completion",
        "created": 0,
        "model": answering.model.name,
    }


def _finish(answering: Answering) -> str:
    if answering.fault == "refused":
        return "content_filter"
    return "stop" if answering.form.tool is None else "tool_calls"


def _usage(answering: Answering) -> dict[str, int]:
    return {
        "prompt_tokens": answering.input_tokens,
        "completion_tokens": answering.produced,
        "total_tokens": answering.input_tokens + answering.produced,
    }


def _event(answering: Answering, choices: list[dict[str, Any]], **more: Any) -> bytes:
    chunk = {**_head(answering), "object": "chat.completion.chunk", "choices": choices, **more}
    return f"data: {json.dumps(chunk)}\n\n".encode()


def _error(kind: str, message: str, headers: dict[str, str]) -> Response:
    status, code = _ERRORS[kind]
    return JSONResponse(
        {"error": {"message": message, "type": code, "code": code}}, status, headers
    )

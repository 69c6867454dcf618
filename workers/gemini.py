"""Gemini: one account's calls over the official SDK, without its hidden extra requests.

Facts on the wire: docs/providers.md. Gemini sends no headers that tell of limits; a refusal names
the quota that was met, and maybe when to come back.
"""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Final
from uuid import uuid4

import httpx2
from google import genai
from google.genai import errors, types

from lmx.workers.cloud.answer import Answer, FinishReason, Question, ToolCall
from lmx.workers.cloud.errors import Failure, ProviderError, by_provider
from lmx.workers.cloud.provider import Piece, Progress
from lmx.workers.cloud.transport import at_its_moment, broken
from lmx.workers.cloud.words import said
from lmx.workers.cloud.words_gemini import config, contents
from lmx.workflows.providers.catalog import Account
from lmx.workflows.providers.keys import Key
from lmx.workflows.providers.pricing import Tokens

_FINISH: Final[Mapping[str, FinishReason]] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "refusal",
    "RECITATION": "refusal",
    "BLOCKLIST": "refusal",
    "PROHIBITED_CONTENT": "refusal",
    "SPII": "refusal",
}
FAILURES: Final[Mapping[str, Failure]] = {
    "RESOURCE_EXHAUSTED": Failure.RATE_LIMITED,
    "UNAVAILABLE": Failure.OVERLOADED,
    "INTERNAL": Failure.SERVER,
    "DEADLINE_EXCEEDED": Failure.SERVER,
    "UNAUTHENTICATED": Failure.CREDENTIALS,
    "PERMISSION_DENIED": Failure.CREDENTIALS,
    "NOT_FOUND": Failure.UNKNOWN_MODEL,
    "INVALID_ARGUMENT": Failure.INVALID,
    "FAILED_PRECONDITION": Failure.BILLING,
}
#: What a quota's id contains, and our name of that limit; the first that fits.
_QUOTAS: Final = (
    ("SpendPer", "dollars/10min"),
    ("RequestsPerDay", "requests/day"),
    ("InputTokensPer", "input tokens/min"),
    ("RequestsPerMinute", "requests/min"),
)
_DELAY: Final = re.compile(r"^([0-9.]+)s$")


#: Who is told when the head of an answer comes: the SDK tells only of its chunks.
_hears: ContextVar[Progress | None] = ContextVar("hears", default=None)


async def _head_came(_: httpx2.Response) -> None:
    if (hears := _hears.get()) is not None:
        hears(None)


def connect(account: Account, key: Key) -> "Gemini":
    """The connection of one account."""
    return Gemini(account, key)


class Gemini:
    """Asks Gemini's generateContent API; many calls share the connections."""

    def __init__(self, account: Account, key: Key) -> None:
        # A client of our own: where aiohttp is installed, the SDK would take that, which knows no
        # hooks, and repeat a request by itself whose connection broke.
        self._http = httpx2.AsyncClient(
            event_hooks={"request": [at_its_moment], "response": [_head_came]},
            follow_redirects=True,
        )
        self._client = genai.Client(
            api_key=key.reveal(),
            http_options=types.HttpOptions(
                base_url=account.base_url,
                timeout=int(account.silence_s * 1000),
                httpx_async_client=self._http,
            ),
        )

    async def ask(self, question: Question, progress: Progress) -> Answer:
        """Send one request, once. Raises ProviderError."""
        chunks: list[types.GenerateContentResponse] = []
        _hears.set(progress)
        turns, settings = said(contents, question), said(config, question)
        try:
            stream = await self._client.aio.models.generate_content_stream(
                model=question.model,
                contents=turns,
                config=types.GenerateContentConfig(**settings),
            )
            async for chunk in stream:
                chunks.append(chunk)
                progress(_piece(chunk))
        except errors.APIError as error:
            raise refusal(error) from None
        except httpx2.TransportError as error:
            raise broken(error) from None
        except (ValueError, TypeError) as error:  # what the SDK cannot read or write
            raise by_provider(Failure.MALFORMED, str(error)) from None
        return answer_of(question.model, chunks)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aio.aclose()
        await self._http.aclose()


def _piece(chunk: types.GenerateContentResponse) -> Piece:
    calls = [part.function_call for part in _parts(chunk) if part.function_call]
    return Piece(
        "".join(part.text for part in _parts(chunk) if part.text and not part.thought),
        "".join(part.text for part in _parts(chunk) if part.text and part.thought),
        "".join(f"\n{call.name} {json.dumps(call.args or {})}" for call in calls),
    )


def _parts(chunk: types.GenerateContentResponse) -> Sequence[types.Part]:
    """The parts of the only answer that was asked for."""
    content = chunk.candidates[0].content if chunk.candidates else None
    return (content.parts or ()) if content else ()


def refusal(error: errors.APIError) -> ProviderError:
    """What an error of the SDK's means."""
    message = f"{error.code} {error.status}: {error.message}"
    failure = FAILURES.get(error.status or "", Failure.SERVER)
    details = list(_details(error.details))
    if any(detail.get("reason") == "API_KEY_INVALID" for detail in details):
        return by_provider(Failure.CREDENTIALS, message)
    if failure is Failure.INVALID and "token" in message and "exceed" in message:
        failure = Failure.TOO_LONG
    if failure is not Failure.RATE_LIMITED:
        return by_provider(failure, message)
    limit, granted = _quota(details)
    return by_provider(
        failure, message, limit=limit, granted=granted, retry_after=_retry_after(details, limit)
    )


def _details(body: Any) -> list[Mapping[str, Any]]:
    error = body.get("error", body) if isinstance(body, dict) else {}
    found = error.get("details") if isinstance(error, dict) else None
    return [one for one in found or () if isinstance(one, dict)]


def _quota(details: list[Mapping[str, Any]]) -> tuple[str | None, int | None]:
    """The limit that was met, by our name, and what the provider says it is."""
    violations = (one for detail in details for one in detail.get("violations") or ())
    for violation in violations:
        quota, value = str(violation.get("quotaId", "")), str(violation.get("quotaValue", ""))
        for part, name in _QUOTAS:
            if part in quota:
                known = value.isdecimal() and name != "dollars/10min"
                return name, int(value) if known else None
    return None, None


def _retry_after(details: list[Mapping[str, Any]], limit: str | None) -> float | None:
    """Seconds; a day's quota comes back at midnight, whatever the delay says."""
    if limit == "requests/day":
        return None
    for detail in details:
        if found := _DELAY.match(str(detail.get("retryDelay", ""))):
            return float(found[1])
    return None


def answer_of(model: str, chunks: Sequence[types.GenerateContentResponse]) -> Answer:
    """An answer from its pieces, one after another. Raises ProviderError if it has no end."""
    candidates = [chunk.candidates[0] for chunk in chunks if chunk.candidates]
    reasons = [one.finish_reason for one in candidates if one.finish_reason]
    blocked = next((c.prompt_feedback for c in chunks if c.prompt_feedback), None)
    if not reasons and not (blocked and blocked.block_reason):
        raise ProviderError(Failure.LOST, "the answer broke off before its end")
    parts = [part for chunk in chunks for part in _parts(chunk)]
    calls = [part for part in parts if part.function_call]
    name = next((c.response_id for c in chunks if c.response_id), None)
    reason = str(reasons[-1].value) if reasons else "SAFETY"
    usage = next((c.usage_metadata for c in reversed(chunks) if c.usage_metadata), None)
    thoughts = (usage.thoughts_token_count or 0) if usage else 0
    return Answer(
        text="".join(part.text for part in parts if part.text and not part.thought),
        reasoning="".join(part.text for part in parts if part.text and part.thought),
        tool_calls=[
            _tool_call(part, f"call_{name or uuid4().hex}_{place}")
            for place, part in enumerate(calls)
        ],
        finish_reason="tool_calls" if calls else _FINISH.get(reason, "stop"),
        stop_reason=reason,
        tokens=_tokens(usage, thoughts),
        reasoning_tokens=thoughts,
        model=next((c.model_version for c in chunks if c.model_version), model),
        request_id=name,
    )


def _tool_call(part: types.Part, id_: str) -> ToolCall:
    """A wished call; Gemini does not always give it an id, and may have signed it."""
    call, signature = part.function_call, part.thought_signature
    assert call is not None
    return ToolCall(
        call.id or id_,
        call.name or "",
        json.dumps(call.args or {}),
        base64.b64encode(signature).decode() if signature else None,
    )


def _tokens(usage: types.GenerateContentResponseUsageMetadata | None, thoughts: int) -> Tokens:
    """Cached tokens are a part of the prompt; thoughts are billed as output."""
    if usage is None:
        raise ProviderError(Failure.MALFORMED, "the answer says nothing of its usage")
    cached = usage.cached_content_token_count or 0
    return Tokens(
        input=(usage.prompt_token_count or 0) - cached,
        output=(usage.candidates_token_count or 0) + thoughts,
        cache_read=cached,
    )

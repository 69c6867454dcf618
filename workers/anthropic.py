"""Anthropic: one account's calls over the official SDK, with its retries switched off.

Facts on the wire: docs/providers.md. Every call is streamed, so that progress shows, a cancelled
call ends at once, and the SDK does not refuse long answers.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import anthropic
import httpx2
from anthropic import AsyncAnthropic, DefaultAsyncHttpxClient
from anthropic.lib.streaming import AsyncMessageStream
from anthropic.types import ContentBlock, Message, RawContentBlockDelta, Usage

from lmx.workers.cloud.answer import Answer, FinishReason, Question, ToolCall
from lmx.workers.cloud.errors import Failure, ProviderError, by_provider
from lmx.workers.cloud.headers import told_by_anthropic
from lmx.workers.cloud.provider import Piece, Progress
from lmx.workers.cloud.transport import CONNECT_S, at_its_moment, broken, retry_after
from lmx.workers.cloud.words import said
from lmx.workers.cloud.words_anthropic import for_anthropic
from lmx.workflows.providers.catalog import Account
from lmx.workflows.providers.granted import Granted
from lmx.workflows.providers.keys import Key
from lmx.workflows.providers.pricing import Tokens

_FINISH: Final[Mapping[str, FinishReason]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
}
#: `error.type` decides, because an error in the middle of a stream has the status 200.
FAILURES: Final[Mapping[str, Failure]] = {
    "rate_limit_error": Failure.RATE_LIMITED,
    "overloaded_error": Failure.OVERLOADED,
    "api_error": Failure.SERVER,
    "timeout_error": Failure.SERVER,
    "billing_error": Failure.BILLING,
    "authentication_error": Failure.CREDENTIALS,
    "permission_error": Failure.CREDENTIALS,
    "not_found_error": Failure.UNKNOWN_MODEL,
    "request_too_large": Failure.TOO_LONG,
    "invalid_request_error": Failure.INVALID,
}
_STATUSES: Final[Mapping[int, Failure]] = {
    400: Failure.INVALID,
    401: Failure.CREDENTIALS,
    402: Failure.BILLING,
    403: Failure.CREDENTIALS,
    404: Failure.UNKNOWN_MODEL,
    413: Failure.TOO_LONG,
    429: Failure.RATE_LIMITED,
    504: Failure.SERVER,
    529: Failure.OVERLOADED,
}


#: What Anthropic calls its limits, and our names of them.
_GRANTED: Final[Mapping[str, str]] = {
    "requests_per_minute": "requests/min",
    "input_tokens_per_minute": "input tokens/min",
    "input_tokens_per_minute_cache_aware": "input tokens/min",
    "output_tokens_per_minute": "output tokens/min",
}
#: A worker's start does not wait for longer than this for an answer.
_TELLING_S: Final = 5.0


def connect(account: Account, key: Key) -> "Anthropic":
    """The connection of one account."""
    return Anthropic(account, key)


def granted(account: Account, key: Key) -> list[Granted]:
    """What the account's organization may use, asked with an admin key. Raises ProviderError."""
    client = anthropic.Anthropic(
        api_key=key.reveal(), base_url=account.base_url, max_retries=0, timeout=_TELLING_S
    )
    try:
        with client:
            told = list(client.organization.rate_limits.list(group_type="model_group"))
    except anthropic.APIError as error:
        raise explained(error) from None
    except (httpx2.TransportError, ValueError, TypeError) as error:
        raise broken(error) from None
    return [
        Granted(
            tuple(entry.models or ()),
            {_GRANTED[one.type]: one.value for one in entry.limits if one.type in _GRANTED},
        )
        for entry in told
    ]


class Anthropic:
    """Asks Anthropic's Messages API; many calls share the connections."""

    def __init__(self, account: Account, key: Key) -> None:
        self._client = AsyncAnthropic(
            api_key=key.reveal(),
            base_url=account.base_url,
            max_retries=0,
            timeout=anthropic.Timeout(account.silence_s, connect=CONNECT_S),
            http_client=DefaultAsyncHttpxClient(event_hooks={"request": [at_its_moment]}),
        )

    async def ask(self, question: Question, progress: Progress) -> Answer:
        """Send one request, once. Raises ProviderError."""
        request = said(for_anthropic, question)
        try:
            async with self._client.messages.stream(**request) as stream:
                progress(None)
                async for event in stream:
                    if event.type == "content_block_delta":
                        progress(_piece(event.delta))
                    elif event.type == "content_block_start":
                        progress(_first_piece(event.content_block))
                return _answer(stream)
        except anthropic.APIError as error:
            raise explained(error) from None
        except httpx2.TransportError as error:
            raise broken(error) from None
        except (ValueError, RuntimeError, AssertionError) as error:  # what the SDK cannot read
            raise by_provider(Failure.MALFORMED, str(error)) from None

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()


def explained(error: anthropic.APIError) -> ProviderError:
    """What an error of the SDK's means."""
    if isinstance(error, anthropic.APIConnectionError):
        return broken(error)
    if isinstance(error, anthropic.APIStatusError):
        return _refusal(error)
    return by_provider(Failure.MALFORMED, str(error))


def _refusal(error: anthropic.APIStatusError) -> ProviderError:
    kind, message = error.type or "", _told(error)
    failure = FAILURES.get(kind) or _STATUSES.get(error.status_code)
    if failure is None:
        failure = Failure.SERVER if error.status_code >= 500 else Failure.INVALID
    if failure is Failure.RATE_LIMITED and error.error_code == "enforced_spend_limit_reached":
        return by_provider(Failure.SPEND_CAP, message, month=True)
    if failure is Failure.INVALID and "prompt is too long" in message:
        failure = Failure.TOO_LONG
    headers = error.response.headers
    return by_provider(
        failure,
        message,
        retry_after=retry_after(headers),
        told=told_by_anthropic(headers),
    )


def _told(error: anthropic.APIStatusError) -> str:
    """Status, type and message, without the JSON around them."""
    body = error.body if isinstance(error.body, dict) else {}
    inner = body.get("error")
    message = inner.get("message") if isinstance(inner, dict) else None
    return f"{error.status_code} {error.type or ''}: {message}" if message else str(error)


def _first_piece(block: ContentBlock) -> Piece:
    return Piece(tool_calls=f"\n{block.name} ") if block.type == "tool_use" else Piece()


def _piece(delta: RawContentBlockDelta) -> Piece:
    if delta.type == "text_delta":
        return Piece(text=delta.text)
    if delta.type == "thinking_delta":
        return Piece(reasoning=delta.thinking)
    return Piece(tool_calls=delta.partial_json) if delta.type == "input_json_delta" else Piece()


def _answer(stream: AsyncMessageStream[None]) -> Answer:
    message = stream.current_message_snapshot
    told = told_by_anthropic(stream.response.headers)
    return replace(answer_of(message), request_id=stream.request_id, told=told)


def answer_of(message: Message) -> Answer:
    """A whole message. Raises ProviderError if it has no end."""
    if message.stop_reason is None:
        raise ProviderError(Failure.LOST, "the answer broke off before its end")
    return Answer(
        text="".join(block.text for block in message.content if block.type == "text"),
        reasoning="".join(block.thinking for block in message.content if block.type == "thinking"),
        tool_calls=[
            ToolCall(block.id, block.name, json.dumps(block.input))
            for block in message.content
            if block.type == "tool_use"
        ],
        thinking_blocks=[
            {name: value for name, value in block.model_dump().items() if isinstance(value, str)}
            for block in message.content
            if block.type in ("thinking", "redacted_thinking")
        ],
        finish_reason=_FINISH.get(message.stop_reason, "stop"),
        stop_reason=message.stop_reason,
        tokens=_tokens(message.usage),
        reasoning_tokens=_reasoning_tokens(message.usage),
        model=message.model,
    )


def _tokens(usage: Usage) -> Tokens:
    """Tokens that begin a cache entry for an hour cost more than those for five minutes."""
    written = usage.cache_creation_input_tokens or 0
    hour = usage.cache_creation.ephemeral_1h_input_tokens if usage.cache_creation else 0
    return Tokens(
        input=usage.input_tokens,
        output=usage.output_tokens,
        cache_read=usage.cache_read_input_tokens or 0,
        cache_write=max(0, written - hour),
        cache_write_1h=hour,
    )


def _reasoning_tokens(usage: Usage) -> int:
    details = usage.output_tokens_details
    return (getattr(details, "thinking_tokens", None) or 0) if details else 0

"""Any server that speaks OpenAI's chat completions: vLLM, Ollama, llama-server, OpenRouter, OpenAI.

Over the official SDK with its retries switched off; every call is streamed.
"""

from collections.abc import Mapping
from typing import Final

import httpx2
import openai
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall

from lmx.workers.cloud.answer import Answer, FinishReason, Question, ToolCall
from lmx.workers.cloud.errors import Failure, ProviderError, by_provider
from lmx.workers.cloud.provider import Piece, Progress
from lmx.workers.cloud.transport import CONNECT_S, at_its_moment, broken, retry_after
from lmx.workers.cloud.words import said
from lmx.workers.cloud.words_openai import for_openai
from lmx.workflows.providers.catalog import Account
from lmx.workflows.providers.keys import Key
from lmx.workflows.providers.pricing import Tokens

_FINISH: Final[Mapping[str, FinishReason]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "refusal",
}
_CODES: Final[Mapping[str, Failure]] = {
    "context_length_exceeded": Failure.TOO_LONG,
    "insufficient_quota": Failure.SPEND_CAP,
    "billing_not_active": Failure.BILLING,
    "model_not_found": Failure.UNKNOWN_MODEL,
    "invalid_api_key": Failure.CREDENTIALS,
}
_STATUSES: Final[Mapping[int, Failure]] = {
    401: Failure.CREDENTIALS,
    402: Failure.BILLING,
    403: Failure.CREDENTIALS,
    404: Failure.UNKNOWN_MODEL,
    413: Failure.TOO_LONG,
    429: Failure.RATE_LIMITED,
    503: Failure.OVERLOADED,
    529: Failure.OVERLOADED,
}


def connect(account: Account, key: Key) -> "OpenAICompatible":
    """The connection of one account."""
    return OpenAICompatible(account, key)


class OpenAICompatible:
    """Asks a server's chat completions; many calls share the connections."""

    def __init__(self, account: Account, key: Key) -> None:
        self._client = AsyncOpenAI(
            api_key=key.reveal() or "none",
            base_url=account.base_url,
            max_retries=0,
            timeout=openai.Timeout(account.silence_s, connect=CONNECT_S),
            http_client=DefaultAsyncHttpxClient(event_hooks={"request": [at_its_moment]}),
        )

    async def ask(self, question: Question, progress: Progress) -> Answer:
        """Send one request, once. Raises ProviderError."""
        gathered, request = _Gathered(question.model), said(for_openai, question)
        try:
            stream = await self._client.chat.completions.create(**request)
            progress(None)
            async with stream:
                async for chunk in stream:
                    progress(gathered.add(chunk))
        except openai.APIError as error:
            raise _explained(error) from None
        except httpx2.TransportError as error:
            raise broken(error) from None
        except (ValueError, TypeError, AttributeError) as error:  # what the SDK cannot read
            raise by_provider(Failure.MALFORMED, str(error)) from None
        return gathered.answer()

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()


def _explained(error: openai.APIError) -> ProviderError:
    message = str(error)
    if isinstance(error, openai.APIConnectionError):
        return broken(error)
    status = getattr(error, "status_code", None)
    code = str(error.code or "")
    failure = _CODES.get(code) or _STATUSES.get(status or 0)
    if failure is None and (status is None or status >= 500):
        failure = Failure.OVERLOADED if "overloaded" in message else Failure.SERVER
    headers = error.response.headers if isinstance(error, openai.APIStatusError) else {}
    return by_provider(failure or Failure.INVALID, message, retry_after=retry_after(headers))


class _Gathered:
    """An answer as its chunks have told it so far."""

    def __init__(self, model: str) -> None:
        self._model, self._id, self._reason = model, "", ""
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, dict[str, str]] = {}
        self._usage: CompletionUsage | None = None

    def add(self, chunk: ChatCompletionChunk) -> Piece:
        """Take in a chunk; returns what it adds."""
        text = reasoning = calls = ""
        self._model, self._id = chunk.model or self._model, chunk.id or self._id
        self._usage = chunk.usage or self._usage
        for choice in chunk.choices[:1]:
            self._reason = choice.finish_reason or self._reason
            text = choice.delta.content or ""
            extra = choice.delta.model_extra or {}
            reasoning = extra.get("reasoning_content") or extra.get("reasoning") or ""
            calls = "".join(map(self._add_call, choice.delta.tool_calls or ()))
        self._text.append(text)
        self._reasoning.append(reasoning)
        return Piece(text, reasoning, calls)

    def _add_call(self, call: ChoiceDeltaToolCall) -> str:
        known = self._calls.setdefault(call.index, {"id": "", "name": "", "arguments": ""})
        known["id"] = call.id or known["id"]
        if call.function is None:
            return ""
        name, arguments = call.function.name or "", call.function.arguments or ""
        known["name"] += name
        known["arguments"] += arguments
        return f"\n{name} {arguments}" if name else arguments

    def answer(self) -> Answer:
        """The whole. Raises ProviderError if its end is missing."""
        if not self._reason:
            raise ProviderError(Failure.LOST, "the answer broke off before its end")
        return Answer(
            text="".join(self._text),
            reasoning="".join(self._reasoning),
            tool_calls=[
                ToolCall(call["id"] or f"call_{self._id}_{place}", call["name"], call["arguments"])
                for place, call in sorted(self._calls.items())
            ],
            finish_reason=_FINISH.get(self._reason, "stop"),
            stop_reason=self._reason,
            tokens=self._tokens(),
            reasoning_tokens=self._reasoning_tokens(),
            model=self._model,
            request_id=self._id or None,
        )

    def _tokens(self) -> Tokens:
        """A server that tells no usage has nothing to be paid."""
        if self._usage is None:
            return Tokens()
        details = self._usage.prompt_tokens_details
        cached = (details.cached_tokens or 0) if details else 0
        return Tokens(
            input=self._usage.prompt_tokens - cached,
            output=self._usage.completion_tokens,
            cache_read=cached,
        )

    def _reasoning_tokens(self) -> int:
        details = self._usage.completion_tokens_details if self._usage else None
        return (details.reasoning_tokens or 0) if details else 0

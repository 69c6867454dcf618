"""A generation in flight: its text as it comes, its result, and the way to stop it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, cast

from lmx.engine import _core
from lmx.engine._log import forward_logs
from lmx.engine.answers import Answer, Delta, Reading, ToolCall

FinishReason = Literal["stop", "length", "tool_calls"]
Phase = Literal["queued", "loading", "prefill", "decode", "suspended", "done"]


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """The natural logarithm of a token's probability, before any sampling option.

    ``bytes`` may be a part of a character. ``top`` are the likeliest tokens there, best first.
    """

    token: int
    bytes: bytes
    logprob: float
    top: tuple[TokenLogprob, ...] = ()

    @property
    def text(self) -> str:
        return self.bytes.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Result:
    """A finished generation. Times are seconds: waiting for memory, loading, prompt, tokens.

    ``cached_tokens`` of the prompt had been computed before and were not computed again.
    ``text`` is without what the model wrote as reasoning or as tool calls, where its template marks
    them; ``completion_tokens`` are those of all. The calls are complete, and of the tools given.
    ``logprobs`` has an entry for each completion token, the end of turn included, when they were
    asked for.
    """

    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    wait_s: float
    load_s: float
    prefill_s: float
    decode_s: float
    seed: int
    logprobs: tuple[TokenLogprob, ...] | None = None
    reasoning: str = ""
    reasoning_tokens: int = 0
    tool_calls: tuple[ToolCall, ...] = ()


class Request:
    """Iterate over it for the text as it is produced, each piece once; or ask for the result.

    Waiting releases the interpreter lock. A failed request raises what ended it: Cancelled,
    DeadlineExceeded, ModelFileError or EngineError; an iteration does so after the last text.
    """

    def __init__(
        self,
        core: _core.Request,
        *,
        with_logprobs: bool = False,
        reading: Reading | None = None,
    ) -> None:
        self._core = core
        self._with_logprobs = with_logprobs
        self._reading = reading
        self._reader = None if reading is None else reading.follow()
        self._read = False

    @property
    def id(self) -> int:
        return self._core.id

    @property
    def done(self) -> bool:
        return self._core.done

    @property
    def phase(self) -> Phase:
        return cast(Phase, self._core.phase)

    def __iter__(self) -> Iterator[str]:
        for delta in self.deltas():
            if delta.text:
                yield delta.text

    def deltas(self) -> Iterator[Delta]:
        """The text and the reasoning as they come, and the tool calls at the end."""
        while (delta := self.poll_delta(None)) is None or delta:
            if delta is not None:
                yield delta
        forward_logs()

    def poll(self, timeout: float = 0.0) -> str | None:
        """The text since the last call, ``""`` when it is complete, None when none came yet.

        Reasoning and tool calls are passed over; ``poll_delta`` has them as well.
        """
        delta = self.poll_delta(timeout)
        if delta is None:
            return None
        return delta.text if delta.text or self._read or not delta else None

    def poll_delta(self, timeout: float | None = 0.0) -> Delta | None:
        """What has come since the last call; one that is empty at the end, None when none came."""
        if self._reader is None:
            piece = self._core.next(timeout)
            return None if piece is None else Delta(piece)
        if self._read:
            return Delta()
        piece = self._core.next(timeout)
        if piece is None:
            return None
        if piece:
            return self._reader.feed(piece) or None
        self._read = True
        return self._reader.finish()

    def result(self, timeout: float | None = None) -> Result:
        """Waits for the end. Raises TimeoutError after ``timeout`` seconds; the request goes on."""
        result = self._core.result(timeout)
        forward_logs()
        if result is None:
            raise TimeoutError(f"request {self.id} is not complete after {timeout} s")
        answer = Answer(result.text) if self._reading is None else self._reading.whole(result.text)
        ended = result.finish_reason
        return Result(
            text=answer.text,
            finish_reason=cast(
                FinishReason, "tool_calls" if answer.tool_calls and ended == "stop" else ended
            ),
            prompt_tokens=result.prompt_tokens,
            cached_tokens=result.cached_tokens,
            completion_tokens=result.completion_tokens,
            wait_s=result.wait_s,
            load_s=result.load_s,
            prefill_s=result.prefill_s,
            decode_s=result.decode_s,
            seed=result.seed,
            logprobs=tuple(map(_to_logprob, result.logprobs)) if self._with_logprobs else None,
            reasoning=answer.reasoning,
            reasoning_tokens=self._tokens_of(answer.reasoning, result.completion_tokens),
            tool_calls=answer.tool_calls,
        )

    def _tokens_of(self, reasoning: str, most: int) -> int:
        """Counted again in the text, since a token may belong to two parts."""
        if not reasoning or self._reading is None:
            return 0
        return min(self._reading.count(reasoning), most)

    def cancel(self) -> None:
        """Ends the request within one decode. Does nothing when it is complete."""
        self._core.cancel()


def _to_logprob(core: _core.TokenLogprob) -> TokenLogprob:
    return TokenLogprob(core.token, core.bytes, core.logprob, tuple(map(_to_logprob, core.top)))

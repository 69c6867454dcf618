"""A generation in flight: its text as it comes, its result, and the way to stop it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, cast

from lmx.engine import _core
from lmx.engine._log import forward_logs

FinishReason = Literal["stop", "length"]
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


class Request:
    """Iterate over it for the text as it is produced, each piece once; or ask for the result.

    Waiting releases the interpreter lock. A failed request raises what ended it: Cancelled,
    DeadlineExceeded, ModelFileError or EngineError; an iteration does so after the last text.
    """

    def __init__(self, core: _core.Request, *, with_logprobs: bool = False) -> None:
        self._core = core
        self._with_logprobs = with_logprobs

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
        while piece := self._core.next(None):
            yield piece
        forward_logs()

    def poll(self, timeout: float = 0.0) -> str | None:
        """The text since the last call, ``""`` when it is complete, None when none came yet."""
        return self._core.next(timeout)

    def result(self, timeout: float | None = None) -> Result:
        """Waits for the end. Raises TimeoutError after ``timeout`` seconds; the request goes on."""
        result = self._core.result(timeout)
        forward_logs()
        if result is None:
            raise TimeoutError(f"request {self.id} is not complete after {timeout} s")
        return Result(
            text=result.text,
            finish_reason=cast(FinishReason, result.finish_reason),
            prompt_tokens=result.prompt_tokens,
            cached_tokens=result.cached_tokens,
            completion_tokens=result.completion_tokens,
            wait_s=result.wait_s,
            load_s=result.load_s,
            prefill_s=result.prefill_s,
            decode_s=result.decode_s,
            seed=result.seed,
            logprobs=tuple(map(_to_logprob, result.logprobs)) if self._with_logprobs else None,
        )

    def cancel(self) -> None:
        """Ends the request within one decode. Does nothing when it is complete."""
        self._core.cancel()


def _to_logprob(core: _core.TokenLogprob) -> TokenLogprob:
    return TokenLogprob(core.token, core.bytes, core.logprob, tuple(map(_to_logprob, core.top)))

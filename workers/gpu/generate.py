"""The body of a model call: hand it to the engine, show its progress, return its answer."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from lmx.engine import Engine, Request, Result, Sampling, TokenLogprob, ToolCall
from lmx.workers.gpu.calling import EngineCall
from lmx.workers.gpu.models import LocalModels
from lmx.workers.running import Execution
from lmx.workflows.errors import InvalidInput
from lmx.workflows.lease import Lease
from lmx.workflows.models import Model
from lmx.workflows.money import price
from lmx.workflows.partial import Partial

_SAMPLING = (
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
    "repeat_penalty",
    "penalty_last_n",
    "presence_penalty",
    "frequency_penalty",
    "top_n_sigma",
    "xtc_probability",
    "xtc_threshold",
    "dry_multiplier",
    "dry_base",
    "dry_allowed_length",
    "dry_penalty_last_n",
    "dry_breakers",
    "seed",
)
_POLL_S = 0.5
_NEVER = -9999.0  # the logarithm of a probability of nothing


class Generate(EngineCall[Request]):
    """Runs model calls on one engine.

    `used_session` is told of the session of a call that ended well.
    """

    def __init__(
        self,
        engine: Engine,
        models: LocalModels,
        started: Callable[[int], float],
        freed: Callable[[], None],
        used_session: Callable[[str | None], None],
    ) -> None:
        super().__init__(engine, models, started, freed)
        self._used_session = used_session

    def submit(self, lease: Lease, model: Model) -> Request:
        call: Mapping[str, Any] = lease.input
        bias = {int(token): float(value) for token, value in call.get("logit_bias", {}).items()}
        options = {name: call[name] for name in _SAMPLING if name in call}
        return self.engine.submit(
            model=model.path,
            prompt=call.get("prompt"),
            messages=call.get("messages"),
            max_tokens=call["max_tokens"],
            n_ctx=call.get("n_ctx", model.n_ctx),
            sampling=Sampling(**options, logit_bias=bias),
            stop=call.get("stop", ()),
            deadline_s=lease.seconds_left(),
            grammar=call.get("grammar"),
            json_schema=_from_text(call, "json_schema"),
            tools=_from_text(call, "tools"),
            tool_choice=call.get("tool_choice"),
            parallel_tool_calls=call.get("parallel_tool_calls"),
            thinking=call.get("thinking"),
            template_options=call.get("template_options"),
            logprobs=call.get("logprobs"),
            session=call.get("session"),
            kv_type=call.get("kv_type", model.kv_type),
            mode=call.get("mode", "throughput"),
        )

    def follow(
        self, execution: Execution, request: Request, model: Model, waited: float
    ) -> tuple[Any, dict[str, Any]]:
        tokens = 0
        partial = execution.task.lease.partial = Partial(execution.task.attempt)
        while (delta := request.poll_delta(_POLL_S)) is None or delta:
            if delta is not None:
                tokens += 1
                partial.add(delta.text, delta.reasoning)
            execution.task.report(phase=request.phase, tokens=tokens, model=model.name)
        result = request.result()
        output: dict[str, Any] = {
            "text": result.text,
            "finish_reason": result.finish_reason,
            "model": model.name,
        }
        if result.reasoning:
            output["reasoning"] = result.reasoning
        if result.tool_calls:
            output["tool_calls"] = [_tool_call(call) for call in result.tool_calls]
        if result.logprobs is not None:
            output["logprobs"] = [_logprob(token) for token in result.logprobs]
        self._used_session(execution.task.lease.input.get("session"))
        return output, _usage(result, model, waited)


def _from_text(call: Mapping[str, Any], name: str) -> Any:
    """What a call was given as JSON text, if anything. Raises InvalidInput."""
    if name not in call:
        return None
    try:
        return json.loads(call[name])
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{name} is not valid JSON: {error}") from None


def _tool_call(call: ToolCall) -> dict[str, Any]:
    """In OpenAI's form, so that it can be given back in a message as it is."""
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }


def _logprob(token: TokenLogprob) -> dict[str, Any]:
    """One token as JSON, which knows no infinity."""
    shown: dict[str, Any] = {
        "token": token.token,
        "text": token.text,
        "logprob": max(token.logprob, _NEVER),
    }
    if token.top:
        shown["top"] = [_logprob(rival) for rival in token.top]
    return shown


def _usage(result: Result, model: Model, waited: float) -> dict[str, Any]:
    """Tokens, nano-dollars and seconds of a call."""
    cost = price(result.prompt_tokens, model.price_in)
    cost += price(result.completion_tokens, model.price_out)
    return {
        "model": model.name,
        "prompt_tokens": result.prompt_tokens,
        "cached_tokens": result.cached_tokens,
        "completion_tokens": result.completion_tokens,
        "reasoning_tokens": result.reasoning_tokens,
        "cost": cost,
        "seed": result.seed,
        "memory_wait_s": round(waited + result.wait_s, 3),
        "load_s": round(result.load_s, 3),
        "prefill_s": round(result.prefill_s, 3),
        "decode_s": round(result.decode_s, 3),
    }

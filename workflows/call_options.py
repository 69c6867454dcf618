"""What a call of a model says, checked before any model is looked at: its text and its options."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from lmx.workflows.attachments.parts import File
from lmx.workflows.conversations import check_message, check_tools, text_bytes
from lmx.workflows.errors import InvalidInput
from lmx.workflows.sessions import session_name
from lmx.workflows.submission import in_full

_NUMBERS: Final[dict[str, tuple[float, float]]] = {
    "temperature": (0, 10),
    "top_p": (0, 1),
    "min_p": (0, 1),
    "typical_p": (0, 1),
    "top_k": (0, 1_000_000),
    "repeat_penalty": (0.01, 10),
    "penalty_last_n": (-1, 1_000_000),
    "presence_penalty": (-10, 10),
    "frequency_penalty": (-10, 10),
    "top_n_sigma": (0, 1000),
    "xtc_probability": (0, 1),
    "xtc_threshold": (0, 1),
    "dry_multiplier": (0, 100),
    "dry_base": (1, 100),
    "dry_allowed_length": (0, 1_000_000),
    "dry_penalty_last_n": (-1, 1_000_000),
    "logprobs": (0, 20),
    "seed": (0, 2**32 - 2),
    "n_ctx": (8, 2**24),
}
_WHOLE: Final = frozenset(
    (
        *("top_k", "penalty_last_n", "dry_allowed_length", "dry_penalty_last_n"),
        *("logprobs", "seed", "n_ctx"),
    )
)
#: What the keys and values of a local model's context are kept as.
KV_TYPES: Final = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
_CHOICES: Final[Mapping[str, Sequence[str]]] = {
    "kv_type": KV_TYPES,
    "mode": ("throughput", "deterministic"),
    "reasoning_effort": ("none", "minimal", "low", "medium", "high", "xhigh", "max"),
}
_OTHERS: Final = (
    *("stop", "logit_bias", "dry_breakers", "grammar", "json_schema", "session"),
    *("tools", "tool_choice", "parallel_tool_calls", "thinking", "template_options"),
    *_CHOICES,
)
#: Texts that a repetition is never carried across, and the bytes of each.
_MOST_BREAKERS: Final = 32
_LONGEST_BREAKER: Final = 40
#: Digits of a token's id.
_LONGEST_ID: Final = 10
#: Tokens of thinking; less is no budget for any provider.
_LEAST_THINKING: Final = 128
#: The options of a call beside its model, its text and max_tokens.
OPTIONS: Final = frozenset((*_NUMBERS, *_OTHERS))
#: Bytes of a grammar or a schema.
MAX_FORM: Final = 65_536


class CheckedCall(dict[str, Any]):
    """What a call says whatever model takes it, as its task's input has it.

    `files` are those whose bytes its messages bring, by their hashes.
    """

    files: Mapping[str, File]

    def __init__(self, call: Mapping[str, Any], files: Mapping[str, File]) -> None:
        super().__init__(call)
        self.files = files


def check_call(
    prompt: str | None,
    messages: Sequence[Mapping[str, Any]] | None,
    max_tokens: int | None,
    sampling: Mapping[str, Any],
    run: int | None = None,
) -> CheckedCall:
    """Check what can be checked without a model. Raises InvalidInput."""
    call = _check(prompt, messages, max_tokens, sampling)
    try:
        bytes_of(call)
    except UnicodeEncodeError:
        raise InvalidInput("the call has half of a surrogate pair, which is no character") from None
    if "session" in call:
        call["session"] = session_name(call["session"], run)
    return call


def check_options(options: Mapping[str, Any]) -> None:
    """Raise InvalidInput for an unknown option, and for a number or a word that is none of it."""
    for name, value in options.items():
        _check_option(name, value)


def check_kv_type(name: str) -> None:
    """Raise InvalidInput if the keys and values of a context cannot be kept as that."""
    _check_choice("kv_type", name)


def bytes_of(call: Mapping[str, Any]) -> int:
    """The size of the text, which bounds its tokens: no token is shorter than a byte."""
    forms = sum(len(call.get(name, "").encode()) for name in ("tools", "json_schema", "grammar"))
    if "prompt" in call:
        return forms + len(call["prompt"].encode())
    return forms + sum(text_bytes(message) for message in call["messages"])


def _check(
    prompt: str | None,
    messages: Sequence[Mapping[str, Any]] | None,
    max_tokens: int | None,
    sampling: Mapping[str, Any],
) -> CheckedCall:
    if (prompt is None) == (messages is None):
        raise InvalidInput("a model call takes either a prompt or messages")
    if prompt is not None and not isinstance(prompt, str):
        raise InvalidInput(f"the prompt must be a text, not {type(prompt).__name__}")
    if prompt is not None and not prompt.strip():
        raise InvalidInput("the prompt is empty")
    if messages is not None and not _is_conversation(messages):
        raise InvalidInput("messages must be a list of at least one message with role and content")
    if max_tokens is not None and (not isinstance(max_tokens, int) or max_tokens < 1):
        raise InvalidInput(
            f"max_tokens is {max_tokens!r}", hint="it must be a whole number above 0"
        )
    check_options(sampling)
    given: dict[str, Any] = {name: value for name, value in sampling.items() if value is not None}
    for name in ("stop", "dry_breakers"):
        if isinstance(given.get(name), str):
            given[name] = [given[name]]
    _check_form(given)
    _check_others(given)
    check_tools(given, with_messages=messages is not None)
    if prompt is not None:
        return CheckedCall({"prompt": prompt, **given}, {})
    files: dict[str, File] = {}
    turns = [check_message(message, files) for message in messages or ()]
    return CheckedCall({"messages": turns, **given}, files)


def _is_conversation(messages: object) -> bool:
    if isinstance(messages, str) or not isinstance(messages, Sequence) or not messages:
        return False
    return all(isinstance(message, Mapping) for message in messages)


def _check_option(name: str, value: Any) -> None:
    if name not in OPTIONS:
        known = ", ".join(sorted(OPTIONS))
        raise InvalidInput(f"unknown option {name!r} of a model call; known: {known}")
    if name in _CHOICES and value is not None:
        _check_choice(name, value)
    if name not in _NUMBERS:
        return
    low, high = _NUMBERS[name]
    kinds = int if name in _WHOLE else int | float
    number = isinstance(value, kinds) and not isinstance(value, bool)
    if value is not None and not (number and low <= value <= high):
        kind = "a whole number" if name in _WHOLE else "a number"
        raise InvalidInput(
            f"{name} is {value!r}",
            hint=f"it must be {kind} from {in_full(low)} to {in_full(high)}",
        )


def _check_form(call: dict[str, Any]) -> None:
    """Check what the text must look like; whether it can be made is the engine's to say.

    A schema is kept as text, because the database does not keep the order of its properties.
    """
    if isinstance(call.get("json_schema"), str):
        _refuse_no_json(call["json_schema"])
    elif "json_schema" in call:
        try:
            call["json_schema"] = json.dumps(call["json_schema"], allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidInput(f"json_schema cannot be written as JSON: {error}") from None
    forms = [name for name in ("grammar", "json_schema") if name in call]
    for name in forms:
        if not isinstance(call[name], str) or len(call[name].encode(errors="replace")) > MAX_FORM:
            raise InvalidInput(f"{name} must be a text of at most {MAX_FORM} bytes")
    if len(forms) > 1:
        raise InvalidInput("a model call takes either a grammar or a json_schema")
    if forms and call.get("stop"):
        raise InvalidInput(
            f"a stop text would cut the answer short of its {forms[0]}", hint="leave out stop"
        )


def _refuse_no_json(schema: str) -> None:
    try:
        json.loads(schema)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"json_schema is not valid JSON: {error}") from None


def _check_others(call: Mapping[str, Any]) -> None:
    _check_thinking(call)
    for name in ("stop", "dry_breakers"):
        texts = call.get(name, ())
        if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
            raise InvalidInput(f"{name} must be a text or a list of texts")
    _check_breakers(call.get("dry_breakers", ()))
    if not isinstance(call.get("template_options", {}), Mapping):
        raise InvalidInput("template_options must be an object")
    bias = call.get("logit_bias", {})
    if not isinstance(bias, Mapping) or not all(map(_is_bias, bias.items())):
        raise InvalidInput(
            "logit_bias must be an object of numbers by token id", hint='{"42": -100}'
        )


def _check_choice(name: str, value: object) -> None:
    if value not in (known := _CHOICES[name]):
        raise InvalidInput(f"{name} is {value!r}", hint=f"it must be one of {', '.join(known)}")


def _check_thinking(call: Mapping[str, Any]) -> None:
    if not isinstance(call.get("parallel_tool_calls", True), bool):
        raise InvalidInput("parallel_tool_calls must be true or false")
    thinking = call.get("thinking", True)
    number = isinstance(thinking, int) and thinking >= _LEAST_THINKING
    if not isinstance(thinking, bool) and not number:
        raise InvalidInput(
            f"thinking is {thinking!r}",
            hint=f"it must be true, false or a number of tokens from {_LEAST_THINKING}",
        )


def _check_breakers(texts: Sequence[str]) -> None:
    sizes = [len(text.encode(errors="replace")) for text in texts]
    if len(texts) > _MOST_BREAKERS or not all(0 < size <= _LONGEST_BREAKER for size in sizes):
        raise InvalidInput(
            f"dry_breakers must be at most {_MOST_BREAKERS} texts"
            f" of 1 to {_LONGEST_BREAKER} bytes each"
        )


def _is_bias(entry: tuple[Any, Any]) -> bool:
    token, value = entry
    number = isinstance(value, int | float) and not isinstance(value, bool)
    known = str(token).isascii() and str(token).isdigit() and len(str(token)) <= _LONGEST_ID
    return number and math.isfinite(value) and known

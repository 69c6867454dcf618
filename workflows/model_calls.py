"""What a call of a model may say: its prompt, its sampling options, and their limits."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lmx.workflows.errors import InvalidInput

#: The name of the task that calls a local model, and the queue that GPU workers serve.
GENERATE: Final = "generate"
QUEUE: Final = "gpu"

ROLES: Final = ("system", "user", "assistant", "tool")
MAX_TOKENS: Final = 1 << 20
MAX_STOPS: Final = 16

# Option -> (whole number, smallest, largest). The engine knows the same names.
_NUMBERS: Final[dict[str, tuple[bool, float, float]]] = {
    "n_ctx": (True, 8, MAX_TOKENS),
    "temperature": (False, 0, 100),
    "top_k": (True, 0, 1 << 30),
    "top_p": (False, 0, 1),
    "min_p": (False, 0, 1),
    "typical_p": (False, 0, 1),
    "repeat_penalty": (False, 0.01, 100),
    "presence_penalty": (False, -100, 100),
    "frequency_penalty": (False, -100, 100),
    "penalty_last_n": (True, -1, MAX_TOKENS),
    "seed": (True, 0, 2**32 - 1),
}
_KNOWN: Final = (*_NUMBERS, "stop", "logit_bias")


@dataclass(frozen=True, slots=True)
class Call:
    """A checked call: its task's input, and what it costs at most, in nano-dollars."""

    model: str
    input: dict[str, Any]
    worst_case: int


def check_call(
    prompt: str | None,
    messages: Sequence[Mapping[str, str]] | None,
    max_tokens: int,
    sampling: Mapping[str, Any],
) -> dict[str, Any]:
    """Check what does not depend on the model; return the sampling options that were given.

    Raises InvalidInput naming the first thing that is wrong.
    """
    if (prompt is None) == (messages is None):
        raise InvalidInput("a call has either a prompt or messages")
    if prompt is not None and not prompt.strip():
        raise InvalidInput("the prompt is empty")
    if messages is not None:
        _check_messages(messages)
    if isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 1:
        raise InvalidInput(f"max_tokens is {max_tokens}", hint="it must be 1 or more")
    options = {name: value for name, value in sampling.items() if value is not None}
    for name, value in options.items():
        _check_option(name, value)
    return options


def _check_messages(messages: Sequence[Mapping[str, str]]) -> None:
    if not messages:
        raise InvalidInput("there are no messages")
    for message in messages:
        if not isinstance(message, Mapping) or not isinstance(message.get("content"), str):
            raise InvalidInput("a message has a role and a content, both text")
        if message.get("role") not in ROLES:
            raise InvalidInput(
                f"a message has the role {message.get('role')!r}",
                hint=f"it must be one of {', '.join(ROLES)}",
            )


def _check_option(name: str, value: Any) -> None:
    if name == "stop":
        if not (
            isinstance(value, Sequence)
            and not isinstance(value, str)
            and len(value) <= MAX_STOPS
            and all(isinstance(text, str) and text for text in value)
        ):
            raise InvalidInput(f"stop must be a list of at most {MAX_STOPS} texts")
        return
    if name == "logit_bias":
        if not isinstance(value, Mapping) or not all(_is_number(bias) for bias in value.values()):
            raise InvalidInput("logit_bias must map token ids to numbers")
        return
    if name not in _NUMBERS:
        raise InvalidInput(
            f"there is no sampling option {name!r}", hint=f"known are {', '.join(_KNOWN)}"
        )
    whole, low, high = _NUMBERS[name]
    if not _is_number(value) or (whole and value != int(value)) or not low <= value <= high:
        kind = "a whole number" if whole else "a number"
        raise InvalidInput(
            f"{name} is {value!r}", hint=f"it must be {kind} from {low:g} to {high:g}"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def prompt_bound(
    prompt: str | None, messages: Sequence[Mapping[str, str]] | None, template: str
) -> int:
    """At most how many tokens the prompt can have: no token is shorter than one byte of text.

    A chat template adds at most its own text for every message, and once around them all.
    """
    if messages is None:
        return _size(prompt or "") + _SPECIAL_TOKENS
    content = sum(_size(message["role"]) + _size(message["content"]) for message in messages)
    return content + _size(template) * (len(messages) + 1) + _SPECIAL_TOKENS


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


# The tokens that begin and end a prompt, and a space that some vocabularies put in front.
_SPECIAL_TOKENS: Final = 4

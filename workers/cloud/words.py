"""What the words of all providers share: files, arguments of tools, and refusing what has none."""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from lmx.workers.cloud.answer import Question
from lmx.workers.cloud.errors import Failure, ProviderError

T = TypeVar("T")


def said(words: Callable[[Question], T], question: Question) -> T:
    """The question in a provider's words. Raises ProviderError: nothing has been sent."""
    try:
        return words(question)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ProviderError(Failure.INVALID, f"the call cannot be sent: {error!r}") from None


def base64_of(part: Mapping[str, Any]) -> str:
    """The bytes of a file, for JSON."""
    return base64.b64encode(part["data"]).decode()


def data_url(part: Mapping[str, Any]) -> str:
    """Where an image is, or all of it."""
    if "url" in part:
        return str(part["url"])
    return f"data:{part['media_type']};base64,{base64_of(part)}"


def parts_of(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The parts of a message; a text is one, an empty text none. A mark of all stands on the last.

    Raises ProviderError for a kind that nobody knows.
    """
    content = message.get("content") or ()
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    for part in parts:
        if part.get("type") not in ("text", "image", "file"):
            kind = part.get("type")
            raise ProviderError(Failure.INVALID, f"a part of kind {kind!r} cannot be sent")
    if parts and message.get("cache"):
        parts[-1] = {**parts[-1], "cache": message["cache"]}
    return parts


def text_of(message: Mapping[str, Any]) -> str:
    """The texts of a message."""
    return "\n".join(part["text"] for part in parts_of(message) if part["type"] == "text")


def arguments_of(call: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of an earlier call of a tool, which are kept as the model wrote them."""
    function = call["function"]
    arguments = function.get("arguments") or "{}"
    try:
        parsed = json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        name = function.get("name")
        raise ProviderError(Failure.INVALID, f"the arguments of {name} are no object in JSON")
    return parsed

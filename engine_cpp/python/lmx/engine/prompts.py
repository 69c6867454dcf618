"""What a model is given to continue: raw text, or messages put through its chat template."""

from __future__ import annotations

from collections.abc import Sequence

from lmx.engine import _core
from lmx.engine.chat_formats import ChatFormat, format_chat
from lmx.engine.conversation import Conversation, Message, conversation
from lmx.engine.errors import InvalidRequest
from lmx.engine.files import ModelInfo, StrPath, inspect_model

__all__ = ["Message", "encodable", "given_text", "tokenize"]


def given_text(info: ModelInfo, prompt: str | None, chat: Conversation | None) -> ChatFormat:
    """The prompt and the form of its answer. Raises InvalidRequest unless one of two is given."""
    if prompt is not None and chat is None:
        return ChatFormat(encodable(prompt))
    if chat is None or prompt is not None:
        raise InvalidRequest("give either prompt= or messages=, and not both")
    return format_chat(info, chat)


def tokenize(
    model: StrPath,
    *,
    prompt: str | None = None,
    messages: Sequence[Message] | None = None,
    device: str = "auto",
) -> list[int]:
    """The token ids that a request with this prompt would begin with; nothing is loaded."""
    info = inspect_model(model)
    chat = None if messages is None else conversation(messages)
    return _core.tokenize(info.path, given_text(info, prompt, chat).prompt, device)


def encodable(text: str) -> str:
    """The text itself. Raises InvalidRequest for what is no text, or has no UTF-8."""
    if not isinstance(text, str):
        raise InvalidRequest(f"{type(text).__name__} was given where a text is expected")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"the text is not valid Unicode: {error.reason}") from error
    return text

"""What a model is given to continue: raw text, or messages put through its chat template."""

from __future__ import annotations

from collections.abc import Sequence

from lmx.engine import _core
from lmx.engine.chat import Message, render_chat
from lmx.engine.errors import InvalidRequest, ModelFileError
from lmx.engine.files import ModelInfo, StrPath, inspect_model

__all__ = ["Message", "encodable", "prompt_text", "tokenize"]


def prompt_text(info: ModelInfo, prompt: str | None, messages: Sequence[Message] | None) -> str:
    """The text to be tokenized. Raises InvalidRequest unless exactly one of the two is given."""
    if prompt is not None and messages is None:
        return encodable(prompt)
    if messages is None or prompt is not None:
        raise InvalidRequest("give either prompt= or messages=, and not both")
    if info.chat_template is None:
        raise ModelFileError(
            f"{info.path}: carries no chat template; use prompt= instead of messages="
        )
    return encodable(
        render_chat(
            info.chat_template,
            messages,
            bos=info.bos,
            eos=info.eos,
            adds_bos=info.adds_bos,
            model=info.path,
        )
    )


def tokenize(
    model: StrPath,
    *,
    prompt: str | None = None,
    messages: Sequence[Message] | None = None,
    device: str = "auto",
) -> list[int]:
    """The token ids that a request with this prompt would begin with; nothing is loaded."""
    info = inspect_model(model)
    return _core.tokenize(info.path, prompt_text(info, prompt, messages), device)


def encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"the text is not valid Unicode: {error.reason}") from error
    return text

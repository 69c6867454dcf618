"""Chat messages to prompt text, by the template that the model file itself carries."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NoReturn

from jinja2 import Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from lmx.engine.errors import InvalidRequest, ModelFileError

Message = Mapping[str, Any]


class _Refused(TemplateError):
    """The template itself refused the messages."""


def _raise(message: str) -> NoReturn:
    raise _Refused(message)


def _tojson(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _strftime_now(pattern: str) -> str:
    return datetime.now().astimezone().strftime(pattern)


@lru_cache(maxsize=32)
def _compiled(source: str) -> Template:
    # The same settings and helpers as Hugging Face's apply_chat_template, for which templates are
    # written; sandboxed, because a template is code that came with a download.
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = _strftime_now
    return environment.from_string(source)


def render_chat(
    template: str,
    messages: Sequence[Message],
    *,
    bos: str,
    eos: str,
    adds_bos: bool,
    model: str,
) -> str:
    """The prompt for ``messages``, ending where the assistant's answer begins.

    A leading ``bos`` is left out where tokenizing adds it (``adds_bos``).
    Raises InvalidRequest when the messages are malformed or the template refuses them,
    ModelFileError when it is broken.
    """
    _check(messages)
    try:
        prompt = _compiled(template).render(
            messages=[dict(message) for message in messages],
            add_generation_prompt=True,
            bos_token=bos,
            eos_token=eos,
        )
    except _Refused as error:
        raise InvalidRequest(f"the model's chat template refuses the messages: {error}") from error
    except Exception as error:  # a template may fail in any way that Python code can
        raise ModelFileError(
            f"{model}: its chat template fails ({type(error).__name__}: {error}); "
            "use prompt= instead of messages="
        ) from error
    return prompt.removeprefix(bos) if adds_bos and bos else prompt


def _check(messages: Sequence[Message]) -> None:
    if not messages:
        raise InvalidRequest("messages is empty; give at least one message")
    for index, message in enumerate(messages):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise InvalidRequest(f"messages[{index}] needs a role and a content, both strings")
        if not isinstance(message.get("content", ""), str | list | None):
            raise InvalidRequest(f"messages[{index}] has a content that is not text")

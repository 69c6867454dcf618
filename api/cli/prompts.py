"""The call of a model that `lmx enqueue` makes of a prompt, or of a whole conversation."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmx.api.cli.session import Session


def conversation(messages: str, system: str | None, *, raw: bool, given: bool) -> Any:
    """The messages given by --messages. Raises InvalidInput, also if there is a prompt, too."""
    from lmx.api.cli.textinput import parse_json
    from lmx.workflows.errors import InvalidInput

    if given or system is not None or raw:
        raise InvalidInput("give either --messages or a prompt, not both")
    turns = parse_json(messages, "--messages")
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise InvalidInput("--messages must be a list of objects with role and content")
    return turns


def model_call(
    opened: "Session",
    name: str | None,
    text: str,
    system: str | None,
    options: Mapping[str, Any],
    *,
    raw: bool,
    max_tokens: int | None,
) -> dict[str, Any]:
    """What `Client.generate` needs for this prompt beside its options; refuses what never fits."""
    from lmx.api.registration import measure
    from lmx.workflows.errors import InvalidInput
    from lmx.workflows.generation import default_max_tokens
    from lmx.workflows.models import choose_model, refuse_oversized
    from lmx.workflows.providers.publishing import is_cloud_model

    if name is not None and is_cloud_model(opened.connection, name):
        return {"model": name, "messages": turns_of(text, system), "max_tokens": max_tokens}
    model = choose_model(opened.connection, name)
    length = options.get("n_ctx") or model.n_ctx
    if length not in model.needs:
        measure(opened.connection, model, length, opened.settings.device)
        model = choose_model(opened.connection, model.name)
    cap = opened.settings.vram_cap
    refuse_oversized(opened.connection, model, length, cap, options.get("kv_type"))
    limit = max_tokens if max_tokens is not None else default_max_tokens(length)
    chat = bool(model.info.get("chat_template")) and not raw
    if system is not None and not chat:
        raise InvalidInput(f"--system needs a chat template, which {model.name!r} does not have")
    if not chat:
        return {"model": model.name, "prompt": text, "max_tokens": limit}
    return {"model": model.name, "messages": turns_of(text, system), "max_tokens": limit}


def with_parts(text: str, system: str | None, parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A prompt below its images and files, which models like better than above them."""
    said = [{"type": "text", "text": text}] if text else []
    return [*turns_of("", system)[:-1], {"role": "user", "content": [*parts, *said]}]


def turns_of(text: str, system: str | None) -> list[dict[str, str]]:
    """A prompt as messages."""
    asked = [{"role": "user", "content": text}]
    return asked if system is None else [{"role": "system", "content": system}, *asked]

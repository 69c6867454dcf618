"""What each provider takes of images and files, checked before a call is queued. Pure.

Sources: as in `tokens`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lmx.workflows.attachments.kinds import IMAGES, PDF, TEXT
from lmx.workflows.attachments.parts import File
from lmx.workflows.attachments.tokens import tokens_of, tokens_unseen
from lmx.workflows.errors import InvalidInput
from lmx.workflows.providers.catalog import CloudModel

_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Rules:
    """Bytes are of the files themselves: as base64 they are a third larger."""

    types: Sequence[str]
    image_bytes: int
    bytes: int
    images: int
    pages: int
    side: int
    marks: int | None = None


#: A context below this halves what Anthropic takes: 100 images and pages for each request.
_LARGE_CONTEXT: Final = 1_000_000
_SMALL: Final = 100
#: With more than 20 images Anthropic takes none whose sides are longer than this.
_MANY, _SIDE_OF_MANY = 20, 2_000

_RULES: Final[Mapping[str, _Rules]] = {
    "anthropic": _Rules((*IMAGES, PDF, TEXT), 15 * _MIB // 2, 24 * _MIB, 600, 600, 8_000, marks=4),
    "gemini": _Rules(
        ("image/png", "image/jpeg", "image/webp", PDF, TEXT),
        32 * _MIB,
        72 * _MIB,
        3_000,
        1_000,
        100_000,
    ),
    "openai": _Rules((*IMAGES, PDF, TEXT), 32 * _MIB, 48 * _MIB, 500, 1_000, 100_000),
}


def attached_tokens(
    model: CloudModel, parts: Sequence[Mapping[str, Any]], files: Mapping[str, File]
) -> tuple[int, int]:
    """The tokens of a call's images and files, at the most and as a rule.

    Raises InvalidInput, in one line, for what the model does not take.
    """
    _check(model, parts, [files[part["sha256"]] for part in parts if "sha256" in part])
    most = usual = unseen = 0
    for part in parts:
        if "url" in part:
            image = part["type"] == "image"
            tokens = tokens_unseen(model.provider, model.context, image=image)
            unseen, usual = unseen + tokens[0], usual + tokens[1]
        else:
            kind = files[part["sha256"]].kind
            assert kind is not None
            tokens = tokens_of(model.provider, kind, part["size"])
            most, usual = most + tokens[0], usual + tokens[1]
    return max(most, min(model.context, most + unseen)), usual


def check_marks(model: CloudModel, marks: int) -> None:
    """Raise InvalidInput for more cache marks than the provider takes; others ignore them."""
    most = _RULES[model.provider].marks
    if most is not None and marks > most:
        raise InvalidInput(f"{marks} parts are marked to be cached; {model.id} takes {most} marks")


def _check(model: CloudModel, parts: Sequence[Mapping[str, Any]], files: Sequence[File]) -> None:
    rules = _RULES[model.provider]
    for kind in ("image", "file"):
        if any(part["type"] == kind for part in parts) and f"{kind}s" not in model.features:
            raise InvalidInput(
                f"{model.id} reads no {kind}s", hint="`lmx models list` shows which models do"
            )
    small = model.provider == "anthropic" and model.context < _LARGE_CONTEXT
    images = sum(part["type"] == "image" for part in parts)
    _at_most(images, min(rules.images, _SMALL) if small else rules.images, "images", model)
    kinds = [file.kind for file in files if file.kind is not None]
    pages = sum(kind.pages for kind in kinds)
    _at_most(pages, min(rules.pages, _SMALL) if small else rules.pages, "pages of PDF", model)
    many = model.provider == "anthropic" and images > _MANY
    side = _SIDE_OF_MANY if many else rules.side
    for one in kinds:
        if one.media_type not in rules.types:
            raise InvalidInput(f"{model.id} does not read {one.media_type}")
        if max(one.width, one.height) > side:
            raise InvalidInput(
                f"an image has {one.width} x {one.height} pixels; {model.id} takes {side} a side",
                hint="scale it down",
            )
    for part in parts:
        if part["type"] == "image" and part.get("size", 0) > rules.image_bytes:
            _at_most(part["size"], rules.image_bytes, "bytes of an image", model)
    total = sum(part.get("size", 0) for part in parts)
    _at_most(total, rules.bytes, "bytes of images and files", model)


def _at_most(count: int, most: int, what: str, model: CloudModel) -> None:
    if count > most:
        raise InvalidInput(f"the call has {count} {what}; {model.id} takes {most}")

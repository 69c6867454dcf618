"""Images and files in requests: taken out of what counts as text, and weighed for themselves."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

#: Where the wires have the type of inline bytes, beside their `data`.
_TYPES: Final = ("media_type", "mimeType", "mime_type")


@dataclass(frozen=True, slots=True)
class Weights:
    """Tokens of an image, of a page of a PDF, and of what stands at an address."""

    image: int
    page: int
    unseen: int


def weighed(body: Any, weights: Weights) -> tuple[Any, int]:
    """A request without the bytes of its files, and the tokens of these.

    Raises ValueError for bytes that are no base64, as a provider refuses them.
    """
    if isinstance(body, list):
        pairs = [weighed(one, weights) for one in body]
        return [value for value, _ in pairs], sum(tokens for _, tokens in pairs)
    if not isinstance(body, Mapping):
        return body, 0
    kind = next((body[name] for name in _TYPES if name in body), None)
    if isinstance(body.get("data"), str) and kind and kind != "text/plain":
        return {}, _tokens(str(kind), body["data"], weights)
    for name in ("url", "file_data", "fileUri"):
        if isinstance(address := body.get(name), str):
            return {}, _at(address, weights)
    total, plain = 0, {}
    for name, value in body.items():
        plain[name], tokens = weighed(value, weights)
        total += tokens
    return plain, total


def _at(address: str, weights: Weights) -> int:
    head, _, data = address.partition(";base64,")
    return _tokens(head.removeprefix("data:"), data, weights) if data else weights.unseen


def _tokens(kind: str, data: str, weights: Weights) -> int:
    content = base64.b64decode(data + "=" * (-len(data) % 4), altchars=b"-_", validate=True)
    if kind == "application/pdf":
        pages = content.count(b"/Type /Page") - content.count(b"/Type /Pages")
        return max(1, pages) * weights.page
    return weights.image if kind.startswith("image/") else len(content) // 4

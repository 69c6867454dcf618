"""Remembers the latest requests as they came over the wire, for whoever wants to look at them."""

import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_KEPT: Final = 256
#: Of a larger request only its size is kept.
_LARGEST: Final = 256 * 1024


@dataclass(slots=True)
class Seen:
    """The latest requests with a body, the oldest first."""

    requests: deque[tuple[str, bytes, int]] = field(default_factory=lambda: deque(maxlen=_KEPT))

    def told(self) -> list[dict[str, Any]]:
        """{path, size, body}; the body is null if it was too large, or no JSON."""
        return [
            {"path": path, "size": size, "body": _parsed(body)}
            for path, body, size in self.requests
        ]


def watched(app: ASGIApp, seen: Seen) -> ASGIApp:
    """The application, whose requests `seen` remembers. Its own pages do not count."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/rehearsal"):
            return await app(scope, receive, send)
        parts: list[bytes] = []

        async def listen() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                parts.append(message.get("body", b""))
                if not message.get("more_body"):
                    _remember(seen, scope["path"], b"".join(parts))
                    parts.clear()
            return message

        return await app(scope, listen, send)

    return call


def _remember(seen: Seen, path: str, body: bytes) -> None:
    if body:
        seen.requests.append((path, body if len(body) <= _LARGEST else b"", len(body)))


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None

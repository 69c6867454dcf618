"""What a request must pass before the application sees it: its host, its origin, its size.

Only programs of this machine may use the API. A web page that the user visits runs on this machine
too: it reaches loopback addresses with its own Origin, or, after its DNS name has been rebound to
127.0.0.1, with its own Host. Both are turned away.
"""

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lmx.api.http.problems import Problem

#: The largest request body by default, in bytes.
MAX_BODY_BYTES = 32 * 1024 * 1024

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_DRAIN_S = 2.0


class LocalOnly:
    """Refuses requests meant for another host, or sent by a web page of another site."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str] = frozenset()) -> None:
        self._app = app
        self._hosts = _LOOPBACK | hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 421 (another host) or 403 (another site)."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            if _host(f"//{headers.get('host', '')}") not in self._hosts:
                problem = Problem(421, "wrong_host", "this API answers to localhost only")
                return await problem(scope, receive, send)
            origin = headers.get("origin")
            if origin is not None and _host(origin) not in self._hosts:
                problem = Problem(403, "foreign_origin", "web pages may not use this API")
                return await problem(scope, receive, send)
        return await self._app(scope, receive, send)


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


class BodyLimit:
    """Refuses bodies of more than `limit` bytes, as soon as that is known."""

    def __init__(self, app: ASGIApp, limit: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 413 without keeping more than the limit."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isdigit() and int(declared) > self._limit:
            return await self._refuse(scope, receive, send)
        body = await self._read(receive)
        if body is None:
            return await self._refuse(scope, receive, send)
        return await self._app(scope, _replay(body, receive), send)

    async def _read(self, receive: Receive) -> list[Message] | None:
        """Return the whole body's messages, or None if they are too much."""
        messages, size = [], 0
        while True:
            message = await receive()
            messages.append(message)
            size += len(message.get("body", b""))
            if size > self._limit:
                return None
            if not message.get("more_body", False):
                return messages

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = self._limit / 2**20
        detail = f"the body is larger than the {limit:g} MiB that one request may carry"
        problem = Problem(413, "too_large", detail, limit_bytes=self._limit)

        async def keep_open(message: Message) -> None:
            await send({**message, "more_body": True} if "body" in message else message)

        problem.headers["connection"] = "close"
        await problem(scope, receive, keep_open)
        # A client that is still sending reads no answer: closing now would reset its connection.
        await _discard(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _discard(receive: Receive) -> None:
    """Throw away what the client still sends, for a limited time."""
    try:
        async with asyncio.timeout(_DRAIN_S):
            while True:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return


def _replay(messages: list[Message], receive: Receive) -> Callable[[], Awaitable[Message]]:
    waiting = iter(messages)

    async def next_message() -> Message:
        return next(waiting, None) or await receive()

    return next_message

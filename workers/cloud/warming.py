"""Lets an SDK do everything once before the first call that counts.

Much of an SDK is imported and built only when it is used. That would hold up the first calls, all
of them at once, for a tenth of a second and more, after their pool was charged for their moment.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from lmx.workers.cloud.answer import Question
from lmx.workers.cloud.errors import ProviderError
from lmx.workers.cloud.provider import Provider
from lmx.workflows.providers.catalog import Account
from lmx.workflows.providers.keys import Key

_QUESTION: Final = Question("warm", [{"role": "user", "content": "warm"}], 1, {})
#: A stream that ends before it has said anything.
_ANSWER: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


def warm(connect: Callable[[Account, Key], Provider], account: Account) -> None:
    """Make one call, without the account's key, to a server of our own that says nothing."""
    asyncio.run(_warm(connect, account))


async def _warm(connect: Callable[[Account, Key], Provider], account: Account) -> None:
    server = await asyncio.start_server(_say_nothing, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        provider = connect(replace(account, base_url=f"http://{host}:{port}"), Key("none"))
        with contextlib.suppress(ProviderError):
            await provider.ask(_QUESTION, lambda _: None)
        await provider.close()


async def _say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(_ANSWER)
    await writer.drain()
    writer.close()

"""Lets an SDK do everything once before the first call that counts.

Much of an SDK is imported and built only when it is used. That would hold up the first calls, all
of them at once, for a tenth of a second and more, after their pool was charged for their moment.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final
from urllib.request import getproxies, proxy_bypass

from lmx.workers.cloud.answer import Question
from lmx.workers.cloud.errors import ProviderError
from lmx.workers.cloud.provider import Provider
from lmx.workflows.providers.catalog import Account
from lmx.workflows.providers.keys import Key

log = logging.getLogger("lmx.cloud")

_HOST: Final = "127.0.0.1"
#: A worker's start does not wait for longer than this.
_PATIENCE_S: Final = 5.0
_QUESTION: Final = Question("warm", [{"role": "user", "content": "warm"}], 1, {})
#: A stream that ends before it has said anything.
_ANSWER: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


def warm(connect: Callable[[Account, Key], Provider], account: Account) -> None:
    """Make one call, without the account's key, to a server of our own that says nothing.

    What goes wrong is no reason not to start. Not where a proxy would stand between.
    """
    if {"http", "all"} & getproxies().keys() and not proxy_bypass(_HOST):
        return
    try:
        asyncio.run(_warm(connect, account))
    except Exception as error:
        log.info("%s was not tried out: %r", account.full_name, error)


async def _warm(connect: Callable[[Account, Key], Provider], account: Account) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        server = await asyncio.start_server(_say_nothing, _HOST, 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            provider = connect(replace(account, base_url=f"http://{_HOST}:{port}"), Key("none"))
            try:
                await provider.ask(_QUESTION, lambda _: None)
            except ProviderError:
                pass  # it was told nothing
            finally:
                await provider.close()


async def _say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(_ANSWER)
    await writer.drain()
    writer.close()

"""The call that a worker makes before it serves: nothing that befalls it keeps the worker."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from lmx.workers.cloud import warming
from lmx.workers.cloud.answer import Answer, Question
from lmx.workers.cloud.provider import Progress
from lmx.workflows.providers.catalog import Account
from lmx.workflows.providers.keys import Key

ACCOUNT = Account("openai", "own", base_url="https://example.com/v1", key_env="OWN_KEY")


@dataclass
class Fragile:
    """A provider whose SDK does `what` when it is asked."""

    what: Callable[[], Awaitable[None]]
    connected: list[tuple[str | None, str]] = field(default_factory=list)
    closed: bool = False

    def connect(self, account: Account, key: Key) -> "Fragile":
        self.connected.append((account.base_url, key.reveal()))
        return self

    async def ask(self, question: Question, progress: Progress) -> Answer:
        await self.what()
        raise AssertionError("an SDK's own assertion")

    async def close(self) -> None:
        self.closed = True


async def nothing() -> None:
    pass


async def hang() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("what", [nothing, hang])
def test_whatever_an_sdk_does_the_worker_starts(
    what: Callable[[], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warming, "_PATIENCE_S", 0.1)
    provider = Fragile(what)
    warming.warm(provider.connect, ACCOUNT)
    ((url, key),) = provider.connected
    assert url is not None
    assert url.startswith("http://127.0.0.1:")
    assert key == "none"
    assert provider.closed


def test_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example.com:3128")
    provider = Fragile(nothing)
    warming.warm(provider.connect, ACCOUNT)
    assert provider.connected == []
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    warming.warm(provider.connect, ACCOUNT)
    assert len(provider.connected) == 1

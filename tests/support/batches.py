"""A lane of batches moved step by step by a test, against the faithful provider."""

from collections.abc import Mapping
from typing import Any, Protocol

from lmx.workers import anthropic_batches, gemini_batches
from lmx.workers.cloud.batches.guarded import GuardedBatches
from lmx.workers.cloud.batches.lane import Lane, LaneSpec
from lmx.workers.cloud.batches.wire import BatchProvider, Status
from lmx.workflows.client import Client
from lmx.workflows.database.connect import Database
from lmx.workflows.providers.batching import BatchTerms
from lmx.workflows.providers.catalog import Account, Catalog, load_catalog
from lmx.workflows.providers.keys import Key
from lmx.workflows.providers.pricing import load_prices
from lmx.workflows.providers.publishing import publish
from lmx.workflows.views import BatchView, list_batches
from tests.support.hands import Hands
from tests.support.rehearsed import FLASH, HAIKU, KEY

MODULES: dict[str, Any] = {"anthropic": anthropic_batches, "gemini": gemini_batches}
MODELS = {"anthropic": HAIKU, "gemini": FLASH}
POOLS = {"anthropic": "haiku", "gemini": "flash"}
#: Batches go at once.
HASTE = {"enough": 1}


def account_of(provider: str, url: str) -> Account:
    return Account(provider, "default", base_url=url, key_env="NO_SUCH_KEY")


def connect(provider: str, url: str, key: str = KEY) -> BatchProvider:
    """The batches of an account at the provider with this address."""
    connected: BatchProvider = MODULES[provider].connect(account_of(provider, url), Key(key))
    return GuardedBatches(connected, Key(key))


class Batching:
    """One worker's lane of one account; `round` does all that is due."""

    def __init__(
        self, database: Database, provider: str, url: str, key: str = KEY, **terms: Any
    ) -> None:
        self.database = database
        self.model = MODELS[provider]
        self.hands = Hands(database)
        account = account_of(provider, url)
        shipped = load_catalog()
        catalog = Catalog(shipped.models, [account], shipped.tiers)
        publish(self.hands.conn, catalog, [account], load_prices())
        known = catalog.batch_terms(account)
        assert known is not None
        own = BatchTerms(**{**_as_dict(known), **HASTE, **terms})
        spec = LaneSpec(account.batch_queue, lambda: connect(provider, url, key), own)
        served = [account.queue, account.full_name, account.batch_queue]
        self.hands.conn.execute("UPDATE lmx.workers SET queues = %s", [served])
        self.lane = Lane(database, spec, load_prices(), lambda: self.hands.worker)
        self.provider = spec.connect()
        self.client = Client(database)

    def close(self) -> None:
        self.lane.wait_for(self.provider.close())
        self.lane.stop()
        self.client.close()
        self.hands.close()

    def dies(self) -> None:
        """Others take the worker for dead."""
        query = "UPDATE lmx.workers SET stopped_at = clock_timestamp() WHERE id = %s"
        self.hands.conn.execute(query, [self.hands.worker])

    def look(self, batch_id: str) -> Status:
        """How a batch at the provider is getting on."""
        found: list[Status] = []

        async def look() -> None:
            found.append(await self.provider.look(batch_id))

        self.lane.wait_for(look())
        return found[0]

    def ask(self, **how: Any) -> int:
        """Queue a call that may wait."""
        asked = {"prompt": "Count.", "max_tokens": 50, "when": "cheap", **how}
        return self.client.generate(model=self.model, **asked)

    def round(self, times: int = 1) -> float:
        """Do what is due, also what had been put off; returns when there is more, in seconds."""
        due = 0.0
        for _ in range(times):
            self.hands.conn.execute("UPDATE lmx.batches SET next_at = now() WHERE next_at > now()")
            due = self.lane.round(self.hands.conn, self.provider)
        return due

    def wake(self) -> None:
        """Let time pass: attempts that were put off are due, pools and breakers rest no longer."""
        self.hands.conn.execute(
            "UPDATE lmx.tasks SET state = 'ready', run_at = NULL WHERE state = 'scheduled'"
        )
        self.hands.conn.execute("DELETE FROM lmx.pool_news")
        self.hands.conn.execute("UPDATE lmx.pools SET state = '{}', next_at = NULL")

    def batches(self) -> list[BatchView]:
        """All batches, the latest first."""
        return list_batches(self.database)

    def row(self, query: str, *args: Any) -> Any:
        return self.hands.conn.execute(query, args).fetchone()


def _as_dict(terms: BatchTerms) -> Mapping[str, Any]:
    return {name: getattr(terms, name) for name in BatchTerms.__slots__}


class StartLane(Protocol):
    """Starts a lane, which ends with the test; `terms` are those of `[account.batches]`."""

    def __call__(self, provider: str = "anthropic", **terms: Any) -> Batching: ...

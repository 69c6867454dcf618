"""Calls by routes: pools that are free, full or broken as a test wants them."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from lmx.workflows.client import Client
from lmx.workflows.database.connect import Database
from lmx.workflows.lease import Lease
from lmx.workflows.providers.catalog import load_catalog
from lmx.workflows.providers.pricing import load_prices
from lmx.workflows.providers.publishing import publish
from lmx.workflows.routing.records import Recorded, decisions_of
from lmx.workflows.routing.rerouting import reroute_due
from tests.support.command import register
from tests.support.hands import Hands

SERVED = ["anthropic", "gemini", "gpu"]


class Routes:
    """A home with rules, hands that serve all queues, and a client."""

    def __init__(self, database: Database, client: Client, home: Path) -> None:
        self.hands, self.client, self.home = Hands(database), client, home
        self.conn = self.hands.conn
        catalog = load_catalog()
        publish(self.conn, catalog, catalog.accounts, load_prices())
        self.serve(*SERVED)

    def serve(self, *queues: str) -> None:
        """The queues that a live worker serves from now on, with the keys of their accounts."""
        served = ["work", "minds", *queues, *(f"{queue}/default" for queue in queues)]
        self.conn.execute("UPDATE lmx.workers SET queues = %s", [served])

    def rules(self, text: str) -> None:
        """Write routes.toml."""
        (self.home / "routes.toml").write_text(text)

    def local(self, name: str = "tiny") -> str:
        """Register a local model."""
        return register(self.hands, name)

    def ask(self, route: str | None = "r", **how: Any) -> int:
        """Queue a call by a route."""
        messages = how.pop("messages", [{"role": "user", "content": "Count."}])
        return self.client.generate(route=route, messages=messages, **{"max_tokens": 50, **how})

    def break_(self, pool: str, kind: str = "billing") -> None:
        """Open the breaker of a pool for ten minutes."""
        self.news(pool, "failed", {"kind": kind, "for_s": 600})

    def news(self, pool: str, kind: str, data: dict[str, Any]) -> None:
        """Let a pool hear something."""
        self.conn.execute(
            "INSERT INTO lmx.pool_news (pool_id, kind, data)"
            " SELECT id, %s, %s FROM lmx.pools WHERE name = %s",
            [kind, json.dumps(data), pool],
        )

    def decisions(self, task: int) -> Sequence[Recorded]:
        """What was decided for a call."""
        return decisions_of(self.conn, task)

    def where(self, task: int) -> tuple[str, str | None, str]:
        """The queue, the pool and the model of a call."""
        row = self.conn.execute(
            "SELECT t.queue, p.name, t.input ->> 'model' FROM lmx.tasks t"
            " LEFT JOIN lmx.pools p ON p.id = t.pool_id WHERE t.id = %s",
            [task],
        ).fetchone()
        assert row is not None
        return row[0], row[1], row[2]

    def is_due(self) -> None:
        """Let the time pass after which calls that wait are looked at again."""
        self.conn.execute("UPDATE lmx.decisions SET again_at = now() WHERE again_at IS NOT NULL")

    def reroute(self) -> int:
        """Look at all calls that wait; returns how many have moved."""
        self.is_due()
        return reroute_due(self.conn)

    def take(self, queue: str) -> Lease:
        """Claim the one call that waits in a queue, whatever its pool says."""
        return self.hands.take(queue)


@pytest.fixture
def routes(
    database: Database, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Routes]:
    """All shipped cloud models, served by a worker that the test moves."""
    monkeypatch.setenv("LMX_HOME", str(tmp_path))
    found = Routes(database, client, tmp_path)
    yield found
    found.hands.close()

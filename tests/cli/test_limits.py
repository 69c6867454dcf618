"""`lmx limits` and `lmx breakers`: what is left, what waits, and how to go on."""

import json

from lmx.workflows.client import Client
from lmx.workflows.database.connect import Database
from lmx.workflows.operations import encode
from lmx.workflows.pools import PoolSpec, place_calls, put_pool
from lmx.workflows.providers.catalog import load_catalog
from lmx.workflows.providers.pricing import load_prices
from lmx.workflows.providers.publishing import publish
from lmx.workflows.sql import statement
from tests.support.command import Lmx

RPM = {"name": "requests/min", "of": "requests", "kind": "bucket", "limit": 1000}


def broken_pool(database: Database, client: Client) -> None:
    task = client.enqueue("generate", {"model": "m"}, queue="anthropic")
    with database.connect() as conn:
        pool = put_pool(conn, PoolSpec("anthropic", "anthropic", "default", "haiku", [RPM]))
        costs = {"requests": 1}
        place_calls(conn, [{"id": task, "pool_id": pool, "model": "m", "costs": costs}])
        kind = {"kind": "billing", "for_s": 90}
        conn.execute(
            "INSERT INTO lmx.pool_news (pool_id, kind, data) VALUES (%s, 'failed', %s)",
            [pool, json.dumps(kind)],
        )


def test_limits_show_what_is_left_and_what_waits(
    database: Database, client: Client, lmx: Lmx
) -> None:
    broken_pool(database, client)
    shown = lmx("limits").out.split("\t")
    assert shown[:7] == ["anthropic/default/haiku", "requests/min", "0", "1,000", "1,000", "1", "0"]


def test_a_breaker_is_shown_and_can_be_closed(database: Database, client: Client, lmx: Lmx) -> None:
    broken_pool(database, client)
    name, state, kind, probe, quality, _ = lmx("breakers").out.rstrip("\n").split("\t")
    assert quality == "closed"
    assert (name, state, kind) == ("anthropic/default/haiku", "open", "billing")
    assert 80 < float(probe.removesuffix(" s")) <= 90
    assert lmx("breakers", "--reset", name).code == 0
    assert lmx("breakers").out.split("\t")[1] == "closed"
    missing = lmx("breakers", "--reset", "nobody")
    assert missing.code == 2
    assert "no pool is called 'nobody'" in missing.err


def test_without_pools_one_line_says_how_to_get_some(lmx: Lmx) -> None:
    shown = lmx("limits")
    assert (shown.out, shown.code) == ("", 0)
    assert "ANTHROPIC_API_KEY" in shown.err


def test_a_prompt_goes_to_a_cloud_model_by_its_name(database: Database, lmx: Lmx) -> None:
    catalog = load_catalog()
    anthropic = [account for account in catalog.accounts if account.provider == "anthropic"]
    with database.connect() as conn:
        publish(conn, catalog, anthropic, load_prices())
    task = lmx("enqueue", "--model", "claude-haiku-5-5", "--budget", "0.01", "Count.").out.strip()
    with database.connect() as conn:
        queued = conn.execute(
            "SELECT queue, pool_id IS NOT NULL, input ->> 'model' FROM lmx.tasks WHERE id = %s",
            [task],
        ).fetchone()
    assert queued == ("anthropic", True, "claude-haiku-5-5")
    assert "claude-haiku-5-5" in lmx("models", "list").out
    refused = lmx("enqueue", "--model", "claude-haiku-5-5", "--budget", "0.0000001", "Count.")
    assert refused.code == 3
    assert lmx("enqueue", "--model", "nobody", "Count.").code == 2


def test_a_call_that_waits_for_money_says_so_and_until_when(database: Database, lmx: Lmx) -> None:
    catalog = load_catalog()
    with database.connect() as conn:
        publish(conn, catalog, catalog.accounts[:1], load_prices())
    task = lmx("enqueue", "--model", "claude-haiku-5-5", "Count.").out.strip()
    reason = "$4.99 spent and $0.00 held of $5.00 a day; until 2030-01-01 00:00 UTC"
    put_off = {"task": int(task), "until": 1_893_456_000, "reason": reason}
    with database.connect() as conn:
        conn.execute(statement("defer_calls"), {"calls": encode([put_off])})
    assert f"waiting: {reason}" in lmx("show", task).out
    limits = lmx("limits")
    assert f"1 call of anthropic/default/haiku waits for money: {reason}" in limits.err

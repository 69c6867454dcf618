"""Files of messages in the database: each once, as long as a task refers to it."""

import base64
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from lmx.workflows.attachments.kinds import recognise
from lmx.workflows.attachments.parts import File
from lmx.workflows.attachments.store import (
    attach,
    free_files,
    keep_files,
    list_files,
    load_files,
)
from lmx.workflows.client import Client
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import InvalidInput, NotFound
from lmx.workflows.providers.catalog import load_catalog
from lmx.workflows.providers.pricing import load_prices
from lmx.workflows.providers.publishing import publish
from tests.support.hands import Hands, until_blocked_by
from tests.support.media import pdf, png

MODEL = "claude-haiku-5-5"


@pytest.fixture
def conn(client: Client) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a database in which Anthropic's models are known."""
    catalog = load_catalog()
    accounts = [account for account in catalog.accounts if account.provider == "anthropic"]
    with client.database.connect() as conn:
        publish(conn, catalog, accounts, load_prices())
        conn.commit()
        conn.autocommit = True
        yield conn


def show(client: Client, *parts: dict[str, Any], **how: Any) -> int:
    content = [{"type": "text", "text": "What is it?"}, *parts]
    messages = [{"role": "user", "content": content}]
    return client.generate(model=MODEL, messages=messages, max_tokens=9, **how)


def image(data: bytes) -> dict[str, Any]:
    return {"type": "image", "data": base64.b64encode(data).decode()}


def test_a_file_is_kept_once_and_its_bytes_never_stand_in_the_task(
    client: Client, conn: psycopg.Connection[Any]
) -> None:
    tasks = [show(client, image(png()), image(png(9, 9))), show(client, image(png()))]
    assert sorted(file.tasks for file in list_files(conn)) == [1, 2]
    row = conn.execute("SELECT input FROM lmx.tasks WHERE id = %s", [tasks[1]]).fetchone()
    assert row is not None
    kept = row[0]["messages"][0]["content"][1]
    assert (kept["width"], kept["height"], kept["media_type"]) == (4, 3, "image/png")
    assert load_files(conn, [kept["sha256"]]) == {kept["sha256"]: png()}


def test_a_kept_file_is_sent_again_by_its_hash(
    client: Client, conn: psycopg.Connection[Any]
) -> None:
    show(client, image(png()))
    sha256 = list_files(conn)[0].sha256
    show(client, {"type": "image", "sha256": sha256, "width": 1, "size": 1})
    assert list_files(conn)[0].tasks == 2
    with pytest.raises(NotFound, match="no file with the sha256 000000000000"):
        show(client, {"type": "image", "sha256": "0" * 64})
    with pytest.raises(InvalidInput, match="send it as an image"):
        show(client, {"type": "file", "sha256": sha256})


def test_a_repeat_with_the_same_key_and_bytes_is_the_same_task(
    client: Client, conn: psycopg.Connection[Any]
) -> None:
    first = show(client, image(png()), idempotency_key="k")
    assert show(client, image(png()), idempotency_key="k") == first
    assert [file.tasks for file in list_files(conn)] == [1]


def test_a_refused_submission_keeps_nothing(client: Client, conn: psycopg.Connection[Any]) -> None:
    with pytest.raises(InvalidInput):
        show(client, image(png()), priority=10_000)
    assert list_files(conn) == []


def test_files_bound_the_hold_of_a_budget(client: Client, conn: psycopg.Connection[Any]) -> None:
    text = show(client, budget={"usd": 1_000_000_000})
    file = {"type": "file", "data": base64.b64encode(pdf(5)).decode()}
    large = show(client, file, budget={"usd": 1_000_000_000})
    query = "SELECT reserve FROM lmx.budgets WHERE task_id = ANY(%s) ORDER BY task_id"
    (few,), (many,) = conn.execute(query, [[text, large]]).fetchall()
    assert many - few >= 5 * 3_000 * 125  # pages, tokens, nano-dollars of a cached token


def test_files_go_when_their_runs_ended_long_ago(
    client: Client, conn: psycopg.Connection[Any]
) -> None:
    done, waits = show(client, image(png())), show(client, image(png(9, 9)))
    conn.execute(
        "UPDATE lmx.tasks SET state = 'succeeded', finished_at = now() - interval '2 days'"
        " WHERE id = %s",
        [done],
    )
    assert free_files(conn, 86_400) == (0, 0), "it was submitted a moment ago"
    conn.execute("UPDATE lmx.files SET seen_at = now() - interval '2 days'")
    assert free_files(conn, 86_400) == (1, len(png()))
    left = conn.execute("SELECT task_id FROM lmx.task_files").fetchall()
    assert left == [(waits,)]


def kept(conn: psycopg.Connection[Any], data: bytes) -> File:
    """A file that was stored long ago, and that no task refers to."""
    file = File(hashlib.sha256(data).hexdigest(), recognise(data, "it"), data)
    keep_files(conn, [file])
    conn.execute("UPDATE lmx.files SET seen_at = now() - interval '2 days'")
    return file


def test_a_file_that_is_about_to_be_used_again_is_not_freed(
    client: Client, conn: psycopg.Connection[Any]
) -> None:
    file = kept(conn, png())
    with client.database.connect() as submitting, submitting.transaction():
        keep_files(submitting, [file])
        assert free_files(conn, 0) == (0, 0)
        attach(submitting, 1, [file])
    assert [one.tasks for one in list_files(conn)] == [1]


def test_a_submission_behind_a_release_brings_the_bytes_again(
    client: Client, conn: psycopg.Connection[Any], database: Database
) -> None:
    file, holder, watcher = kept(conn, png()), Hands(database), Hands(database)

    def submit() -> None:
        with client.database.connect() as submitting, submitting.transaction():
            attach(submitting, 1, [file])

    with ThreadPoolExecutor(1) as pool:
        with holder.conn.transaction():
            assert free_files(holder.conn, 0) == (1, len(png()))
            behind = pool.submit(submit)
            until_blocked_by(holder, watcher)
        behind.result(timeout=20)
    assert [one.tasks for one in list_files(conn)] == [1]
    holder.close()
    watcher.close()


def test_a_route_chooses_a_model_that_reads_images(
    client: Client, conn: psycopg.Connection[Any]
) -> None:
    messages = [{"role": "user", "content": [image(png())]}]
    task = client.generate(route="bulk", messages=messages, max_tokens=9)
    row = conn.execute("SELECT model FROM lmx.calls WHERE task_id = %s", [task]).fetchone()
    assert row is not None and row[0].startswith("claude")
    assert [file.tasks for file in list_files(conn)] == [1]

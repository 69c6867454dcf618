"""A call by a route, through real workers and back, and its way around trouble."""

import pytest

from lmx.workflows.client import Client
from lmx.workflows.database.connect import Database
from lmx.workflows.routing.records import decisions_of
from lmx.workflows.routing.rules import FILE
from tests.support.rehearsed import FLASH, HAIKU, KEY, Rehearsed
from tests.support.workers import Workers

pytestmark = pytest.mark.leaves_open

ACCOUNTS = """
[[account]]
provider = "anthropic"
base_url = "{url}"
[[account]]
provider = "gemini"
base_url = "{url}"
"""
RULES = """
[[rule]]
name = "two"
route = "research"
models = ["claude-haiku-5-5", "gemini-3.8-flash"]
max_wait = "1s"
"""


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("overloaded", "the breaker is open (overload)"),
        ("unauthorized", "the provider refuses the key"),
    ],
)
def test_a_call_finds_its_way_around_a_provider_in_trouble_and_is_paid_where_it_ends(
    workers: Workers,
    database: Database,
    client: Client,
    rehearsed: Rehearsed,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    why: str,
) -> None:
    monkeypatch.setenv("LMX_HOME", str(workers.folder))
    (workers.folder / "providers.toml").write_text(ACCOUNTS.format(url=rehearsed.url))
    (workers.folder / FILE).write_text(RULES)
    rehearsed.fail({"kind": fault, "count": None, "model": HAIKU})
    keys = {"ANTHROPIC_API_KEY": KEY, "GEMINI_API_KEY": KEY, "LMX_HEARTBEAT_S": "0.3"}
    for worker in [workers.start(queue, **keys) for queue in ("anthropic", "gemini")]:
        workers.serving(worker)
    task = client.generate(
        route="research", prompt="Count.", max_tokens=50, budget={"usd": 1_000_000_000}
    )
    view = client.wait(task, timeout=30)
    assert view.state == "succeeded"
    assert view.output["model"] == FLASH
    with database.connect() as conn:
        first, second = decisions_of(conn, task)
        spent = conn.execute("SELECT spent, held FROM lmx.budgets").fetchone()
    assert (first.model, second.model) == (HAIKU, FLASH)
    assert why in second.why
    assert view.usage is not None
    assert spent == (view.usage["cost"], 0)

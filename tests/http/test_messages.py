"""Messages with images and files over HTTP."""

import base64
from typing import Any

import httpx2
import pytest

from lmx.workflows.database.connect import Database
from lmx.workflows.providers.catalog import load_catalog
from lmx.workflows.providers.pricing import load_prices
from lmx.workflows.providers.publishing import publish
from tests.support.command import register
from tests.support.hands import Hands
from tests.support.media import png

CLAUDE = "claude-haiku-5-5"
IMAGE = base64.b64encode(png()).decode()


@pytest.fixture(autouse=True)
def cloud(database: Database) -> None:
    """Anthropic's models are known."""
    catalog = load_catalog()
    accounts = [account for account in catalog.accounts if account.provider == "anthropic"]
    with database.connect() as conn:
        publish(conn, catalog, accounts, load_prices())


def post(api: httpx2.Client, *parts: dict[str, Any], model: str = CLAUDE) -> httpx2.Response:
    return api.post(
        "/v1/tasks", json={"model": model, "messages": [{"role": "user", "content": list(parts)}]}
    )


def test_an_image_is_kept_by_its_hash(api: httpx2.Client) -> None:
    mine, theirs = (
        post(api, {"type": "text", "text": "What is it?"}, part)
        for part in (
            {"type": "image", "data": IMAGE},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IMAGE}"}},
        )
    )
    inputs = [
        api.get(f"/v1/tasks/{answer.json()['id']}/input").json()["input"]
        for answer in (mine, theirs)
    ]
    assert inputs[0] == inputs[1]
    kept = inputs[0]["messages"][0]["content"][1]
    assert (kept["media_type"], kept["size"], "data" in kept) == ("image/png", len(png()), False)


def test_the_api_reads_no_files_of_its_machine(api: httpx2.Client) -> None:
    refused = post(api, {"type": "image", "path": "/etc/passwd"})
    assert refused.status_code == 422
    linked = post(api, {"type": "image", "url": "file:///etc/passwd"})
    assert linked.status_code == 400
    assert "must be an http or https address" in linked.json()["detail"]


def test_an_image_that_nobody_can_read_is_refused_in_one_line(
    api: httpx2.Client, hands: Hands
) -> None:
    damaged = post(api, {"type": "image", "data": base64.b64encode(png()[:12]).decode()})
    assert (damaged.status_code, "damaged" in damaged.json()["detail"]) == (400, True)
    local = post(api, {"type": "image", "data": IMAGE}, model=register(hands, "tiny"))
    assert (local.status_code, "text only" in local.json()["detail"]) == (400, True)

"""A task in words."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from lmx.api.cli.describe import activity, event_text
from lmx.workflows.client import Client
from lmx.workflows.views import EventView, get_task
from tests.support.hands import Hands


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        ({"phase": "decode", "tokens": 29}, "writing, 29 tokens so far"),
        ({"phase": "asked", "model": "claude"}, "asking the provider"),
        ({"phase": "answering", "tokens": 7}, "writing, 7 tokens so far"),
        ({"phase": "answering", "tokens": 0}, "writing"),
        (None, "running"),
    ],
)
def test_a_call_says_how_far_it_is(client: Client, hands: Hands, progress: Any, words: str) -> None:
    hands.submit(role="worker")
    lease = hands.take()
    hands.conn.execute(
        "UPDATE lmx.tasks SET progress = %s::jsonb WHERE id = %s",
        [None if progress is None else json.dumps(progress), lease.task_id],
    )
    assert activity(get_task(client.database, lease.task_id)) == words


def test_what_a_provider_said_is_told_as_it_is() -> None:
    said = {"message": "the provider cannot be reached: no such host"}
    event = EventView(1, datetime.now(UTC), 1, "generate", None, "spend_cap", said)
    assert event_text(event) == "spend cap: the provider cannot be reached: no such host"

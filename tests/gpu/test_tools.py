"""Model calls with tools: from the submission to the calls in the result."""

import json
from pathlib import Path
from typing import Any

import pytest

from lmx.workflows.client import Client
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import InvalidInput
from lmx.workflows.models import Model
from lmx.workflows.views import get_task
from tests.engine.conftest import chat_service
from tests.gpu.conftest import CALL, StartWorker, register
from tests.support.templates import HERMES
from tests.support.tiny import write_tiny_model

__all__ = ["chat_service"]

TOOL = {
    "type": "function",
    "function": {
        "name": "paint",
        "parameters": {
            "type": "object",
            "properties": {"colour": {"enum": ["red", "blue"]}},
            "required": ["colour"],
        },
    },
}
ASKED = [{"role": "user", "content": "Paint it."}]


@pytest.fixture
def painter(database: Database, tmp_path: Path) -> Model:
    """A tiny model whose chat template knows tools."""
    path = write_tiny_model(tmp_path / "painter.gguf", "qwen3", chat_template=HERMES)
    return register(database, "painter", path)


def test_a_call_that_must_be_made_comes_back_with_arguments_of_its_schema(
    client: Client, painter: Model, start_worker: StartWorker, database: Database
) -> None:
    start_worker(2**30)
    options: dict[str, Any] = {**CALL, "max_tokens": 170, "n_ctx": 512}
    task = client.generate(
        model="painter", messages=ASKED, tools=[TOOL], tool_choice="required", **options
    )
    output = client.result(task, 60)
    [call] = output["tool_calls"]
    assert output["finish_reason"] == "tool_calls"
    assert call["function"]["name"] == "paint"
    assert json.loads(call["function"]["arguments"])["colour"] in ("red", "blue")
    assert get_task(database, task).usage["reasoning_tokens"] == 0
    turns = [
        *ASKED,
        {"role": "assistant", "content": output["text"], "tool_calls": output["tool_calls"]},
        {"role": "tool", "tool_call_id": call["id"], "content": "done"},
    ]
    again = client.generate(model="painter", messages=turns, tools=[TOOL], n_ctx=512, **CALL)
    assert client.result(again, 60)["text"]


@pytest.mark.usefixtures("painter")
@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"prompt": "Paint it.", "tools": [TOOL]}, "tools need messages"),
        ({"messages": ASKED, "tools": [{}]}, "a tool must be"),
        ({"messages": ASKED, "tools": [TOOL], "tool_choice": "draw"}, "tool_choice is 'draw'"),
        ({"messages": ASKED, "tool_choice": "required"}, "there are no tools"),
        ({"messages": [{"role": "tool", "content": None}]}, "needs a text"),
        ({"messages": ASKED, "thinking": "no"}, "thinking is 'no'"),
        ({"messages": ASKED, "logit_bias": {"x": 1}}, "logit_bias must be"),
    ],
)
def test_malformed_tools_and_options_are_refused_at_submission(
    client: Client, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        client.generate(model="painter", **options)

"""`lmx up`, `status`, `down`: the whole installation, with the real model."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import Lmx
from tests.support.models import shipped_model

FLOW = str(Path(__file__).with_name("flow.py"))


@pytest.fixture
def up(lmx: Lmx, monkeypatch: pytest.MonkeyPatch, free_port: int) -> Iterator[Lmx]:
    """A command whose installation runs in the background, with the shipped model as `smol`."""
    monkeypatch.setenv("LMX_API_PORT", str(free_port))
    monkeypatch.setenv("LMX_VRAM_CAP", "400MiB")
    monkeypatch.setenv("LMX_WORKFLOWS", FLOW)
    assert lmx("models", "add", shipped_model(), "--name", "smol", "--n-ctx", 512).code == 0
    assert lmx("up", "--detach").code == 0
    yield lmx
    lmx("down")


def test_status_is_code_5_while_nothing_runs(lmx: Lmx) -> None:
    result = lmx("status")
    assert result.code == 5
    assert "lmx is not running; start it: lmx up" in result.out
    assert lmx("down").err == "lmx: nothing was running\n"


def test_a_prompt_is_answered_from_end_to_end(up: Lmx) -> None:
    options = ["--max-tokens", "8", "--seed", "1", "--temperature", "0"]
    first = up("enqueue", "Say hello", *options, "--wait", "--timeout", "60")
    assert first.code == 0, first.err
    assert first.out.strip()
    again = up("enqueue", "Say hello", *options, "--wait", "--timeout", "60", "--json").json
    assert again["output"]["text"].strip() == first.out.strip()
    assert again["usage"]["completion_tokens"] <= 8

    status = up("status", "--json")
    assert status.code == 0
    running = {child["name"] for child in status.json["children"] if child["state"] == "running"}
    assert running == {"api", "coordinator", "default", "gpu"}
    assert "of 400 MiB booked" in up("vram").out

    too_long = up("enqueue", "word " * 600, "--max-tokens", "8", "--wait", "--timeout", "60")
    assert (too_long.code, too_long.err.count("\n")) == (1, 1)

    assert up("up", "--detach").code == 3
    assert up("down").code == 0
    assert up("status").code == 5


def test_a_taken_port_is_one_line_and_starts_nothing(
    lmx: Lmx, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("LMX_API_PORT", str(taken.getsockname()[1]))
        refused = lmx("up")
    assert (refused.code, refused.err.count("\n")) == (5, 1)
    assert "is already in use by another program" in refused.err
    assert lmx("status").code == 5


def test_a_workflow_file_that_is_missing_is_told_at_the_start(
    lmx: Lmx, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    monkeypatch.setenv("LMX_API_PORT", str(free_port))
    monkeypatch.setenv("LMX_WORKFLOWS", "/none/flow.py")
    started = lmx("up", "--detach")
    assert lmx("down").code == 0
    assert started.code == 0
    assert "lmx: coordinator does not serve yet: " in started.err
    assert "the workflow file /none/flow.py does not exist" in started.err


def test_what_is_up_knows_its_workflows(up: Lmx) -> None:
    result = up("run", "doubled", 21, "--wait", "--timeout", "30")
    assert (result.code, result.out) == (0, "42\n")

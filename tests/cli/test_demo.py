"""The demo: two of three models fit, and no completed call is repeated after a crash."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmx.api.demo.cap import choose_cap
from lmx.api.demo.memory import DeviceWatch
from lmx.api.demo.records import CallRecord, repeated
from lmx.api.demo.stage import Stage, demo_home, prepare_stage
from lmx.api.supervisor.state import only_supervisor, running_pid
from lmx.workflows.config import Settings
from lmx.workflows.devices import Booking, Device
from lmx.workflows.errors import Conflict, InvalidInput
from tests.support.postgres import remove_home
from tests.support.processes import ROOT

NEEDS = st.lists(st.integers(min_value=4, max_value=2**50), min_size=3, max_size=3)


@given(NEEDS)
def test_any_two_models_fit_under_the_cap_and_all_three_do_not(needs: list[int]) -> None:
    cap = choose_cap(needs)
    assert all(sum(pair) <= cap for pair in combinations(needs, 2))
    assert sum(needs) > cap


@pytest.mark.parametrize("needs", [[], [1, 2], [1, 2, 0]])
def test_a_cap_needs_three_models(needs: list[int]) -> None:
    with pytest.raises(InvalidInput):
        choose_cap(needs)


def record(state: str, **changes: object) -> CallRecord:
    at = datetime(2030, 1, 1, tzinfo=UTC)
    done = CallRecord(1, "coder", state, 1, at, at, "digest", 1)
    return replace(done, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("changes", [{"claims": 2}, {"charges": 2}, {"digest": "other"}])
def test_a_completed_call_that_was_touched_again_counts_as_repeated(
    changes: dict[str, object],
) -> None:
    before = {1: record("succeeded")}
    assert repeated(before, {1: record("succeeded")}) == []
    assert repeated(before, {1: record("succeeded", **changes)}) == ["coder"]


def test_a_call_that_was_cut_off_may_run_again() -> None:
    assert repeated({1: record("leased")}, {1: record("succeeded", claims=2)}) == []


def device(used: int, totals: dict[str, Any]) -> Device:
    booked = (Booking("a.gguf", "weights", used, None),)
    at = datetime(2030, 1, 1, tzinfo=UTC)
    return Device(1, "host", "cpu", 100, True, at, booked, (), {"totals": totals})


def totals(requests: int, swaps: int) -> dict[str, Any]:
    moved = {"out": swaps, "into": swaps, "out_bytes": 0, "in_bytes": 0, "out_s": 0, "in_s": 0}
    return {"requests": requests, "evictions": swaps, "cached_tokens": 10 * swaps, "swaps": moved}


def test_turns_are_counted_over_all_engines_of_a_run() -> None:
    memory = DeviceWatch()
    for used, said in (
        (40, totals(2, 1)),
        (90, totals(5, 3)),
        (20, totals(1, 0)),
        (30, totals(3, 2)),
    ):
        memory.take(device(used, said))
    assert memory.fullest is not None
    assert memory.fullest.used == 90
    assert memory.turns().startswith("5 sessions swapped out and 5 in")
    assert "50 prompt tokens not computed again" in memory.turns()


def test_a_second_demo_beside_a_running_one_is_refused(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with (
        only_supervisor(demo_home(settings)),
        pytest.raises(Conflict, match=f"another demo is running \\(pid {os.getpid()}\\)"),
    ):
        prepare_stage(settings, 1)


@pytest.fixture
def demo_settings(home: Path) -> Iterator[Settings]:
    """Settings for a demo, of which nothing is left behind."""
    settings = Settings(home=home)
    yield settings
    stage = Stage(replace(settings, home=demo_home(settings)))
    stage.kill()
    remove_home(stage.settings.home)


def test_the_demo_survives_the_death_of_all_its_processes(demo_settings: Settings) -> None:
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "lmx.api.cli", "demo", "--crash"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "LMX_HOME": str(demo_settings.home), "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "waiting for memory: needs" in done.stdout
    assert "kill -9" in done.stdout
    assert "the device at its fullest" in done.stdout
    assert "MiB booked" in done.stdout
    assert "sessions swapped out" in done.stdout
    assert "no completed call was repeated" in done.stdout
    assert "every charge adds up to its budget" in done.stdout
    assert done.stderr == ""
    assert running_pid(demo_home(demo_settings)) is None

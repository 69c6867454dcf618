"""What is booked on the devices, for programs and for Prometheus."""

import re
from collections.abc import Iterator

import httpx2
import pytest

from lmx.api.http.metrics import CONTENT_TYPE, exposition
from lmx.workflows.database.connect import Connection, Database
from lmx.workflows.operations import encode
from lmx.workflows.views import QueueView
from tests.support.devices import BUSY, HOLDS, MIB, device, snapshot
from tests.support.hands import Hands

# A line of the text format, as its specification has it.
_LINE = re.compile(
    r'(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+\{([a-z_]+="([^"\\\n]|\\.)*",?)*\} -?[0-9.e+-]+)'
)


@pytest.fixture
def served(hands: Hands, database: Database) -> Iterator[Connection]:
    """A device with a model and a hold, served by the test's worker."""
    with database.connect() as conn:
        conn.execute(
            "INSERT INTO lmx.devices (host, name, cap_bytes, worker_id, snapshot)"
            " VALUES ('desk', 'cuda:0', 1000, %s, %s::jsonb)",
            [hands.worker, encode(snapshot())],
        )
        conn.execute(
            "INSERT INTO lmx.vram_leases (device_id, holder, kind, bytes)"
            " SELECT id, 'model', 'weights', 600 FROM lmx.devices"
        )
        conn.execute(
            "INSERT INTO lmx.vram_holds"
            " (device_id, command, bytes, host, boot_id, pid, pid_started, expires_at)"
            " SELECT id, 'train', 900, 'desk', 'x', 1, 0, now() FROM lmx.devices"
        )
        yield conn


@pytest.mark.usefixtures("served")
def test_the_devices_show_who_holds_their_memory(api: httpx2.Client) -> None:
    (found,) = api.get("/v1/devices").json()["devices"]
    assert (found["cap"], found["used"], found["free"]) == (1000, 600, 400)
    assert found["by_kind"] == {"weights": 600}
    assert [(hold["command"], hold["granted"]) for hold in found["holds"]] == [("train", False)]
    assert found["snapshot"]["rates"]["batch"] == 1.9


@pytest.mark.usefixtures("served")
def test_prometheus_can_read_the_metrics(api: httpx2.Client) -> None:
    answer = api.get("/metrics")
    assert answer.headers["content-type"] == CONTENT_TYPE
    lines = answer.text.splitlines()
    assert all(_LINE.fullmatch(line) for line in lines)
    assert 'lmx_device_booked_bytes{host="desk",device="cuda:0",kind="weights"} 600' in lines
    assert 'lmx_engine_completion_tokens_total{host="desk",device="cuda:0"} 1234' in lines
    assert 'lmx_device_temperature_celsius{host="desk",device="cuda:0"} 61' in lines
    assert any(line.startswith('lmx_queue_tasks{queue="work",state="ready"}') for line in lines)


def test_each_metric_is_explained_once_and_no_sample_comes_twice() -> None:
    queue = QueueView('a "b"\n\\', paused=False, ready=3, leased=0, scheduled=0, shelved=0)
    text = exposition([device(*BUSY, holds=HOLDS)], [queue], [])
    assert text.endswith("\n")
    lines = text.splitlines()
    assert all(_LINE.fullmatch(line) for line in lines)
    assert len(lines) == len(set(lines))
    assert 'lmx_queue_tasks{queue="a \\"b\\"\\n\\\\",state="ready"} 3' in lines
    assert f'kind="foreign"}} {200 * MIB}' in text


def test_streaming_and_swaps_can_be_followed() -> None:
    lines = exposition([device(*BUSY)], [], []).splitlines()
    where = 'host="desk",device="cuda:0"'
    model = f'{where},model="/models/small.gguf"'
    assert f'lmx_model_layers{{{model},state="resident"}} 4' in lines
    assert f'lmx_model_layers{{{model},state="streamed"}} 2' in lines
    assert f"lmx_model_stream_slots{{{model}}} 2" in lines
    assert f"lmx_engine_streamed_bytes_total{{{where}}} {700 * MIB}" in lines
    assert f"lmx_engine_stream_copy_seconds_total{{{where}}} 2.5" in lines
    assert f'lmx_engine_swap_seconds_total{{{where},direction="out"}} 0.5' in lines


def test_rates_and_the_causes_of_evictions_can_be_followed() -> None:
    lines = exposition([device(*BUSY)], [], []).splitlines()
    told = {
        name: float(value)
        for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")
    }

    def of(metric: str, **label: str) -> float:
        [(name, value)] = label.items()
        return told[f'lmx_engine_{metric}{{host="desk",device="cuda:0",{name}="{value}"}}']

    assert of("tokens_per_second", phase="decode") == 96.4
    assert of("tokens_per_second", phase="prefill") == 801.2
    assert of("copy_bytes_per_second", copy="swap_out") == 5.1e9
    causes = ("request", "hold", "layers")
    assert [of("evictions_total", cause=cause) for cause in causes] == [4, 2, 1]


def test_what_a_dead_worker_said_is_no_measurement() -> None:
    text = exposition([device(alive=False)], [], [])
    assert "lmx_device_served" in text
    assert "lmx_engine" not in text
    assert "temperature" not in text

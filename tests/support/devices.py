"""Devices for tests of what is shown of them."""

from datetime import UTC, datetime
from typing import Any

from lmx.workflows.devices import Booking, Device
from lmx.workflows.holds import Hold

MIB = 2**20


def snapshot(**more: Any) -> dict[str, Any]:
    """What a worker says of a busy engine, in the parts that are shown."""
    return {
        "uptime_s": 100.0,
        "models": [
            {
                "id": "/models/small.gguf",
                "bytes": 400 * MIB,
                "pinned": False,
                "idle_s": 2,
                "streaming": {
                    "layers": 6,
                    "resident_layers": 4,
                    "slots": 2,
                    "slot_bytes": 20 * MIB,
                    "copied_bytes": 700 * MIB,
                    "passes": 35,
                    "copy_gb_per_s": 12.34,
                    "wait_share": 0.08,
                },
            }
        ],
        "contexts": [
            {
                "model": "/models/small.gguf",
                "n_ctx": 2048,
                "slots": 4,
                "active": 2,
                "parked": 1,
                "kv_bytes": 90 * MIB,
                "compute_bytes": 10 * MIB,
            }
        ],
        "requests": [{"phase": "generating"}, {"phase": "generating"}, {"phase": "queued"}],
        "events": [
            {
                "at_s": 88.0,
                "kind": "evict",
                "subject": "/models/large.gguf",
                "bytes": 700 * MIB,
                "reason": "to make room for request 7",
            }
        ],
        "totals": {
            "completion_tokens": 1234,
            "evictions": 7,
            "evictions_for_holds": 2,
            "evictions_for_layers": 1,
            "swaps": {"out_bytes": 5, "in_bytes": 6, "out_s": 0.5, "in_s": 0.25},
            "streamed_bytes": 700 * MIB,
            "stream_copy_s": 2.5,
        },
        "rates": {
            "window_s": 9.8,
            "prefill_tokens_per_s": 801.2,
            "completion_tokens_per_s": 96.4,
            "batch": 1.9,
            "busy": 0.93,
            "swap_out_bytes_per_s": 5.1e9,
            "swap_in_bytes_per_s": 0.0,
        },
        "memory": {"source": "driver", "used": 1150 * MIB},
        "gpu": {"name": "Pretend GPU", "temperature": 61, "utilisation": 87},
        **more,
    }


def device(
    *bookings: Booking, cap: int = 1000 * MIB, alive: bool = True, holds: tuple[Hold, ...] = ()
) -> Device:
    """A device with these bookings."""
    seen = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    return Device(1, "desk", "cuda:0", cap, alive, seen, bookings, holds, snapshot())


BUSY = (
    Booking("/models/small.gguf", "weights", 400 * MIB, None),
    Booking("context 1", "kv", 90 * MIB, None),
    Booking("context 1", "compute", 10 * MIB, None),
    Booking("game (77)", "foreign", 100 * MIB, None),
    Booking("hold: 3 train", "foreign", 100 * MIB, None),
    Booking("task:9", "claimed", 50 * MIB, 9),
)
HOLDS = (
    Hold(3, "train", 100 * MIB, True, "desk", 41, 65.0),
    Hold(4, "render", 900 * MIB, False, "desk", 42, 5.0),
)

"""The shape of a snapshot: plain values that can be shown or sent as JSON. Sizes are bytes."""

from __future__ import annotations

from typing import TypedDict


class LedgerEntry(TypedDict):
    holder: str
    kind: str
    bytes: int


class ModelView(TypedDict):
    id: str
    path: str
    bytes: int
    references: int
    pinned: bool
    idle_s: float
    load_s: float


class ContextView(TypedDict):
    id: str
    model: str
    n_ctx: int
    slots: int
    active: int
    parked: int
    kv_bytes: int
    compute_bytes: int
    idle_s: float


class RequestView(TypedDict):
    id: int
    model: str
    phase: str
    wait_s: float
    age_s: float
    prompt_tokens: int
    completion_tokens: int


class HoldView(TypedDict):
    """Bytes for something outside of the engine; ``wait_s`` while they are not granted."""

    holder: str
    bytes: int
    granted: bool
    wait_s: float


class Event(TypedDict):
    """``kind``: load, context, context_failed, evict or hold; ``at_s`` since the start."""

    at_s: float
    kind: str
    subject: str
    bytes: int
    reason: str


class Totals(TypedDict):
    requests: int
    finished: int
    evictions: int
    decodes: int
    decoded_sequences: int
    prefill_tokens: int
    completion_tokens: int
    busy_s: float
    overhead_s: float
    tokens_per_s: float


class Rates(TypedDict):
    """Of the last ``window_s`` seconds: ``batch`` is the mean of the sequences of a decode,
    ``busy`` the share of the time spent in decodes."""

    window_s: float
    prefill_tokens_per_s: float
    completion_tokens_per_s: float
    decodes_per_s: float
    batch: float
    busy: float


class Snapshot(TypedDict):
    """``in_use`` is what the driver says is used by everybody; None on a CPU."""

    device: str
    in_use: int | None
    cap: int
    used: int
    free: int
    by_kind: dict[str, int]
    ledger: list[LedgerEntry]
    models: list[ModelView]
    contexts: list[ContextView]
    requests: list[RequestView]
    holds: list[HoldView]
    events: list[Event]
    totals: Totals
    rates: Rates

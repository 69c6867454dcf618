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


class Event(TypedDict):
    """``kind`` is "load", "context", "context_failed" or "evict"; ``at_s`` since the start."""

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
    prefill_tokens: int
    completion_tokens: int
    busy_s: float
    tokens_per_s: float


class Snapshot(TypedDict):
    device: str
    cap: int
    used: int
    free: int
    by_kind: dict[str, int]
    ledger: list[LedgerEntry]
    models: list[ModelView]
    contexts: list[ContextView]
    requests: list[RequestView]
    events: list[Event]
    totals: Totals

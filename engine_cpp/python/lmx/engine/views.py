"""The shape of a snapshot: plain values that can be shown or sent as JSON. Sizes are bytes."""

from __future__ import annotations

from typing import TypedDict


class LedgerEntry(TypedDict):
    holder: str
    kind: str
    bytes: int


class StreamView(TypedDict):
    """How a model's layers have been streamed since it was loaded.

    Of ``layers`` that can be, ``resident_layers`` stay; the others are in ``host_bytes`` of host
    memory and pass through ``slots`` of ``slot_bytes`` in all. ``passes`` over the model copied
    ``copied_bytes``; for ``wait_share`` of their time, decodes waited for copies.
    """

    layers: int
    resident_layers: int
    slots: int
    slot_bytes: int
    host_bytes: int
    copied_bytes: int
    passes: int
    copy_gb_per_s: float
    wait_share: float


class ModelView(TypedDict):
    id: str
    path: str
    bytes: int
    references: int
    pinned: bool
    idle_s: float
    load_s: float
    streaming: StreamView | None


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


class SwapTotals(TypedDict):
    """Sequences copied out of a slot and into one; ``copies`` went from one slot to another.

    ``refused`` left their slot and were lost, because the host had no room for them.
    """

    out: int
    into: int
    copies: int
    refused: int
    out_bytes: int
    in_bytes: int
    out_s: float
    in_s: float


class SavedView(TypedDict):
    """A sequence that is in no slot; ``where`` is "ram" or "disk"."""

    session: str
    tokens: int
    bytes: int
    where: str
    on_disk: bool
    idle_s: float


class HostView(TypedDict):
    """Host memory and files for what is in no slot. ``lost_to_*`` count sequences."""

    cap: int
    used: int
    by_kind: dict[str, int]
    ledger: list[LedgerEntry]
    saved_bytes: int
    disk_bytes: int
    disk_limit: int
    disk_usable: bool
    writing: int
    spills: int
    spill_failures: int
    restores: int
    damaged: int
    lost_to_ram: int
    lost_to_disk: int
    saved: list[SavedView]


class Totals(TypedDict):
    """Since the engine started. Evictions are for requests, unless for holds, or to load a streamed
    model with more of its layers."""

    swaps: SwapTotals
    cached_tokens: int
    suspensions: int
    requests: int
    finished: int
    evictions: int
    evictions_for_holds: int
    evictions_for_layers: int
    decodes: int
    decoded_sequences: int
    prefill_tokens: int
    completion_tokens: int
    busy_s: float
    overhead_s: float
    streamed_bytes: int
    stream_copy_s: float
    tokens_per_s: float


class Rates(TypedDict):
    """Of the last ``window_s`` seconds: ``batch`` is the mean of the sequences of a decode,
    ``busy`` the share of the time spent in decodes; swaps and streaming: the speed
    of the copies."""

    window_s: float
    prefill_tokens_per_s: float
    completion_tokens_per_s: float
    decodes_per_s: float
    batch: float
    busy: float
    swap_out_bytes_per_s: float
    swap_in_bytes_per_s: float
    stream_bytes_per_s: float


class Snapshot(TypedDict):
    """``in_use`` is what the driver says is used by everybody; None on a CPU."""

    device: str
    uptime_s: float
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
    host: HostView

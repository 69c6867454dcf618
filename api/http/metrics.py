"""The same numbers as `lmx vram` and `lmx status`, as Prometheus reads them (text format 0.0.4)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from lmx.workflows.allowances.rules import AllowanceView
from lmx.workflows.devices import Device
from lmx.workflows.money import NANO, USD
from lmx.workflows.views import QueueView, WorkerView

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_TOTALS: Final = (
    ("requests", "requests", "Requests that the engine was given."),
    ("finished", "requests_finished", "Requests that have ended."),
    ("decodes", "decodes", "Decodes."),
    ("decoded_sequences", "decoded_sequences", "Sequences, summed over the decodes."),
    ("prefill_tokens", "prefill_tokens", "Prompt tokens that were computed."),
    ("cached_tokens", "cached_tokens", "Prompt tokens that needed no computing."),
    ("completion_tokens", "completion_tokens", "Tokens that were generated."),
    ("suspensions", "suspensions", "Requests that were suspended for others."),
    ("streamed_bytes", "streamed_bytes", "Bytes of layers copied to the device."),
    ("stream_copy_s", "stream_copy_seconds", "Time that copies of layers took."),
    ("busy_s", "busy_seconds", "Time spent in decodes."),
    ("overhead_s", "overhead_seconds", "Time of the scheduler itself beside decodes."),
)


_RATES: Final = (
    ("prefill_tokens_per_s", "tokens_per_second", "phase", "prefill"),
    ("completion_tokens_per_s", "tokens_per_second", "phase", "decode"),
    ("swap_out_bytes_per_s", "copy_bytes_per_second", "copy", "swap_out"),
    ("swap_in_bytes_per_s", "copy_bytes_per_second", "copy", "swap_in"),
    ("stream_bytes_per_s", "copy_bytes_per_second", "copy", "stream"),
)


@dataclass(slots=True)
class Metric:
    """One metric; `samples` are labels with a value."""

    name: str
    kind: Literal["gauge", "counter"]
    help: str
    samples: list[tuple[Mapping[str, Any], float]] = field(default_factory=list)

    def add(self, value: float | None, **labels: Any) -> None:
        """Add a sample, unless there is no value."""
        if value is not None:
            self.samples.append((labels, value))

    def lines(self) -> Iterator[str]:
        """The metric as text; nothing without samples."""
        if not self.samples:
            return
        yield f"# HELP {self.name} {self.help}"
        yield f"# TYPE {self.name} {self.kind}"
        for labels, value in self.samples:
            shown = ",".join(f'{name}="{_escaped(label)}"' for name, label in labels.items())
            yield f"{self.name}{{{shown}}} {float(value):.17g}"


def exposition(
    devices: Sequence[Device],
    queues: Iterable[QueueView],
    workers: Iterable[WorkerView],
    allowances: Iterable[AllowanceView] = (),
) -> str:
    """All metrics as one text."""
    engines = [*_of_engines(devices), *_of_rates(devices), _of_evictions(devices)]
    metrics = [*_of_devices(devices), *engines, *_of_tasks(queues, workers)]
    metrics.append(_of_allowances(allowances))
    return "".join(f"{line}\n" for metric in metrics for line in metric.lines())


def _of_devices(devices: Sequence[Device]) -> list[Metric]:
    up = Metric("lmx_device_served", "gauge", "Whether a worker serves the device.")
    cap = Metric("lmx_device_cap_bytes", "gauge", "Bytes that may be booked.")
    booked = Metric("lmx_device_booked_bytes", "gauge", "Bytes booked, by kind.")
    used = Metric("lmx_device_in_use_bytes", "gauge", "Bytes in use by another count.")
    warmth = Metric("lmx_device_temperature_celsius", "gauge", "Temperature of the GPU.")
    load = Metric("lmx_device_utilization_ratio", "gauge", "Share of the time the GPU was busy.")
    held = Metric("lmx_device_hold_bytes", "gauge", "Bytes held, or waited for, for a command.")
    for device in devices:
        where = _where(device)
        up.add(device.alive, **where)
        cap.add(device.cap, **where)
        for kind, size in sorted(device.by_kind.items()):
            booked.add(size, **where, kind=kind)
        for hold in device.holds:
            state = "granted" if hold.granted else "waiting"
            held.add(hold.bytes, **where, command=hold.command, hold=hold.id, state=state)
        snapshot = _live(device)
        if memory := snapshot.get("memory"):
            used.add(memory["used"], **where, source=memory["source"])
        gpu = snapshot.get("gpu") or {}
        warmth.add(gpu.get("temperature"), **where)
        busy = gpu.get("utilisation")
        load.add(None if busy is None else busy / 100, **where)
    return [up, cap, booked, used, warmth, load, held]


def _of_engines(devices: Sequence[Device]) -> list[Metric]:
    totals = {
        key: Metric(f"lmx_engine_{name}_total", "counter", text) for key, name, text in _TOTALS
    }
    swapped = Metric("lmx_engine_swapped_bytes_total", "counter", "Bytes of sequences copied.")
    swapping = Metric("lmx_engine_swap_seconds_total", "counter", "Time that these copies took.")
    layers = Metric("lmx_model_layers", "gauge", "Layers of a streamed model, by where they are.")
    slots = Metric("lmx_model_stream_slots", "gauge", "Slots that streamed layers pass through.")
    phases = Metric("lmx_engine_requests", "gauge", "Requests in the engine, by phase.")
    host = Metric("lmx_engine_host_booked_bytes", "gauge", "Bytes of host memory booked, by kind.")
    disk = Metric("lmx_engine_disk_bytes", "gauge", "Bytes of saved sessions on disk.")
    for device in devices:
        where, snapshot = _where(device), _live(device)
        counts = snapshot.get("totals", {})
        for key, metric in totals.items():
            metric.add(counts.get(key), **where)
        swaps = counts.get("swaps", {})
        swapped.add(swaps.get("out_bytes"), **where, direction="out")
        swapped.add(swaps.get("in_bytes"), **where, direction="in")
        swapping.add(swaps.get("out_s"), **where, direction="out")
        swapping.add(swaps.get("in_s"), **where, direction="in")
        for model in snapshot.get("models", ()):
            if streaming := model.get("streaming"):
                resident = streaming["resident_layers"]
                layers.add(resident, **where, model=model["id"], state="resident")
                streamed = streaming["layers"] - resident
                layers.add(streamed, **where, model=model["id"], state="streamed")
                slots.add(streaming["slots"], **where, model=model["id"])
        found: dict[str, int] = {}
        for request in snapshot.get("requests", ()):
            found[request["phase"]] = found.get(request["phase"], 0) + 1
        for phase, count in sorted(found.items()):
            phases.add(count, **where, phase=phase)
        kept = snapshot.get("host") or {}
        for kind, size in kept.get("by_kind", {}).items():
            host.add(size, **where, kind=kind)
        disk.add(kept.get("disk_bytes"), **where)
    return [*totals.values(), swapped, swapping, layers, slots, phases, host, disk]


def _of_rates(devices: Sequence[Device]) -> list[Metric]:
    """What `lmx vram` shows of the last seconds."""
    tokens = Metric("lmx_engine_tokens_per_second", "gauge", "Tokens per second, of the last ten.")
    copies = Metric(
        "lmx_engine_copy_bytes_per_second",
        "gauge",
        "Speed of swaps and of streaming while they copied in the last ten seconds.",
    )
    batch = Metric("lmx_engine_batch_sequences", "gauge", "Sequences of a decode, on average.")
    metrics = {"tokens_per_second": tokens, "copy_bytes_per_second": copies}
    for device in devices:
        where, rates = _where(device), _live(device).get("rates", {})
        for key, name, label, value in _RATES:
            metrics[name].add(rates.get(key), **where, **{label: value})
        batch.add(rates.get("batch"), **where)
    return [tokens, copies, batch]


def _of_evictions(devices: Sequence[Device]) -> Metric:
    text = "Models and contexts that were evicted, by whom they made room for."
    evicted = Metric("lmx_engine_evictions_total", "counter", text)
    for device in devices:
        where, totals = _where(device), _live(device).get("totals", {})
        if "evictions" not in totals:
            continue
        others = {"hold": "evictions_for_holds", "layers": "evictions_for_layers"}
        counts = {cause: totals.get(key, 0) for cause, key in others.items()}
        evicted.add(totals["evictions"] - sum(counts.values()), **where, cause="request")
        for cause, count in counts.items():
            evicted.add(count, **where, cause=cause)
    return evicted


def _of_allowances(allowances: Iterable[AllowanceView]) -> Metric:
    amounts = Metric("lmx_allowance", "gauge", "An allowance in its period: dollars, or its unit.")
    for view in allowances:
        scale = NANO if view.unit == USD else 1
        labels = {"scope": view.scope, "unit": view.unit, "per": view.per}
        for state in ("ceiling", "spent", "held"):
            amounts.add(getattr(view, state) / scale, **labels, state=state)
    return amounts


def _of_tasks(queues: Iterable[QueueView], workers: Iterable[WorkerView]) -> list[Metric]:
    tasks = Metric("lmx_queue_tasks", "gauge", "Tasks of a queue that are not finished.")
    for queue in queues:
        for state in ("ready", "leased", "scheduled", "shelved"):
            tasks.add(getattr(queue, state), queue=queue.name, state=state)
    alive = Metric("lmx_worker_alive", "gauge", "Whether a worker's lease is valid.")
    for worker in workers:
        alive.add(worker.alive, worker=worker.id, name=worker.name, host=worker.host)
    return [tasks, alive]


def _where(device: Device) -> dict[str, str]:
    return {"host": device.host, "device": device.name}


def _live(device: Device) -> Mapping[str, Any]:
    """The snapshot of a device that is served; what a dead worker said is no measurement."""
    return device.snapshot if device.alive and device.snapshot else {}


def _escaped(label: object) -> str:
    return str(label).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

"""Nobody starves: a device that does what the planner says, under arrivals at random."""

import random
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from lmx.engine import Job, Resident, StreamNeeds, plan

CAP, HOST = 100, 120
PATIENCE = 8  # ticks after which a waiting job is aged
LONGEST = 6  # ticks that a job runs
SLOTS = 2

#: Bytes of weights and of a context; the last can only be streamed.
MODELS = {"a": (20, 5), "b": (45, 15), "c": (70, 30), "huge": (150, 10)}
STREAM = StreamNeeds(10, [14] * 10, slot_bytes=14, host_bytes=100)


@dataclass
class Waiting:
    model: str
    arrived: int
    ahead: int  # jobs that waited or ran when it came
    runs: int


@dataclass
class Device:
    """Weights and contexts by name; a context runs until a tick for each of its jobs."""

    weights: dict[str, Resident] = field(default_factory=dict)
    contexts: dict[str, Resident] = field(default_factory=dict)
    running: dict[str, list[int]] = field(default_factory=dict)

    def residents(self, now: int) -> list[Resident]:
        live = {name: [end for end in ends if end > now] for name, ends in self.running.items()}
        contexts = [
            Resident(
                name,
                context.bytes,
                upon=context.upon,
                serves="k",
                running=bool(live[name]),
                free_slots=SLOTS - len(live[name]),
                reload_s=0.1,
            )
            for name, context in self.contexts.items()
        ]
        return [*self.weights.values(), *contexts]

    def evict(self, name: str, now: int) -> None:
        assert all(end <= now for end in self.running.get(name, []))
        self.weights.pop(name, None)
        self.contexts.pop(name, None)
        self.running.pop(name, None)

    def start(self, name: str, job: Waiting, now: int, streamed: int) -> None:
        weights, context = MODELS[job.model]
        for other, resident in self.contexts.items():
            live = [end for end in self.running[other] if end > now]
            if resident.upon == (job.model,) and len(live) < SLOTS:
                self.running[other] = [*live, now + job.runs]
                return
        if job.model not in self.weights:
            size = streamed - context if streamed else weights
            host = STREAM.host_bytes if streamed else 0
            self.weights[job.model] = Resident(job.model, size, host_bytes=host, reload_s=1)
        self.contexts[name] = Resident(name, context, upon=(job.model,))
        self.running[name] = [now + job.runs]

    def used(self) -> tuple[int, int]:
        everything = [*self.weights.values(), *self.contexts.values()]
        return sum(r.bytes for r in everything), sum(r.host_bytes for r in everything)


def tick(device: Device, queue: dict[str, Waiting], now: int) -> list[Waiting]:
    """Lets start what may; returns what did."""
    used, host = device.used()
    jobs = []
    for name, job in queue.items():
        weights, context = MODELS[job.model]
        stream = STREAM if job.model == "huge" else None
        aged = now - job.arrived > PATIENCE
        jobs.append(Job(name, {job.model: weights}, context, "k", aged=aged, stream=stream))
    fits = plan(CAP, used, device.residents(now), jobs, host_cap_bytes=HOST, host_used_bytes=host)
    started = []
    for fit in sorted(fits, key=lambda fit: fit.turn):
        assert fit.verdict != "never"
        if not fit.starts:
            continue
        for name in fit.evict:
            device.evict(name, now)
        job = queue.pop(fit.job)
        device.start(fit.job, job, now, fit.missing if fit.verdict == "streamed" else 0)
        used, host = device.used()
        assert used <= CAP
        assert host <= HOST
        started.append(job)
    return started


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32), st.floats(0.05, 1.5), st.lists(st.integers(1, 9), min_size=4, max_size=4)
)
def test_every_job_starts_once_those_before_it_had_their_time(
    seed: int, load: float, mix: list[int]
) -> None:
    chance = random.Random(seed)
    device, queue = Device(), dict[str, Waiting]()
    for now in range(120):
        while chance.random() < load / (1 + load):
            [model] = chance.choices(list(MODELS), mix)
            busy = sum(end > now for ends in device.running.values() for end in ends)
            job = Waiting(model, now, len(queue) + busy, chance.randint(1, LONGEST))
            queue[f"{now}-{len(queue)}-{chance.random()}"] = job
        for job in tick(device, queue, now):
            assert now - job.arrived <= PATIENCE + (job.ahead + 1) * (LONGEST + 1)


def test_a_large_job_is_not_starved_by_small_ones_that_never_stop() -> None:
    device, queue = Device(), dict[str, Waiting]()
    started: dict[str, int] = {}
    for now in range(40):
        queue[f"small {now}"] = Waiting("a", now, 0, LONGEST)
        if now == 3:
            queue["large"] = Waiting("c", now, 0, LONGEST)
        for job in tick(device, queue, now):
            started.setdefault(job.model, now)
    assert started["c"] <= 3 + PATIENCE + LONGEST + 1


def test_three_models_that_exclude_each_other_take_turns_with_few_switches() -> None:
    device = Device()
    queue = {f"{turn}{model}": Waiting(model, 0, 0, 2) for turn in range(4) for model in "bc"}
    order: list[str] = []
    for now in range(PATIENCE + 1, 60):  # all are aged from the beginning
        order += [job.model for job in tick(device, queue, now)]
    assert "".join(order) == "bbbcccbc"  # as many at a time as fit

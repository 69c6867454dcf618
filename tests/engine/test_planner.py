"""What the planner admits always fits, and what it evicts was free to go."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from lmx.engine import Fit, Job, Resident, StreamNeeds, plan

CAP = 100
HOST = 60
MODELS = ("a", "b", "c")

sizes = st.integers(0, CAP)


@st.composite
def devices(draw: st.DrawFn) -> tuple[list[Resident], int]:
    """Residents that fit under the cap, and the bytes used with a foreign part."""
    residents: list[Resident] = []
    room = CAP
    for model in draw(st.sets(st.sampled_from(MODELS))):
        size = draw(st.integers(0, room))
        room -= size
        residents.append(
            Resident(
                model,
                size,
                host_bytes=draw(st.sampled_from([0, 0, 10])),
                pinned=draw(st.booleans()),
                idle_s=draw(st.floats(0, 100)),
                reload_s=draw(st.floats(0, 10)),
            )
        )
    present = [resident.id for resident in residents]
    for number in range(draw(st.integers(0, 4)) if present else 0):
        size = draw(st.integers(0, room))
        room -= size
        running = draw(st.booleans())
        residents.append(
            Resident(
                f"context-{number}",
                size,
                upon=draw(st.lists(st.sampled_from(present), min_size=1, max_size=2, unique=True)),
                serves=draw(st.sampled_from(["k1", "k2"])),
                running=running,
                free_slots=draw(st.integers(0, 2)) if running else 2,
            )
        )
    foreign = draw(st.integers(0, room))
    return residents, sum(resident.bytes for resident in residents) + foreign


streams = st.builds(
    StreamNeeds,
    fixed_bytes=st.integers(0, 20),
    layer_bytes=st.lists(st.integers(0, 20), max_size=6),
    slot_bytes=st.just(20),
    host_bytes=st.integers(0, HOST + 5),
    slots=st.integers(1, 3),
    min_layers=st.integers(0, 3),
    max_layers=st.integers(0, 6),
    forced=st.booleans(),
)

jobs = st.lists(
    st.builds(
        Job,
        id=st.integers(0, 10**6).map(str),
        weights=st.dictionaries(st.sampled_from(MODELS), sizes, min_size=1, max_size=2),
        context_bytes=sizes,
        context=st.sampled_from(["k1", "k2"]),
        aged=st.booleans(),
        stream=st.none() | streams,
    ),
    max_size=6,
    unique_by=lambda job: job.id,
)


def answers(waiting: list[Job], cap: int, used: int, residents: list[Resident]) -> list[Fit]:
    host_used = sum(resident.host_bytes for resident in residents)
    return plan(cap, used, residents, waiting, host_cap_bytes=HOST, host_used_bytes=host_used)


@settings(max_examples=400, deadline=None)
@given(devices(), jobs)
def test_a_plan_never_passes_the_cap_and_never_evicts_what_is_in_use(
    device: tuple[list[Resident], int], waiting: list[Job]
) -> None:
    residents, used = device
    present = {resident.id: resident for resident in residents}
    host_used = sum(resident.host_bytes for resident in residents)
    fits = answers(waiting, CAP, used, residents)
    assert [fit.job for fit in fits] == [job.id for job in waiting]
    assert sorted(fit.turn for fit in fits) == list(range(len(waiting)))
    known = {job.id: job for job in waiting}
    for fit in sorted(fits, key=lambda fit: fit.turn):
        job = known[fit.job]
        for name in fit.evict:
            gone = present.pop(name)
            assert not gone.running
            assert not gone.pinned
            assert not any(name in other.upon for other in present.values())
            used -= gone.bytes
            host_used -= gone.host_bytes
        if fit.starts:
            used += fit.missing
            assert used <= CAP
        if fit.verdict == "streamed":
            assert job.stream is not None
            host_used += job.stream.host_bytes
            assert host_used <= HOST
            assert fit.missing >= streamed_bytes(job, fit)
            assert fit.resident_layers < len(job.stream.layer_bytes)
            assert job.stream.min_layers <= fit.resident_layers <= job.stream.max_layers
        assert fit.verdict in ("after_eviction", "streamed") or not fit.evict
        assert (fit.verdict != "after_eviction") or fit.evict
        assert fit.needs == sum(job.weights.values()) + job.context_bytes


def streamed_bytes(job: Job, fit: Fit) -> int:
    """What the streamed model and its context take of the device."""
    assert job.stream is not None
    resident = sum(job.stream.layer_bytes[: fit.resident_layers]) + job.stream.fixed_bytes
    return resident + fit.slots * job.stream.slot_bytes + job.context_bytes


@settings(max_examples=200, deadline=None)
@given(jobs)
def test_a_job_that_fits_an_empty_device_is_never_refused_for_good(waiting: list[Job]) -> None:
    waiting = [replace(job, stream=None) for job in waiting]
    for job, fit in zip(waiting, answers(waiting, CAP, 0, []), strict=True):
        fits_alone = sum(job.weights.values()) + job.context_bytes <= CAP
        assert fits_alone == (fit.verdict != "never")


@settings(max_examples=300, deadline=None)
@given(devices(), jobs.filter(bool), st.integers(1, CAP))
def test_a_larger_cap_takes_nothing_away(
    device: tuple[list[Resident], int], waiting: list[Job], more: int
) -> None:
    residents, used = device
    for job in waiting:
        [before] = answers([job], CAP, used, residents)
        [after] = answers([job], CAP + more, used, residents)
        order = ("never", "wait", "after_eviction", "now")
        if "streamed" not in (before.verdict, after.verdict):
            assert order.index(after.verdict) >= order.index(before.verdict)
        elif after.verdict == "streamed":
            assert before.verdict in ("never", "wait", "streamed")
        else:  # it can be whole now, at least once others have ended
            assert after.verdict in ("wait", "after_eviction", "now")
        if before.verdict == after.verdict == "streamed":
            assert after.resident_layers >= before.resident_layers


@settings(max_examples=200, deadline=None)
@given(devices(), jobs)
def test_an_aged_job_is_overtaken_only_by_the_company_of_an_older_one(
    device: tuple[list[Resident], int], waiting: list[Job]
) -> None:
    residents, used = device
    places = {job.id: place for place, job in enumerate(waiting)}
    model = {job.id: next(iter(job.weights)) for job in waiting}
    aged = [job.id for job in waiting if job.aged]
    turns = {fit.job: fit.turn for fit in answers(waiting, CAP, used, residents)}
    for late in aged:
        for other in (name for name in turns if turns[name] < turns[late]):
            leaders = [x for x in aged if places[x] <= places[late] and model[x] == model[other]]
            assert leaders, "it came with an aged job that was there before"


def test_a_plan_names_the_three_numbers() -> None:
    [fit] = plan(100, 30, [], [Job("1", {"a": 90}, context_bytes=20)])
    assert fit == Fit("never", needs=110, cap=100, free=70, missing=110, job="1")


def test_jobs_of_one_model_are_planned_with_its_weights_counted_once() -> None:
    waiting = [Job(str(n), {"a": 60}, context_bytes=15) for n in range(3)]
    assert [fit.verdict for fit in plan(100, 0, [], waiting)] == ["now", "now", "wait"]


def test_a_model_too_large_for_the_cap_is_streamed_if_that_is_possible() -> None:
    stream = StreamNeeds(10, [10] * 10, slot_bytes=10, host_bytes=50)
    job = Job("1", {"a": 110}, context_bytes=10, stream=stream)
    [fit] = plan(100, 0, [], [job], host_cap_bytes=50)
    assert (fit.verdict, fit.resident_layers, fit.slots, fit.missing) == ("streamed", 6, 2, 100)
    [fit] = plan(100, 0, [], [job], host_cap_bytes=49)
    assert fit.verdict == "never"

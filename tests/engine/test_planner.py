"""What the planner admits always fits, and what it evicts was free to go."""

from hypothesis import given, settings
from hypothesis import strategies as st

from lmx.engine import Fit, Job, Resident, plan

CAP = 100
MODELS = ("a", "b", "c")


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
                pinned=draw(st.booleans()),
                idle_s=draw(st.floats(0, 100)),
                reload_s=draw(st.floats(0, 10)),
            )
        )
        for number in range(draw(st.integers(0, 2))):
            size = draw(st.integers(0, room))
            room -= size
            running = draw(st.booleans())
            residents.append(
                Resident(
                    f"{model}-{number}",
                    size,
                    model=model,
                    serves=draw(st.sampled_from(["k1", "k2"])),
                    running=running,
                    free_slots=draw(st.integers(0, 2)) if running else 2,
                )
            )
    foreign = draw(st.integers(0, room))
    return residents, sum(resident.bytes for resident in residents) + foreign


jobs = st.lists(
    st.builds(
        Job,
        id=st.integers(0, 10**6).map(str),
        model=st.sampled_from(MODELS),
        weights_bytes=st.integers(0, CAP),
        context_bytes=st.integers(0, CAP),
        context=st.sampled_from(["k1", "k2"]),
        aged=st.booleans(),
    ),
    max_size=6,
)


@settings(max_examples=300, deadline=None)
@given(devices(), jobs)
def test_a_plan_never_passes_the_cap_and_never_evicts_what_is_in_use(
    device: tuple[list[Resident], int], waiting: list[Job]
) -> None:
    residents, used = device
    present = {resident.id: resident for resident in residents}
    for job, fit in zip(waiting, plan(CAP, used, residents, waiting), strict=True):
        for name in fit.evict:
            gone = present.pop(name)
            assert not gone.running
            assert not gone.pinned
            assert not any(other.model == name for other in present.values())
            used -= gone.bytes
        if fit.verdict in ("now", "after_eviction"):
            used += fit.missing
            assert used <= CAP
        assert (fit.verdict == "after_eviction") == bool(fit.evict)
        assert fit.needs == job.weights_bytes + job.context_bytes
        if fit.verdict == "never":
            assert fit.needs > CAP


@settings(max_examples=100, deadline=None)
@given(jobs)
def test_a_job_that_fits_an_empty_device_is_never_refused_for_good(waiting: list[Job]) -> None:
    for job, fit in zip(waiting, plan(CAP, 0, [], waiting), strict=True):
        fits_alone = job.weights_bytes + job.context_bytes <= CAP
        assert fits_alone == (fit.verdict != "never")


def test_a_plan_names_the_three_numbers() -> None:
    [fit] = plan(100, 30, [], [Job("1", "a", weights_bytes=90, context_bytes=20)])
    assert fit == Fit("never", needs=110, cap=100, free=70, missing=110, job="1")


def test_jobs_of_one_model_are_planned_with_its_weights_counted_once() -> None:
    waiting = [Job(str(n), "a", weights_bytes=60, context_bytes=15) for n in range(3)]
    assert [fit.verdict for fit in plan(100, 0, [], waiting)] == ["now", "now", "wait"]

"""What the database says is booked: exact at every commit, and never more than the cap."""

from hypothesis import given
from hypothesis import strategies as st

from lmx.engine import Job, LedgerEntry, Projection, Resident, plan
from lmx.workflows.client import Client
from lmx.workflows.database.connect import Database
from lmx.workflows.models import Model
from tests.gpu.conftest import CALL, StartWorker
from tests.gpu.test_gpu_worker import WAIT_S, need

CAP = 100
_NOTE_EVERY_COMMIT = """
CREATE TABLE public.booked (bytes bigint, claimed bigint);
CREATE FUNCTION public.note_booked() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.booked
    SELECT coalesce(sum(bytes), 0), count(*) FILTER (WHERE kind = 'claimed' AND bytes > 0)
    FROM lmx.vram_leases;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER note_booked AFTER INSERT OR UPDATE OR DELETE ON lmx.vram_leases
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.note_booked();
"""

small_bytes = st.integers(0, 60)
jobs = st.builds(
    Job,
    id=st.uuids().map(str),
    weights=st.dictionaries(st.sampled_from("ABC"), small_bytes, min_size=1, max_size=2),
    context_bytes=small_bytes,
    aged=st.booleans(),
)


@given(
    st.dictionaries(st.sampled_from("ABC"), st.tuples(small_bytes, st.booleans()), max_size=3),
    st.lists(jobs, max_size=4),
    st.lists(jobs, max_size=4),
)
def test_what_is_promised_together_with_what_is_held_never_passes_the_cap(
    residents: dict[str, tuple[int, bool]], queued: list[Job], asked: list[Job]
) -> None:
    used = sum(size for size, _ in residents.values())
    on_device = [Resident(id_, size, pinned=pin) for id_, (size, pin) in residents.items()]
    fits = plan(CAP, used, on_device, [*queued, *asked])
    ledger = tuple(LedgerEntry(holder=one.id, kind="weights", bytes=one.bytes) for one in on_device)
    answers = tuple(fits[len(queued) :])
    projection = Projection(ledger, tuple(fits[: len(queued)]), answers)
    booked = sum(entry["bytes"] for entry in projection.booked())
    assert booked <= max(CAP, used)


def test_no_commit_ever_shows_more_than_the_cap(
    client: Client, small: Model, large: Model, start_worker: StartWorker, database: Database
) -> None:
    cap = need(large) + need(small) // 4
    with database.connect() as conn:
        conn.execute(_NOTE_EVERY_COMMIT)
    start_worker(cap)
    for _ in range(3):
        calls = [client.generate(model=name, prompt="Hi", **CALL) for name in ("small", "large")]
        for task in calls:
            client.result(task, WAIT_S)
    with database.connect() as conn:
        most = conn.execute("SELECT max(bytes), max(claimed) FROM public.booked").fetchone()
    assert most is not None
    assert need(large) <= most[0] <= cap
    assert most[1] >= 1

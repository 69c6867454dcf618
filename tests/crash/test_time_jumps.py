"""When time itself jumps (a laptop slept, the server's clock was set), the living stay alive."""

from lmx.workflows.client import Client
from lmx.workflows.views import get_task
from tests.support.eventually import eventually
from tests.support.exact import assert_nothing_left
from tests.support.workers import Workers


def test_workers_that_all_seem_to_have_expired_at_once_keep_their_tasks(
    workers: Workers, client: Client
) -> None:
    pair = [workers.start("default", slots=1) for _ in range(2)]
    for worker in pair:
        workers.serving(worker)
    tasks = [client.enqueue("gated", args=["one"]) for _ in pair]
    workers.noted("gated", 2)
    with workers.database.connect() as conn:
        conn.execute(
            "UPDATE lmx.workers SET seen_at = seen_at - interval '1 hour',"
            " expires_at = expires_at - interval '1 hour'"
        )
        beats = "SELECT count(*) FROM lmx.workers WHERE expires_at > now() AND stopped_at IS NULL"
        eventually(lambda: (conn.execute(beats).fetchone() or [0])[0] == 2, "both beat again")
    workers.open_gate("one")
    tokens = {client.result(task, 20) for task in tasks}
    assert tokens == {note["token"] for note in workers.notes("gated")}
    assert [get_task(workers.database, task).deliveries for task in tasks] == [1, 1]
    assert_nothing_left(workers.database)

"""`lmx cancel`, `pause`, `resume`, `retry`, `fork`, `signal`, `budget check`."""

from lmx.workflows.views import list_queues
from tests.support.command import Lmx
from tests.support.hands import QUEUE, Hands


def test_cancel_ends_the_run_with_all_of_its_tasks(lmx: Lmx, hands: Hands) -> None:
    run, children = hands.run_to_parked("a", "b")
    result = lmx("cancel", run)
    assert (result.code, result.out, result.err) == (0, "", "lmx: cancelled 3 tasks\n")
    assert set(hands.states(run, *children)) == {"cancelled"}
    assert lmx("cancel", run).err == f"lmx: {run} had finished already\n"


def test_a_paused_run_gives_no_work_until_it_is_resumed(lmx: Lmx, hands: Hands) -> None:
    run, _ = hands.run_to_parked("a")
    assert lmx("pause", run).code == 0
    assert hands.claim() == []
    assert "paused with its run" in lmx("show", run).out
    assert lmx("resume", run).code == 0
    assert len(hands.claim()) == 1


def test_a_queue_can_be_paused_as_a_whole(lmx: Lmx, hands: Hands) -> None:
    lmx("enqueue", "--function", "call")
    lmx("pause", "--queue", QUEUE)
    assert hands.claim() == []
    assert {queue.name: queue.paused for queue in list_queues(lmx.database)}[QUEUE]
    lmx("resume", "--queue", QUEUE)
    assert len(hands.claim()) == 1


def test_resume_takes_up_a_failed_run(lmx: Lmx, hands: Hands) -> None:
    run = hands.submit()
    hands.fail(hands.mind())
    assert lmx("resume", run).code == 0
    assert hands.state(run) == "ready"


def test_retry_queues_a_dead_letter_again(lmx: Lmx, hands: Hands) -> None:
    task = int(lmx("enqueue", "--function", "call").out)
    hands.fail(hands.take())
    assert lmx("retry", task).code == 0
    assert hands.state(task) == "ready"


def test_retry_of_what_succeeded_is_refused(lmx: Lmx, hands: Hands) -> None:
    task = int(lmx("enqueue", "--function", "call").out)
    hands.finish(hands.take(), 1)
    assert lmx("retry", task).code == 3


def test_signal_wakes_the_coordinator_that_waits_for_it(lmx: Lmx, hands: Hands) -> None:
    run = hands.submit()
    hands.park(hands.mind(), children=False, signal="approved", signal_seq=1)
    assert lmx("signal", run, "approved", '{"by": "ana"}').code == 0
    assert hands.state(run) == "ready"
    assert hands.value("SELECT payload ->> 'by' FROM lmx.signals") == "ana"


def test_a_signal_with_bad_json_is_refused(lmx: Lmx, hands: Hands) -> None:
    run = hands.submit()
    result = lmx("signal", run, "approved", "{")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert hands.value("SELECT count(*) FROM lmx.signals") == 0


def test_fork_prints_the_id_of_the_new_run(lmx: Lmx, hands: Hands) -> None:
    run = hands.submit()
    lease = hands.mind()
    for step in ("plan", "draft"):
        hands.checkpoint(lease, step)
    hands.finish(lease, "done")
    forked = int(lmx("fork", run, "draft").out)
    assert forked != run
    steps = hands.value("SELECT array_agg(name) FROM lmx.checkpoints WHERE task_id = %s", forked)
    assert steps == ["plan"]


def test_the_budget_check_finds_a_sum_that_is_not_exact(lmx: Lmx, hands: Hands) -> None:
    run = hands.submit(budgets={"usd": 100})
    assert lmx("budget", "check").code == 0
    hands.conn.execute("UPDATE lmx.budgets SET spent = 7")
    result = lmx("budget", "check", run)
    assert result.code == 1
    assert f"the usd budget of task {run} says spent = 7" in result.out


def test_an_answer_is_rejected_once(lmx: Lmx, hands: Hands) -> None:
    task = hands.submit(role="worker")
    hands.conn.execute("UPDATE lmx.tasks SET name = 'generate' WHERE id = %s", [task])
    assert "has answered" in lmx("reject", str(task)).err
    hands.finish(hands.take(), {"text": "42"})
    assert lmx("reject", str(task), "no question").err == f"lmx: the answer of {task} is rejected\n"
    assert "was rejected before" in lmx("reject", str(task)).err
    assert lmx("reject", "--not", str(task)).code == 3

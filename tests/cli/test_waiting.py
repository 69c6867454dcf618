"""`--wait` and `lmx wait`: only the answer on standard output, and an exit code that tells."""

import signal
from collections.abc import Mapping
from typing import Any

from lmx.api.cli.waiting import answer_of
from lmx.workflows.views import get_task
from tests.support.command import Lmx, Result
from tests.support.eventually import eventually
from tests.support.hands import Hands


def answered(lmx: Lmx, hands: Hands, output: Any, error: Mapping[str, Any] | None = None) -> Result:
    """Run `lmx enqueue --wait` while the hands finish the task that it queues."""
    process = lmx.start("enqueue", "--function", "call", "--wait")
    lease = eventually(hands.claim, "a queued task")[0]
    hands.finish(lease, output, error=error)
    return lmx.finish(process)


def test_prints_only_the_answer(lmx: Lmx, hands: Hands) -> None:
    result = answered(lmx, hands, "forty-two")
    assert (result.code, result.out, result.err) == (0, "forty-two\n", "")


def test_an_answer_that_is_no_text_is_printed_as_json(lmx: Lmx, hands: Hands) -> None:
    assert answered(lmx, hands, {"sum": [1, 2]}).json == {"sum": [1, 2]}


def test_a_models_answer_is_its_text(lmx: Lmx, hands: Hands) -> None:
    task = int(lmx("enqueue", "--function", "call").out)
    hands.finish(hands.take(), {"text": "It is.", "finish_reason": "stop", "model": "tiny"})
    assert answer_of(get_task(lmx.database, task)) == "It is."
    assert lmx("wait", task).out == "It is.\n"


def test_a_failure_is_one_line_and_code_1(lmx: Lmx, hands: Hands) -> None:
    result = answered(lmx, hands, None, {"kind": "exception", "message": "ValueError: no\nway"})
    assert (result.code, result.out, result.err.count("\n")) == (1, "", 1)
    assert "(call) failed: ValueError: no way; lmx show" in result.err


def test_a_refusal_by_the_budget_is_code_3(lmx: Lmx, hands: Hands) -> None:
    result = answered(lmx, hands, None, {"kind": "budget", "message": "it costs too much"})
    assert (result.code, result.out) == (3, "")
    assert "it costs too much" in result.err


def test_a_wait_that_takes_too_long_is_code_4_and_the_task_goes_on(lmx: Lmx, hands: Hands) -> None:
    task = int(lmx("enqueue", "--function", "call").out)
    result = lmx("wait", task, "--timeout", "0.1")
    assert (result.code, result.out) == (4, "")
    assert f"{task} is not done after 0.1 s; it goes on; wait on: lmx wait {task}" in result.err
    assert hands.state(task) == "ready"


def test_json_tells_everything_about_the_finished_task(lmx: Lmx, hands: Hands) -> None:
    task = int(lmx("enqueue", "--function", "call").out)
    hands.finish(hands.take(), [1])
    view = lmx("wait", task, "--json").json
    assert (view["id"], view["state"], view["output"]) == (task, "succeeded", [1])


def test_ctrl_c_ends_the_wait_with_130_and_not_the_task(lmx: Lmx, hands: Hands) -> None:
    process = lmx.start("enqueue", "--function", "call", "--wait")
    lease = eventually(hands.claim, "a queued task")[0]
    process.send_signal(signal.SIGINT)
    result = lmx.finish(process)
    assert (result.code, result.out) == (130, "")
    assert "Traceback" not in result.err
    assert hands.state(lease.task_id) == "leased"


def test_waiting_for_a_cancelled_run_is_code_1(lmx: Lmx, hands: Hands) -> None:
    run = int(lmx("run", "review").out)
    lmx("cancel", run)
    result = lmx("wait", run)
    assert (result.code, result.out) == (1, "")
    assert f"{run} (review) cancelled" in result.err


def test_an_answer_that_is_not_whole_says_so_beside_it(lmx: Lmx, hands: Hands) -> None:
    for reason, said in (("refusal", "declined to answer"), ("length", "is cut short")):
        task = int(lmx("enqueue", "--function", "call").out)
        hands.finish(hands.take(), {"text": "It", "finish_reason": reason, "model": "tiny"})
        result = lmx("wait", task)
        assert (result.code, result.out) == (0, "It\n")
        assert said in result.err

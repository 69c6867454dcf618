"""`lmx show`, `runs` and `logs`: the tree with its waits, lists, events."""

import json

from lmx.workflows.operations import keep
from lmx.workflows.partial import PARTIAL
from tests.support.command import Lmx
from tests.support.hands import Hands


def test_draws_the_tree_with_state_cost_and_waits(lmx: Lmx, hands: Hands) -> None:
    run, children = hands.run_to_parked("a", "b", "c", budgets={"usd": 10**9})
    hands.finish(hands.take(), "done")
    drawn = lmx("show", run).out
    assert f"… review #{run}  waiting for children 1/3  $0.00 of $1.00" in drawn
    assert f"├── ✔ a call #{children[0]}  succeeded" in drawn
    assert f"└── · c call #{children[2]}  queued" in drawn


def test_children_named_by_their_function_are_named_once(lmx: Lmx, hands: Hands) -> None:
    run, children = hands.run_to_parked("call", "call#2", "mine")
    drawn = lmx("show", run).out
    assert f"├── · call #{children[0]}  queued" in drawn
    assert f"├── · call#2 #{children[1]}  queued" in drawn
    assert f"└── · mine call #{children[2]}  queued" in drawn


def test_tells_what_a_coordinator_waits_for(lmx: Lmx, hands: Hands) -> None:
    run = hands.submit()
    assert hands.park(hands.mind(), children=False, signal="approved", signal_seq=1)
    assert "waiting for the signal 'approved'" in lmx("show", run).out


def test_tells_that_a_call_waits_for_memory_and_how_much(
    lmx: Lmx, hands: Hands, model: str
) -> None:
    task = int(lmx("enqueue", "hi").out)
    hands.conn.execute(
        "INSERT INTO lmx.events (run_id, task_id, kind, data) VALUES (%s, %s, 'waiting_for_memory',"
        """ '{"needs": 2048, "cap": 4096, "free": 1024}')""",
        [task, task],
    )
    text = "waiting for memory: needs 2 KiB, 1 KiB of 4 KiB are free"
    assert text in lmx("show", task).out
    assert text in lmx("logs", task).out


def test_tells_what_a_finished_call_used(lmx: Lmx, hands: Hands, model: str) -> None:
    task = int(lmx("enqueue", "hi").out)
    hands.conn.execute("UPDATE lmx.tasks SET queue = 'work' WHERE id = %s", [task])
    hands.finish(hands.take(), {"text": "hello", "finish_reason": "stop"})
    hands.conn.execute(
        "UPDATE lmx.tasks SET usage = %s::jsonb WHERE id = %s",
        [
            '{"prompt_tokens": 5, "completion_tokens": 9, "cached_tokens": 4, "cost": 120,'
            ' "memory_wait_s": 2.5}',
            task,
        ],
    )
    drawn = lmx("show", task).out
    for detail in ("tiny", "5+9 tokens (4 reused)", "$0.00000012", "waited 2.5 s for memory"):
        assert detail in drawn


def test_what_comes_of_an_answer_is_shown_and_what_had_come_is_no_result(
    lmx: Lmx, hands: Hands
) -> None:
    task = hands.submit(role="worker")
    lease = hands.take()
    hands.conn.execute(
        "UPDATE lmx.tasks SET progress = %s::jsonb",
        [json.dumps({PARTIAL: {"text": "The [b]tide\x1b", "text_length": 9000}})],
    )
    assert (
        "answer so far, the last 12 of 9,000 characters:\nThe [b]tide\ufffd\n"
        in lmx("show", task).out
    )
    half = {"attempt": 1, "text": "The tide", "text_length": 8, "reasoning": "Hm.",
            "reasoning_length": 3}  # fmt: skip
    hands.apply(keep(*lease.token, half))
    hands.fail(lease, "out of luck")
    drawn = lmx("show", task).out
    assert "failed: out of luck  " in drawn
    assert "partial answer of attempt 1, no result, 8 characters:\nThe tide\n" in drawn
    assert "partial reasoning of attempt 1, no result, 3 characters:\nHm.\n" in drawn
    assert lmx("show", task, "--json").json[0]["partial"] == half
    waited = lmx("wait", task)
    assert waited.out == ""
    assert f"what had come of its answer: lmx show {task}" in waited.err


def test_a_tree_shows_the_last_words_of_each_running_call(lmx: Lmx, hands: Hands) -> None:
    run, children = hands.run_to_parked("a", "b")
    hands.take()
    hands.conn.execute(
        "UPDATE lmx.tasks SET progress = %s::jsonb WHERE id = %s",
        [json.dumps({PARTIAL: {"text": "The\ntide", "text_length": 8}}), children[0]],
    )
    drawn = lmx("show", run).out
    assert f"├── ▶ a call #{children[0]}  running" in drawn
    assert "│   The tide\n" in drawn


def test_a_failed_run_says_how_to_take_it_up_again(lmx: Lmx, hands: Hands) -> None:
    run = hands.submit()
    hands.fail(hands.mind(), "out of luck")
    result = lmx("show", run)
    assert "failed: out of luck" in result.out
    assert f"take it up again: lmx resume {run}" in result.err


def test_json_lists_all_tasks_of_the_run(lmx: Lmx, hands: Hands) -> None:
    run, children = hands.run_to_parked("a", "b")
    tasks = lmx("show", run, "--json").json
    assert [task["id"] for task in tasks] == [run, *children]


def test_lists_runs_newest_first_with_filters(lmx: Lmx, hands: Hands) -> None:
    first, second = (int(lmx("run", "review").out) for _ in range(2))
    call = int(lmx("enqueue", "--function", "call").out)
    lmx("cancel", first)
    assert [run["id"] for run in lmx("runs", "--json").json] == [call, second, first]
    assert [run["id"] for run in lmx("runs", "--state", "cancelled", "--json").json] == [first]
    assert [run["id"] for run in lmx("runs", "--name", "review", "--json").json] == [second, first]
    assert [run["id"] for run in lmx("runs", "--before", second, "--json").json] == [first]


def test_a_list_in_a_pipe_is_one_line_per_run(lmx: Lmx, hands: Hands) -> None:
    run = int(lmx("run", "review").out)
    fields = lmx("runs").out.rstrip("\n").split("\t")
    assert fields[:3] == [str(run), "review", "ready"]


def test_logs_tell_what_happened_in_order(lmx: Lmx, hands: Hands) -> None:
    run = hands.submit()
    lease = hands.mind()
    hands.checkpoint(lease, "draft", {"text": "x"})
    hands.finish(lease, "done")
    lines = lmx("logs", run).out.splitlines()
    happened = ["submitted", "started", "recorded the step 'draft'", "succeeded"]
    assert [line.split("  ")[-1].strip() for line in lines] == happened


def test_logs_as_json_are_one_object_per_line(lmx: Lmx, hands: Hands) -> None:
    run, _ = hands.run_to_parked("a")
    kinds = [json.loads(line)["kind"] for line in lmx("logs", run, "--json").out.splitlines()]
    assert kinds.count("submitted") == 2


def test_following_logs_ends_with_the_run(lmx: Lmx, hands: Hands) -> None:
    run = hands.submit()
    lease = hands.mind()
    process = lmx.start("logs", run, "--follow")
    assert process.stdout is not None
    assert "submitted" in process.stdout.readline()
    hands.finish(lease, "done")
    result = lmx.finish(process)
    assert result.code == 0
    assert result.out.splitlines()[-1].endswith("succeeded")

"""`lmx enqueue`: what is queued, and what is printed where."""

import json
import subprocess
from pathlib import Path

import pytest

from lmx.workflows.views import get_input, get_task
from tests.support.command import Lmx, count_tasks, register
from tests.support.hands import Hands


def prompt_of(lmx: Lmx, printed: str) -> str:
    """The user's message in the task whose id was printed."""
    text: str = get_input(lmx.database, int(printed))["messages"][-1]["content"]
    return text


def test_prints_the_task_id_alone_and_a_note_when_nobody_works(lmx: Lmx, model: str) -> None:
    result = lmx("enqueue", "Why", "is", "the sky blue?")
    assert result.code == 0
    assert prompt_of(lmx, result.out) == "Why is the sky blue?"
    assert result.out.strip().isdigit()
    assert result.err == "lmx: queued; no worker is running: start one with `lmx up`\n"


def test_says_nothing_more_when_a_worker_of_the_queue_is_alive(lmx: Lmx, hands: Hands) -> None:
    assert lmx("enqueue", "--function", "call").err == ""


def test_takes_the_prompt_from_standard_input(lmx: Lmx, model: str) -> None:
    result = lmx("enqueue", stdin="Grüße\n".encode())
    assert prompt_of(lmx, result.out) == "Grüße\n"


def test_puts_what_is_piped_in_below_the_arguments(lmx: Lmx, model: str) -> None:
    result = lmx("enqueue", "Summarise this:", stdin=b"notes")
    assert prompt_of(lmx, result.out) == "Summarise this:\n\nnotes"


def test_takes_the_prompt_from_a_file(lmx: Lmx, model: str, tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("from a file", encoding="utf-8")
    result = lmx("enqueue", "--file", tmp_path / "prompt.txt", stdin=b"not this")
    assert prompt_of(lmx, result.out) == "from a file"


def test_passes_the_sampling_options_on(lmx: Lmx, model: str) -> None:
    options = ["--max-tokens", "7", "--temperature", "0", "--seed", "3", "--stop", "END"]
    printed = lmx("enqueue", "hi", *options, "--system", "Be brief").out
    call = get_input(lmx.database, int(printed))
    assert call["max_tokens"] == 7
    assert (call["temperature"], call["seed"], call["stop"]) == (0, 3, ["END"])
    assert call["messages"][0] == {"role": "system", "content": "Be brief"}


def test_an_option_may_be_given_by_name_as_well(lmx: Lmx, model: str) -> None:
    options = ["-o", "temperature=0", "-o", "n_ctx=512", "-o", "kv_type=q8_0", "-o", "seed=3"]
    call = get_input(lmx.database, int(lmx("enqueue", "hi", *options, "--seed", "4").out))
    assert (call["temperature"], call["n_ctx"], call["kv_type"]) == (0, 512, "q8_0")
    assert call["seed"] == 4


def test_passes_the_session_on(lmx: Lmx, model: str) -> None:
    call = get_input(lmx.database, int(lmx("enqueue", "hi", "--session", "notes").out))
    assert call["session"] == "/notes"


def test_passes_every_other_option_on_by_its_name(lmx: Lmx, model: str) -> None:
    options = ["-o", "min_p=0.1", "-o", "dry_multiplier=0.8", "-o", 'logit_bias={"5": -100}']
    call = get_input(lmx.database, int(lmx("enqueue", "hi", *options, "--no-thinking").out))
    assert (call["min_p"], call["dry_multiplier"], call["logit_bias"]) == (0.1, 0.8, {"5": -100})
    assert call["thinking"] is False


def test_refuses_an_option_that_no_call_has(lmx: Lmx, model: str, hands: Hands) -> None:
    result = lmx("enqueue", "hi", "-o", "model=x")
    assert (result.code, count_tasks(hands)) == (2, 0)
    assert "there is no option 'model'" in result.err


def test_passes_tools_and_a_whole_conversation_on(lmx: Lmx, model: str, tmp_path: Path) -> None:
    tool = {"type": "function", "function": {"name": "now"}}
    (tmp_path / "tools.json").write_text(json.dumps([tool]), encoding="utf-8")
    turns = json.dumps([{"role": "user", "content": "What time is it?"}])
    options = ["--tools", f"@{tmp_path / 'tools.json'}", "--tool-choice", "now"]
    printed = lmx("enqueue", "--messages", turns, *options).out
    call = get_input(lmx.database, int(printed))
    assert json.loads(call["tools"]) == [tool]
    assert call["tool_choice"] == "now"
    assert call["messages"] == [{"role": "user", "content": "What time is it?"}]


def test_a_raw_prompt_is_sent_without_the_chat_template(lmx: Lmx, model: str) -> None:
    call = get_input(lmx.database, int(lmx("enqueue", "--raw", "Once upon").out))
    assert call["prompt"] == "Once upon"
    assert "messages" not in call


def test_asks_for_no_more_tokens_than_half_the_context_by_default(lmx: Lmx, model: str) -> None:
    assert get_input(lmx.database, int(lmx("enqueue", "hi").out))["max_tokens"] == 256


def test_json_tells_id_queue_and_state(lmx: Lmx, model: str) -> None:
    answer = lmx("enqueue", "hi", "--json").json
    assert answer == {"id": answer["id"], "name": "generate", "queue": "gpu", "state": "ready"}


def test_calls_a_function_with_arguments(lmx: Lmx, hands: Hands) -> None:
    printed = lmx("enqueue", "--function", "call", "3", "word", "deep=[1, 2]").out
    assert get_input(lmx.database, int(printed)) == {
        "args": [3, "word"],
        "kwargs": {"deep": [1, 2]},
    }


def test_calls_a_function_with_json(lmx: Lmx, hands: Hands, tmp_path: Path) -> None:
    (tmp_path / "input.json").write_text('{"kwargs": {"a": 1}}', encoding="utf-8")
    inline = lmx("enqueue", "--function", "call", "--input", '["x"]').out
    from_file = lmx("enqueue", "--function", "call", "--input", f"@{tmp_path / 'input.json'}").out
    assert get_input(lmx.database, int(inline)) == {"args": [["x"]], "kwargs": {}}
    assert get_input(lmx.database, int(from_file)) == {"args": [], "kwargs": {"a": 1}}


def test_a_repeated_key_returns_the_first_id(lmx: Lmx, model: str, hands: Hands) -> None:
    first = lmx("enqueue", "hi", "--idempotency-key", "k")
    again = lmx("enqueue", "hi", "--idempotency-key", "k")
    assert (again.code, again.out) == (0, first.out)
    assert count_tasks(hands) == 1


def test_a_key_used_for_another_prompt_is_refused(lmx: Lmx, model: str, hands: Hands) -> None:
    lmx("enqueue", "hi", "--idempotency-key", "k")
    other = lmx("enqueue", "something else", "--idempotency-key", "k")
    assert (other.code, other.out) == (3, "")
    assert "was used before for a different request" in other.err
    assert count_tasks(hands) == 1


def test_budgets_are_dollars_or_amounts_of_a_unit(lmx: Lmx, model: str) -> None:
    printed = lmx("enqueue", "hi", "--budget", "0.05", "--budget", "tokens=5000").out
    budgets = {
        budget.unit: budget.ceiling for budget in get_task(lmx.database, int(printed)).budgets
    }
    assert budgets == {"tokens": 5000, "usd": 50_000_000}


def test_several_models_need_a_name(lmx: Lmx, model: str, hands: Hands) -> None:
    register(hands, "other")
    unnamed = lmx("enqueue", "hi")
    assert unnamed.code == 2
    assert "several models are registered, so name one; one of other, tiny" in unnamed.err
    named = lmx("enqueue", "hi", "--model", "other")
    assert get_input(lmx.database, int(named.out))["model"] == "other"


def test_what_can_never_fit_the_cap_is_refused_with_three_numbers(
    lmx: Lmx, model: str, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMX_VRAM_CAP", "500")
    refused = lmx("enqueue", "hi", "--n-ctx", "4096")
    assert refused.code == 3
    assert "needs 1005 B, the device's cap is 500 B and 500 B of it are free" in refused.err
    assert count_tasks(hands) == 0
    assert lmx("enqueue", "hi", "--n-ctx", "512").code == 0


def test_the_largest_live_device_decides_what_can_never_fit(
    lmx: Lmx, model: str, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMX_VRAM_CAP", "500")
    hands.conn.execute(
        "INSERT INTO lmx.devices (host, name, cap_bytes, worker_id) VALUES ('h', 'gpu', 2000, %s)",
        [hands.worker],
    )
    assert lmx("enqueue", "hi", "--n-ctx", "4096").code == 0


def test_says_so_when_it_waits_for_standard_input(lmx: Lmx, model: str) -> None:
    process = lmx.start("enqueue", "hi", stdin=subprocess.PIPE)
    assert process.stderr is not None
    assert "reading the rest of the prompt" in process.stderr.readline()
    assert prompt_of(lmx, lmx.finish(process).out) == "hi"


def test_a_named_argument_can_come_from_a_file(lmx: Lmx, hands: Hands, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("[text]", encoding="utf-8")
    (tmp_path / "b.json").write_text('{"x": 1}', encoding="utf-8")
    printed = lmx("run", "review", f"a=@{tmp_path / 'a.md'}", f"b=@{tmp_path / 'b.json'}").out
    given = get_input(lmx.database, int(printed))
    assert given["kwargs"] == {"a": "[text]", "b": {"x": 1}}


def test_an_answer_may_be_asked_for_in_a_form(lmx: Lmx, model: str, tmp_path: Path) -> None:
    schema, grammar = tmp_path / "schema.json", tmp_path / "answer.gbnf"
    schema.write_text('{"type": "object", "properties": {"b": {}, "a": {}}}')
    grammar.write_text('root ::= "yes" | "no"')
    by_schema = lmx("enqueue", "x", "--json-schema", f"@{schema}").out
    assert get_input(lmx.database, int(by_schema))["json_schema"] == schema.read_text()
    by_grammar = lmx("enqueue", "x", "--grammar", grammar).out
    assert get_input(lmx.database, int(by_grammar))["grammar"] == grammar.read_text()
    refused = lmx("enqueue", "x", "--json-schema", "{}", "--grammar", grammar)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert lmx("enqueue", "x", "--json-schema", "{").code == 2

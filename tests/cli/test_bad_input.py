"""Bad input ends with one clear line and an exit code, and leaves nothing half-written."""

from pathlib import Path

import pytest

from tests.support.command import Lmx, count_tasks
from tests.support.hands import Hands

BAD = {
    "no such command": (["enqeue", "hi"], 2, "No such command 'enqeue'"),
    "no such option": (["enqueue", "hi", "--modle", "x"], 2, "No such option"),
    "an id that is no number": (["show", "x"], 2, "valid integer"),
    "no prompt": (["enqueue"], 2, "there is no prompt"),
    "unknown model": (["enqueue", "hi", "--model", "x"], 2, "no model is called 'x'"),
    "unserved model": (
        ["enqueue", "hi", "--model", "claude-haiku-5-5"],
        2,
        "anthropic has it: set ANTHROPIC_API_KEY, and run `lmx up`",
    ),
    "unknown workflow": (["run", "nope"], 2, "is called 'nope'; known: call, review"),
    "unknown function": (["enqueue", "--function", "nope"], 2, "is called 'nope'"),
    "bad JSON": (["enqueue", "--function", "call", "--input", "[1"], 2, "not valid JSON"),
    "JSON without a function": (
        ["enqueue", "--input", "[1]", "hi"],
        2,
        "--input is for a function",
    ),
    "negative budget": (["run", "review", "--budget", "-1"], 2, "not an amount of dollars"),
    "a budget that is no number": (["run", "review", "--budget", "much"], 2, "not an amount"),
    "a budget of half a token": (["run", "review", "--budget", "tokens=0.5"], 2, "not a budget"),
    "a priority out of range": (["run", "review", "--priority", "9999"], 2, "priority is 9999"),
    "a negative deadline": (
        ["run", "review", "--deadline", "-5"],
        2,
        "-5 is not a number of seconds",
    ),
    "a wait of no length": (
        ["enqueue", "hi", "--wait", "--timeout", "nan"],
        2,
        "number of seconds",
    ),
    "a number of 5,000 digits": (
        ["enqueue", "--function", "call", "--input", "1" * 5000],
        2,
        "more than 64 bits",
    ),
    "JSON that is none": (["enqueue", "--function", "call", "--input", "[NaN]"], 2, "NaN is no"),
    "bytes that are no text": (["enqueue", "\udcff\udcfe"], 2, "the prompt is not UTF-8"),
    "a device as a model": (["models", "add", "/dev/null"], 2, "/dev/null is no regular file"),
    "no name of a session": (["enqueue", "hi", "--session", "/"], 2, "session must be a name"),
    "no tokens": (["enqueue", "hi", "--max-tokens", "0"], 2, "max_tokens is 0"),
    "more tokens than context": (["enqueue", "hi", "--max-tokens", "512"], 2, "512 tokens"),
    "a temperature below zero": (["enqueue", "hi", "--temperature", "-1"], 2, "temperature is -1"),
    "an empty key": (["run", "review", "--idempotency-key", ""], 2, "idempotency key"),
    "a missing file": (["enqueue", "--file", "/none/x.txt"], 2, "No such file or directory"),
    "a folder as a file": (["enqueue", "--file", "/"], 2, "Is a directory"),
    "an unknown run": (["show", "99"], 2, "there is no task 99"),
    "an unknown state": (["runs", "--state", "odd"], 2, "'odd' is no state"),
    "neither run nor queue": (["pause"], 2, "either a run or a --queue"),
}


@pytest.mark.parametrize("case", BAD)
def test_is_refused_with_one_line(lmx: Lmx, hands: Hands, model: str, case: str) -> None:
    args, code, text = BAD[case]
    result = lmx(*args)
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith("lmx: ")
    assert result.err.count("\n") == 1
    assert text in result.err
    assert count_tasks(hands) == 0


def test_without_any_model_it_says_how_to_add_one(lmx: Lmx) -> None:
    result = lmx("enqueue", "hi")
    assert result.code == 2
    assert result.err == "lmx: no model is registered; add one: lmx models add FILE.gguf\n"


def test_a_nul_character_is_refused(lmx: Lmx, hands: Hands, model: str) -> None:
    result = lmx("enqueue", stdin=b"a\x00b")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "NUL" in result.err
    assert count_tasks(hands) == 0


def test_a_prompt_that_is_no_text_is_refused(lmx: Lmx, hands: Hands, model: str) -> None:
    result = lmx("enqueue", stdin=b"caf\xe9")
    assert result.code == 2
    assert "standard input is not UTF-8 text (byte 3 is not)" in result.err
    assert count_tasks(hands) == 0


def test_a_prompt_of_100_mb_is_refused_without_reading_it_all(
    lmx: Lmx, hands: Hands, model: str, tmp_path: Path
) -> None:
    huge = tmp_path / "huge.txt"
    with huge.open("wb") as stream:
        stream.truncate(100_000_000)
    result = lmx("enqueue", "--file", huge)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "has more than 32 MiB" in result.err
    assert count_tasks(hands) == 0


def test_the_database_being_down_is_one_line(
    lmx: Lmx, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    monkeypatch.setenv("LMX_DATABASE_URL", f"postgresql://u:secret@127.0.0.1:{free_port}/lmx")
    result = lmx("runs")
    assert (result.code, result.err.count("\n")) == (5, 1)
    assert "does not answer: nothing listens there" in result.err
    assert "secret" not in result.err


def test_a_setting_that_cannot_be_used_is_one_line(
    lmx: Lmx, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMX_VRAM_CAP", "lots")
    result = lmx("runs")
    assert (result.code, result.err.count("\n")) == (5, 1)
    assert "LMX_VRAM_CAP='lots' cannot be used" in result.err


def test_a_defect_is_told_without_a_traceback(lmx: Lmx, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **options: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("lmx.workflows.views.list_runs", broken)
    result = lmx("runs")
    assert (result.code, result.err.count("\n")) == (70, 1)
    assert "unexpected ZeroDivisionError" in result.err
    monkeypatch.setenv("LMX_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        lmx("runs")

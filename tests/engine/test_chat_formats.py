"""Conversations go out and answers come back through the model's own chat template."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmx.engine import InvalidRequest, ModelFileError, ModelInfo
from lmx.engine.answers import Answer, AnswerReader, read_answer
from lmx.engine.chat_formats import ChatFormat, Parser, format_chat
from lmx.engine.conversation import conversation
from tests.support.templates import ALWAYS_THINKING, HERMES, LLAMA, MISTRAL, PLAIN, THINKING

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a place",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["place"],
        },
    },
}
STOP = {"type": "function", "function": {"name": "stop"}}
USER = {"role": "user", "content": "What is the weather in Paris?"}
WITH_CALLS = {"hermes": HERMES, "thinking": THINKING, "mistral": MISTRAL, "llama": LLAMA}


def info(template: str | None) -> ModelInfo:
    return ModelInfo(
        *("m.gguf", 1, "llama", "m", "F16", 1, 1, 512, 100),
        chat_template=template,
        bos="<s>",
        eos="</s>",
        adds_bos=True,
    )


def form(template: str, messages: Any = (USER,), **options: Any) -> ChatFormat:
    return format_chat(info(template), conversation(messages, **options))


def parser(template: str, **options: Any) -> Parser:
    found = form(template, **options).parser
    assert found is not None
    return found


def call(name: str, arguments: Mapping[str, Any], id_: str = "abcdef123") -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_a_prompt_is_what_the_template_writes() -> None:
    assert form(PLAIN).prompt == (
        "<|im_start|>user\nWhat is the weather in Paris?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert form(PLAIN).parser is None


def test_the_first_token_is_not_there_twice() -> None:
    assert form(MISTRAL).prompt.startswith("[INST]")


def test_tools_and_the_results_of_calls_are_told_to_the_model() -> None:
    turns = [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [call("get_weather", {"place": "P"})]},
        {"role": "tool", "tool_call_id": "abcdef123", "content": "sunny"},
    ]
    prompt = form(HERMES, turns, tools=[WEATHER]).prompt
    assert '"description": "The weather of a place"' in prompt
    assert '<tool_call>\n{"name": "get_weather", "arguments": {"place": "P"}}' in prompt
    assert "<tool_response>\nsunny\n</tool_response>" in prompt


def test_a_named_function_is_the_only_one_and_must_be_called() -> None:
    chosen = form(
        HERMES,
        tools=[WEATHER, STOP],
        tool_choice={"type": "function", "function": {"name": "stop"}},
    )
    assert "get_weather" not in chosen.prompt
    assert not chosen.lazy and chosen.rules is not None


def test_no_tool_is_offered_where_none_may_be_called() -> None:
    silent = form(HERMES, tools=[WEATHER], tool_choice="none")
    assert silent.parser is None and silent.constraint() is None


@pytest.mark.parametrize("template", WITH_CALLS.values(), ids=WITH_CALLS.keys())
def test_what_must_be_called_is_held_to_a_grammar(template: str) -> None:
    required = form(template, tools=[WEATHER], tool_choice="required")
    assert required.constraint() is not None
    assert not required.lazy


@pytest.mark.parametrize("template", [HERMES, THINKING, MISTRAL])
def test_what_may_be_called_is_held_to_a_grammar_from_its_mark_on(template: str) -> None:
    free = form(template, tools=[WEATHER])
    assert free.lazy and free.triggers
    constraint = free.constraint()
    assert constraint is not None


@pytest.mark.parametrize(
    ("template", "options", "complaint"),
    [
        (PLAIN, {"tools": [WEATHER]}, "knows no tools"),
        ("{{ raise_exception('no system here') }}", {}, "refuses the messages: no system here"),
        ("{{ raise_exception('not so') }}", {"tools": [STOP]}, "refuses the messages: not so"),
        ("{% for", {"tools": [STOP]}, "cannot be used with tools"),
        (None, {}, "carries no chat template"),
        ("{% for", {}, "chat template fails"),
    ],
)
def test_what_a_template_cannot_do_is_refused_in_one_line(
    template: str | None, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises((InvalidRequest, ModelFileError), match=complaint) as refusal:
        format_chat(info(template), conversation([USER], **options))
    assert "\n" not in str(refusal.value)


@pytest.mark.leaves_open  # the process that took the place of the killed one
def test_a_template_that_never_ends_is_refused_and_the_next_one_works() -> None:
    endless = "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}"
    with pytest.raises(InvalidRequest, match="takes too long or crashes"):
        form(endless)
    assert form(PLAIN).prompt.endswith("assistant\n")


def test_reasoning_is_told_apart_from_the_text() -> None:
    answer = read_answer(parser(THINKING), "<think>\nParis is sunny.\n</think>\n\nSunny!")
    assert answer == Answer("Sunny!", "Paris is sunny.\n") or answer.text == "Sunny!"
    assert answer.reasoning.strip() == "Paris is sunny."


def test_reasoning_that_the_prompt_began_is_told_apart_too() -> None:
    chat = form(ALWAYS_THINKING)
    assert chat.begins_with_reasoning
    answer = read_answer(parser(ALWAYS_THINKING), "Hm, yes.\n</think>\n\nSunny!")
    assert (answer.reasoning.strip(), answer.text) == ("Hm, yes.", "Sunny!")


def test_reasoning_can_be_switched_off() -> None:
    assert form(THINKING, thinking=False).prompt.endswith("<think>\n\n</think>\n\n")
    assert form(THINKING).prompt.endswith("assistant\n")


def test_a_template_takes_options_of_its_own() -> None:
    style = "{{ style }}{% for m in messages %}{{ m.content }}{% endfor %}"
    assert form(style, template_options={"style": "terse: "}).prompt.startswith("terse: What")


CALLS = {
    "hermes": '<tool_call>\n{"name": "get_weather", "arguments": {"place": "Paris"}}\n</tool_call>',
    "thinking": (
        '<tool_call>\n{"name": "get_weather", "arguments": {"place": "Paris"}}\n</tool_call>'
    ),
    "mistral": (
        '[TOOL_CALLS][{"name": "get_weather", "arguments": {"place": "Paris"}, "id": "123456789"}]'
    ),
    "llama": '{"name": "get_weather", "parameters": {"place": "Paris"}}',
}


@pytest.mark.parametrize("family", WITH_CALLS)
def test_a_call_is_read_and_never_shown_as_text(family: str) -> None:
    tools = parser(WITH_CALLS[family], tools=[WEATHER, STOP])
    reader = AnswerReader(tools, "salt")
    shown = [reader.feed(letter).text for letter in CALLS[family]]
    last = reader.finish()
    assert "".join(shown) == "" and last.text == ""
    [only] = last.tool_calls
    assert only.name == "get_weather" and json.loads(only.arguments) == {"place": "Paris"}
    assert only.id == "123456789" if family == "mistral" else len(only.id) == 9


def test_text_before_a_call_is_shown_at_once() -> None:
    reader = AnswerReader(parser(HERMES, tools=[WEATHER]))
    assert reader.feed("Let me see. ").text.startswith("Let me see.")
    reader.feed("<tool")
    rest = "_call>\n" + CALLS["hermes"].removeprefix("<tool_call>\n")
    assert reader.feed(rest).text == ""
    assert [call.name for call in reader.finish().tool_calls] == ["get_weather"]


@pytest.mark.parametrize("cut", range(1, len(CALLS["hermes"]) - len("</tool_call>") - 2, 7))
def test_half_a_call_is_text_and_not_a_call(cut: int) -> None:
    raw = CALLS["hermes"][:cut]
    assert read_answer(parser(HERMES, tools=[WEATHER]), raw) == Answer(raw)


ARGUMENTS = st.fixed_dictionaries(
    {"place": st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)},
    optional={"days": st.integers(-1000, 1000)},
)


@settings(max_examples=25, deadline=None)
@given(st.lists(ARGUMENTS, min_size=1, max_size=3))
def test_what_is_rendered_as_a_call_is_read_as_that_call(calls: list[dict[str, Any]]) -> None:
    turn = {
        "role": "assistant",
        "content": "",
        "tool_calls": [call("get_weather", arguments) for arguments in calls],
    }
    prompt = form(HERMES, [USER, turn, USER], tools=[WEATHER]).prompt
    raw = prompt.partition("<|im_start|>assistant\n")[2].partition("<|im_end|>")[0].strip()
    answer = read_answer(parser(HERMES, tools=[WEATHER], parallel_tool_calls=True), raw)
    assert [json.loads(one.arguments) for one in answer.tool_calls] == calls
    assert answer.text.strip() == ""


MARKS = ["<tool_call>", "</tool_call>", "\n", '{"name": "get_weather", "arguments": ', "{", "}"]
MARKS += ['"place"', ": ", '"', "<think>", "</think>", "[TOOL_CALLS]", "\ufffd", "\u0000", "é", "x"]


def pieces_of(reader: AnswerReader, raw: list[str]) -> Iterator[str]:
    for piece in raw:
        delta = reader.feed(piece)
        yield from (delta.reasoning, delta.text)
    last = reader.finish()
    yield from (last.reasoning, last.text)
    for one in last.tool_calls:
        yield from (one.name, one.arguments)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([HERMES, THINKING]), st.lists(st.sampled_from(MARKS), max_size=24))
def test_no_answer_crashes_the_reader_or_loses_its_words(template: str, raw: list[str]) -> None:
    reader = AnswerReader(parser(template, tools=[WEATHER]))
    shown = "".join(pieces_of(reader, raw))
    for word in ("é", "x"):
        assert shown.count(word) >= "".join(raw).count(word)


@pytest.mark.leaves_open
def test_an_answer_that_crashes_the_library_is_text() -> None:
    raw = '<tool_call>\n{"name": "get_weather", "arguments": {"place": ' + "[" * 200_000
    tools = parser(HERMES, tools=[WEATHER])
    assert read_answer(tools, raw) == Answer(raw)
    assert read_answer(tools, "Hello").text == "Hello"


@pytest.mark.parametrize(
    ("messages", "options", "complaint"),
    [
        ([], {}, "messages is empty"),
        ("hi", {}, "messages is empty"),
        ([{"role": 1}], {}, r"messages\[0\] needs a role"),
        ([{"role": "user", "content": 5}], {}, "not text"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], {}, "only text can be read"),
        ([{"role": "user", "content": "\ud800"}], {}, "not valid Unicode"),
        ([{"role": "assistant", "tool_calls": [{}]}], {}, r"tool_calls\[0\] needs an id"),
        ([{"role": "assistant", "tool_calls": [call("f", [])]}], {}, "must be a JSON object"),  # type: ignore[arg-type]
        ([USER], {"tools": [{}]}, r"tools\[0\] must be"),
        ([USER], {"tools": [{"function": {"name": "a b"}}]}, "1 to 64 letters"),
        ([USER], {"tools": [STOP, STOP]}, "two functions called 'stop'"),
        ([USER], {"tools": [STOP] * 129}, "at most 128"),
        ([USER], {"tools": [STOP], "tool_choice": "go"}, "tool_choice must be"),
        ([USER], {"tool_choice": "required"}, "there are no tools"),
        ([USER], {"template_options": {"a b": 1}}, "no name of a variable"),
    ],
)
def test_malformed_messages_and_tools_are_refused_in_one_line(
    messages: Any, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InvalidRequest, match=complaint) as refusal:
        conversation(messages, **options)
    assert "\n" not in str(refusal.value)

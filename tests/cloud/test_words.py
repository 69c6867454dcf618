"""A task's call in each provider's words: turns, tools, files, forms."""

import json
from typing import Any

import pytest

from lmx.workers.cloud.answer import Question
from lmx.workers.cloud.errors import ProviderError
from lmx.workers.cloud.words_anthropic import for_anthropic
from lmx.workers.cloud.words_gemini import config, contents
from lmx.workers.cloud.words_openai import for_openai

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Bern"}'},
}
TEXT = {"type": "text", "text": "Hi"}
TURNS: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "How is Bern?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    {"role": "user", "content": "And now?"},
]


def question(**call: Any) -> Question:
    return Question.read({"model": "m", "max_tokens": 9, "messages": TURNS, **call})


def test_anthropic_hears_turns_tools_and_their_results() -> None:
    request = for_anthropic(question(tools=json.dumps([WEATHER]), tool_choice="weather"))
    assert request["system"] == [{"type": "text", "text": "Be brief."}]
    assert [turn["role"] for turn in request["messages"]] == ["user", "assistant", "user"]
    used = {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Bern"}}
    assert request["messages"][1]["content"] == [used]
    sunny = [{"type": "text", "text": "sunny"}]
    result = {"type": "tool_result", "tool_use_id": "call_1", "content": sunny}
    assert request["messages"][2]["content"] == [result, {"type": "text", "text": "And now?"}]
    assert request["tools"][0]["input_schema"] == WEATHER["function"]["parameters"]  # type: ignore[index]
    assert request["tool_choice"] == {"type": "tool", "name": "weather"}


def test_gemini_hears_turns_tools_and_their_results() -> None:
    asked = question(tools=json.dumps([WEATHER]), tool_choice="required")
    turns = contents(asked)
    assert [turn["role"] for turn in turns] == ["user", "model", "user"]
    (called,) = turns[1]["parts"]
    assert called["function_call"] == {"name": "weather", "args": {"city": "Bern"}}
    answered = {"function_response": {"name": "weather", "response": {"result": "sunny"}}}
    assert turns[2]["parts"] == [answered, {"text": "And now?"}]
    settings = config(asked)
    assert settings["system_instruction"] == "Be brief."
    assert settings["tool_config"] == {"function_calling_config": {"mode": "ANY"}}
    assert settings["automatic_continuation"] is False


def test_a_schema_holds_the_answer_s_form() -> None:
    asked = question(json_schema='{"type": "object"}')
    assert for_anthropic(asked)["output_config"]["format"]["schema"] == {"type": "object"}
    assert config(asked)["response_json_schema"] == {"type": "object"}


def test_images_go_by_reference_or_inline() -> None:
    parts = [
        {"type": "text", "text": "What is it?"},
        {"type": "image", "url": "https://example.org/a.png"},
        {"type": "image", "media_type": "image/png", "data": b"hi"},
    ]
    asked = question(messages=[{"role": "user", "content": parts}])
    sources = [block.get("source") for block in for_anthropic(asked)["messages"][0]["content"]]
    assert sources[1] == {"type": "url", "url": "https://example.org/a.png"}
    assert sources[2] == {"type": "base64", "media_type": "image/png", "data": "aGk="}
    assert contents(asked)[0]["parts"][2] == {
        "inline_data": {"mime_type": "image/png", "data": b"hi"}
    }


def test_what_no_provider_understands_is_refused() -> None:
    asked = question(messages=[{"role": "user", "content": [{"type": "smell"}]}])
    with pytest.raises(ProviderError, match="'smell' cannot be sent"):
        for_anthropic(asked)
    with pytest.raises(ProviderError, match="'smell' cannot be sent"):
        contents(asked)


def test_a_mark_of_a_message_stands_on_its_last_part() -> None:
    marked = {"role": "user", "content": [TEXT, TEXT], "cache": "1h"}
    result = {"role": "tool", "tool_call_id": "call_1", "content": "sunny", "cache": True}
    turns = for_anthropic(question(messages=[marked, TURNS[2], result]))["messages"]
    first, last = turns[0]["content"]
    assert "cache_control" not in first
    assert last["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert turns[2]["content"][0]["cache_control"] == {"type": "ephemeral"}
    assert "cache_control" not in turns[2]["content"][0]["content"][0]


def test_an_answer_goes_back_to_its_provider_as_it_was() -> None:
    blocks = [{"type": "thinking", "thinking": "Hm.", "signature": "s"}]
    signed = {**CALL, "signature": "aGk="}
    said = {"role": "assistant", "content": "", "tool_calls": [signed], "thinking_blocks": blocks}
    asked = question(messages=[TURNS[1], said])
    assert for_anthropic(asked)["messages"][1]["content"][0] == blocks[0]
    assert contents(asked)[1]["parts"][0]["thought_signature"] == b"hi"
    assert for_openai(asked)["messages"][1]["tool_calls"] == [CALL]


def test_what_another_model_has_called_needs_no_signature_of_gemini_s() -> None:
    three, two = question(), Question("gemini-2.5-flash", TURNS, 9)
    assert contents(three)[1]["parts"][0]["thought_signature"].startswith(b"skip_")
    assert "thought_signature" not in contents(two)[1]["parts"][0]


def test_ids_of_calls_may_come_again_in_later_turns() -> None:
    later = {**CALL, "function": {"name": "time", "arguments": "{}"}}
    again = {"role": "tool", "tool_call_id": "call_1", "content": "noon"}
    asked = question(messages=[*TURNS, {**TURNS[2], "tool_calls": [later]}, again])
    names = [
        part["function_response"]["name"]
        for turn in contents(asked)
        for part in turn["parts"]
        if "function_response" in part
    ]
    assert names == ["weather", "time"]


@pytest.mark.parametrize("words", [for_anthropic, contents])
def test_arguments_that_are_no_object_are_refused_before_anything_is_sent(words: Any) -> None:
    broken = {**CALL, "function": {"name": "weather", "arguments": "[1"}}
    asked = question(messages=[{"role": "assistant", "content": "", "tool_calls": [broken]}])
    with pytest.raises(ProviderError, match="the arguments of weather are no object") as raised:
        words(asked)
    assert not raised.value.meaning.billed


def test_a_file_that_is_kept_no_more_fails_its_call_for_nothing() -> None:
    part = {"type": "file", "sha256": "0" * 64, "name": "a.pdf"}
    with pytest.raises(ProviderError, match=r"a\.pdf is kept no more") as raised:
        question(messages=[{"role": "user", "content": [part]}])
    assert raised.value.meaning.final

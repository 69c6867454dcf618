"""Text that follows a grammar or a JSON schema, whatever the model would rather say."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from lmx.engine import Engine, InvalidRequest, Sampling
from tests.engine.conftest import N_CTX, MakeEngine

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer"},
        "likes": {
            "type": "array",
            "items": {"enum": ["tea", "c\\d", 'say "é"']},
            "minItems": 1,
            "maxItems": 2,
        },
        "friend": {"anyOf": [{"$ref": "#/$defs/friend"}, {"type": "null"}]},
    },
    "required": ["name", "age", "likes", "friend"],
    "$defs": {
        "friend": {
            "type": "object",
            "properties": {"met": {"type": "string", "format": "date"}},
            "required": ["met"],
        }
    },
}


@pytest.fixture
def engine(make_engine: MakeEngine) -> Engine:
    return make_engine()


def generate(engine: Engine, model: Path, **options: Any) -> tuple[str, str]:
    if "prompt" not in options:
        options["messages"] = [{"role": "user", "content": "Tell me of a person."}]
    result = engine.submit(model=model, n_ctx=N_CTX, **options).result()
    return result.text, result.finish_reason


def nested_ways(levels: int) -> str:
    """A small grammar that can begin in 2**levels ways."""
    rules = [f'r{i} ::= r{i + 1} "1" | r{i + 1} "2"' for i in range(levels)]
    return "\n".join(["root ::= r0", *rules, f'r{levels} ::= "x"'])


@pytest.mark.parametrize("seed", range(3))
def test_a_text_that_stopped_is_json_of_the_schema(engine: Engine, model: Path, seed: int) -> None:
    sampling = Sampling(temperature=1.5, top_k=0, top_p=1, min_p=0, seed=seed)
    text, reason = generate(engine, model, json_schema=PERSON, max_tokens=250, sampling=sampling)
    assert reason == "stop"
    person = json.loads(text)
    assert set(person) == {"name", "age", "likes", "friend"}
    assert len(person["name"]) <= 20
    assert isinstance(person["age"], int)
    assert 1 <= len(person["likes"]) <= 2
    assert set(person["likes"]) <= {"tea", "c\\d", 'say "é"'}
    assert person["friend"] is None or len(person["friend"]["met"]) == 10


def test_a_text_that_reached_its_length_begins_one_of_the_schema(
    engine: Engine, model: Path
) -> None:
    text, reason = generate(engine, model, json_schema=PERSON, max_tokens=5)
    assert reason == "length"
    assert text.replace(" ", "").startswith('{"name":"'[: len(text.replace(" ", ""))])


def test_a_grammar_is_followed_and_ends_the_text_by_itself(
    engine: Engine, model: Path, endless: Sampling
) -> None:
    text, reason = generate(
        engine,
        model,
        grammar='root ::= ("oui" | "nön") "-"{2} [0-9]{3}',
        max_tokens=100,
        sampling=endless,
    )
    assert reason == "stop"
    assert text[:5] in ("oui--", "nön--")
    assert len(text) == 8
    assert text[5:].isdigit()


def test_two_requests_with_and_without_a_grammar_share_a_batch(engine: Engine, model: Path) -> None:
    greedy = Sampling(temperature=0)
    alone, _ = generate(engine, model, prompt="One, two,", max_tokens=8, sampling=greedy)
    free = engine.submit(
        model=model, prompt="One, two,", max_tokens=8, n_ctx=N_CTX, sampling=greedy
    )
    bound = engine.submit(
        model=model, prompt="One, two,", max_tokens=30, n_ctx=N_CTX, grammar="root ::= [a-c]{4}"
    )
    assert free.result().text == alone
    assert set(bound.result().text) <= set("abc")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"grammar": 'root ::= "a'}, "unexpected end of input"),
        ({"grammar": ""}, "Undefined rule identifier 'root'"),
        ({"grammar": "root ::= missing"}, "Undefined rule identifier 'missing'"),
        ({"grammar": 'root ::= root "a" | "b"'}, "left recursion"),
        ({"grammar": 'root ::= e root "a" | "x"\ne ::= f\nf ::= ""'}, "left-recursive|overwhelms"),
        ({"grammar": "root ::= <[5]>"}, "names a token"),
        ({"grammar": 'root ::= ("a"{1,1000}){1,1000}'}, "exceeds sane defaults"),
        ({"grammar": "root ::= " + "(" * 30_000 + '"a"'}, "overwhelms the parser"),
        ({"grammar": nested_ways(40)}, "overwhelms the parser"),
        ({"grammar": nested_ways(12)}, "too ambiguous"),
        ({"grammar": "root ::= " + " ".join(['"a"'] * 20_000)}, "may have 65536"),
        ({"grammar": "a\0b"}, "without NUL"),
        ({"grammar": 'root ::= "a"', "json_schema": {}}, "either grammar= or json_schema="),
        ({"grammar": 'root ::= "a"', "stop": ["a"]}, "leave out stop="),
        ({"json_schema": {"type": "thing"}}, "type 'thing' at #"),
        ({"json_schema": {"type": "string", "pattern": "^a$"}}, "'pattern' at #"),
        (
            {"json_schema": {"properties": {"a": {"type": "integer", "minimum": 1}}}},
            "'minimum' at #/properties/a",
        ),
        ({"json_schema": {"$ref": "https://example.org/x"}}, r"must be '#/\$defs/NAME'"),
        ({"json_schema": {"$ref": "#/$defs/a"}}, "cannot be made a grammar"),
        (
            {"json_schema": {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}},
            "left recursion",
        ),
        (
            {"json_schema": {"type": "array", "items": {}, "maxItems": 10**9}},
            "from 0 to 256",
        ),
        ({"json_schema": {"const": float("nan")}}, "cannot be written as JSON"),
    ],
)
def test_a_bad_grammar_is_refused_in_one_line(
    engine: Engine, model: Path, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InvalidRequest, match=complaint) as refusal:
        engine.submit(model=model, prompt="a", n_ctx=N_CTX, **options)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 400
    assert engine.snapshot()["totals"]["requests"] == 0


def test_an_ambiguous_grammar_does_not_hold_up_the_others(engine: Engine, model: Path) -> None:
    grammar = 'root ::= "x" one | "x" two | "x"\none ::= root "1"\ntwo ::= root "2"'
    began = time.monotonic()
    request = engine.submit(
        model=model, prompt="x" * 200, max_tokens=64, n_ctx=N_CTX, grammar=grammar
    )
    other = engine.submit(model=model, prompt="One, two,", max_tokens=4, n_ctx=N_CTX)
    assert other.result(timeout=60).completion_tokens >= 1
    assert set(request.result(timeout=60).text) <= set("x12")
    assert time.monotonic() - began < 60

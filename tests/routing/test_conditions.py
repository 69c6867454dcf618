"""Conditions over the features of a call: what they can say, and what is refused when read."""

import pytest

from lmx.workflows.routing.conditions import BadCondition, read_condition
from lmx.workflows.routing.features import Features

CALL = Features(
    route="research",
    prompt_bytes=3000,
    prompt_tokens=1000,
    max_tokens=512,
    tools=True,
    labels={"team": "search"},
    priority=5,
    cost_usd=0.002,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("prompt_tokens < 2000 and tools", True),
        ("prompt_tokens < 2000 and not tools", False),
        ("route in ['research', 'bulk'] and priority >= 5", True),
        ("route =~ '^re.*' or private", True),
        ("labels['team'] == 'search'", True),
        ("'team' in labels", True),
        ("cost_usd < 0.01", True),
        ("prompt_tokens + max_tokens > 1500", True),
    ],
)
def test_a_condition_is_asked_of_a_call(text: str, expected: bool) -> None:
    assert read_condition(text).matches(CALL) is expected


@pytest.mark.parametrize(
    "text", ["labels['owner'] == 'me'", "labels&['owner'] == 'me'", "budget_usd > 0.01"]
)
def test_what_a_call_does_not_have_does_not_match(text: str) -> None:
    assert not read_condition(text).matches(CALL)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("prompt_tokenz > 3", "unknown name 'prompt_tokenz' (did you mean 'prompt_tokens'?)"),
        ("tools or sise > 3", "at column 10"),
        ("private and", "it ends too soon at column 12"),
        ("priority @ 3", "is not expected at column 10"),
        ("priority > 'high'", "data type mismatch"),
        ("priority", "it is not a condition"),
        ("$random() > 0.5", "depends on nothing but the call"),
        ("route =~ '(('", "invalid regular expression"),
        ("__import__('os')", "unknown name '__import__'"),
        ("route.__class__ == 1", "unknown attribute"),
        ("", "it ends too soon"),
        ("1 / 0 > 1", "division by zero"),
        ("labels.team == 'search'", "written as labels"),
    ],
)
def test_what_cannot_be_asked_is_refused_when_it_is_read(text: str, reason: str) -> None:
    with pytest.raises(BadCondition) as raised:
        read_condition(text)
    assert reason in raised.value.message

"""Profiles: what they may say, and the one line that tells what is wrong with one."""

from pathlib import Path

import pytest

from lmx.api.rehearsal.scenario import load_scenario, served
from lmx.workflows.errors import LmxError, NotFound

AGENTS = """
[[agents]]
model = "claude-haiku-5-5"
count = 2
calls = 3
prompt_tokens = 100
max_tokens = 50
"""


def profile(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text)
    return str(path)


def test_the_sprint_is_sixteen_agents_and_the_local_model() -> None:
    sprint = load_scenario("sprint")
    assert {one.model: one.count for one in sprint.cloud} == {
        "gemini-3.5-flash-lite": 8,
        "claude-haiku-5-5": 4,
        "gemini-3.8-flash": 2,
        "gemini-3.1-pro-preview": 2,
    }
    assert [one.model for one in sprint.agents if one.local] == ["local"]


def test_a_profile_names_accounts_limits_and_the_pace_of_models(tmp_path: Path) -> None:
    text = """
    minutes = 480
    [[account]]
    provider = "anthropic"
    tier = 2
    [account.limits.haiku]
    rpm = 7
    [pace]
    tokens_per_s = 50
    [pace.claude-haiku-5-5]
    first_token_s = 2.5
    """
    scenario = load_scenario(profile(tmp_path, text + AGENTS))
    told = served(scenario)
    [limit] = told["pools"]["anthropic/default/haiku"]["limits"]
    assert limit["limit"] == 7
    assert told["models"]["claude-haiku-5-5"] == {
        "pool": "anthropic/default/haiku",
        "tokens_per_s": 50.0,
        "first_token_s": 2.5,
    }


def test_a_profile_may_bring_a_server_of_its_own(tmp_path: Path) -> None:
    text = """
    minutes = 1
    [[account]]
    provider = "openai"
    name = "ollama"
    base_url = "http://127.0.0.1:11434/v1"
    models = [{ id = "qwen3:8b", context = 32_768, max_output = 8_192 }]
    """
    agents = AGENTS.replace("claude-haiku-5-5", "qwen3:8b")
    assert list(served(load_scenario(profile(tmp_path, text + agents)))["pools"]) == [
        "openai/ollama/qwen3:8b"
    ]


def test_a_throttled_pool_is_granted_a_tenth_and_the_others_all() -> None:
    sprint = load_scenario("sprint")
    flash = "gemini/default/flash"
    before, after = served(sprint)["pools"], served(sprint, throttled=flash)["pools"]
    assert [one["limit"] for one in before[flash]["limits"]] == [10, 250_000, 250]
    assert [one["limit"] for one in after.pop(flash)["limits"]] == [1, 25_000, 25]
    assert all(before[pool] == limits for pool, limits in after.items())
    with pytest.raises(NotFound, match="no pool of this rehearsal is called 'flash'"):
        served(sprint, throttled="flash")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("minutes = ", "not valid TOML"),
        ("minutes = 5", "there are no [[agents]] in it"),
        (AGENTS, "minutes is None but must be a number from 0.01"),
        ("minutes = 1e9" + AGENTS, "minutes is 1000000000.0 but must be a number"),
        ("minutes = 5\ncolour = 1" + AGENTS, "unknown key 'colour'; known: account, agents"),
        ("minutes = 5" + AGENTS.replace("= 2", "= 0"), "[[agents]] 1: count is 0 but must be"),
        ("minutes = 5" + AGENTS.replace("= 3", "= true"), "[[agents]] 1: calls is True but"),
        ("minutes = 5" + AGENTS.replace("calls = 3", ""), "[[agents]] 1: calls is missing"),
        ("minutes = 5" + AGENTS.replace("haiku", "haikou"), "did you mean claude-haiku-5-5"),
        ("minutes = 5" + AGENTS.replace("= 50", "= 99_999"), "answers with at most 64000 tokens"),
        ("minutes = 5\n[pace]\nspeed = 3" + AGENTS, "[pace]: unknown key 'speed'"),
        ("minutes = 5\n[pace]\nshortest = 'x'" + AGENTS, "[pace] shortest is 'x' but must be"),
        ('minutes = 5\n[[account]]\nprovider = "anthropic"\ntier = 9' + AGENTS, "tier '9'"),
        ('minutes = 5\n[[account]]\nprovider = "acme"' + AGENTS, "an account's provider is one of"),
        (
            'minutes = 5\n[[account]]\nprovider = "gemini"\n[[account]]\nprovider = "gemini"\n'
            'name = "b"' + AGENTS,
            "plays one account of gemini",
        ),
    ],
)
def test_a_bad_profile_is_refused_in_one_line_that_names_it(
    tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(LmxError) as refused:
        load_scenario(profile(tmp_path, text))
    assert says in str(refused.value)
    assert "mine.toml" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_profile_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="cannot be read: No such file"):
        load_scenario(str(tmp_path / "none.toml"))
    with pytest.raises(NotFound, match="there is no rehearsal called 'marathon'"):
        load_scenario("marathon")

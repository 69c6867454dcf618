"""Rules in TOML: the first that matches wins, and a bad file is refused in one line."""

from pathlib import Path

import pytest

from lmx.workflows.errors import ConfigError, NotFound
from lmx.workflows.providers.catalog import load_catalog
from lmx.workflows.routing.features import Features
from lmx.workflows.routing.rules import load_rules, read_rules

SHORT = '[[rule]]\nname = "short"\nroute = "research"\nwhen = "prompt_tokens < 100"\n'


def test_the_shipped_rules_send_work_where_practice_does() -> None:
    rules = load_rules()

    def first(**about: object) -> str:
        return rules.match(Features(**about)).models[0]  # type: ignore[arg-type]

    assert first(route="execute") == "claude-opus-5-5"
    assert first(route="research") == first(route="analyse") == "gemini-3.8-flash"
    assert first(route="bulk") == "gemini-3.5-flash-lite"
    assert first(route="private") == "local"
    assert all(rules.match(Features(route=r, private=True)).models == ("local",)
               for r in rules.routes)  # fmt: skip


def test_every_model_that_the_shipped_rules_name_is_in_the_catalogue() -> None:
    known = set(load_catalog().models)
    named = {name for rule in load_rules().rules for name in rule.models}
    assert {name for name in named if "*" not in name and name != "local"} <= known


def test_one_s_own_rules_come_before_the_shipped_ones(tmp_path: Path) -> None:
    (tmp_path / "routes.toml").write_text(SHORT + 'models = ["claude-haiku-5-5"]\n')
    rules = load_rules(tmp_path)
    assert rules.match(Features(route="research", prompt_tokens=10)).name == "short"
    assert rules.match(Features(route="research", prompt_tokens=1000)).name != "short"
    assert rules.version != load_rules().version


def test_the_shipped_rules_can_be_left_out() -> None:
    rules = read_rules("shipped = false\n" + SHORT + 'models = ["m"]', "routes.toml")
    assert rules.routes == ("research",)
    with pytest.raises(NotFound, match="no rule of the route 'research' matches"):
        rules.match(Features(route="research", prompt_tokens=1000))
    with pytest.raises(NotFound, match="there is no route 'bulk'"):
        rules.match(Features(route="bulk"))


def test_waiting_is_told_in_people_s_units() -> None:
    for text, seconds in (("500ms", 0.5), ("30s", 30), ("5min", 300), ("2h", 7200)):
        rules = read_rules(SHORT + f'models = ["m"]\nmax_wait = "{text}"', "routes.toml")
        terms = rules.rules[0].terms
        assert (terms.max_wait_s, terms.divert) == (seconds, True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[[rule]\n", "routes.toml: not valid TOML"),
        ("rule = 3", "routes.toml: write rules as [[rule]] tables"),
        ("roule = 3", "routes.toml: unknown key 'roule'"),
        ("[[rule]]\nmodels = ['m']", "routes.toml:1: rule 1: it needs a name"),
        (SHORT, "routes.toml:1: rule 1 (short): models is a list of names"),
        (SHORT + "models = 'm'", "models is a list of names"),
        (SHORT + "models = ['m']\nmodel = 'm'", "unknown key 'model'"),
        (SHORT + "models = ['m']\nmax_wait = 30", "max_wait is 30; write"),
        (SHORT + "models = ['m']\ndivert = false\nmax_wait = '1s'", "means nothing without"),
        (SHORT + "models = ['m']\norder = 'luck'", "order is 'luck'"),
        (SHORT + "models = ['m']\nmax_cost = 'much'", "is not an amount of dollars"),
        (
            SHORT + "models = ['m']\n\n# second\n[[rule]]\nname='b'\nmodels=['m']\nwhen='sise > 1'",
            "routes.toml:8: rule 2 (b): when: unknown name 'sise'",
        ),
        (
            SHORT + "models = ['m']\n" + SHORT + "models = ['m']\n",
            "routes.toml:6: there are two rules called 'short'",
        ),
    ],
)
def test_a_bad_file_is_one_line_with_its_place(text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read_rules(text, "routes.toml")
    assert reason in raised.value.message
    assert "\n" not in str(raised.value)

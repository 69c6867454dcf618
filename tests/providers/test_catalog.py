"""Which models can be called, by which accounts, within which limits."""

from pathlib import Path

import pytest

from lmx.workflows.errors import LmxError, NotFound
from lmx.workflows.limits.pool import read_limits
from lmx.workflows.providers.catalog import Catalog, load_catalog
from lmx.workflows.providers.pricing import load_prices


def catalog(home: Path, text: str) -> Catalog:
    (home / "providers.toml").write_text(text)
    return load_catalog(home)


def test_every_shipped_model_has_a_price_and_limits_in_every_tier() -> None:
    shipped = load_catalog()
    priced = {row.model for row in load_prices().rows}
    assert set(shipped.models) == priced
    for model in shipped.models.values():
        for tier, groups in shipped.tiers[model.provider].items():
            assert model.group in groups, f"{model.id} has no limits in tier {tier}"


def test_every_shipped_limit_makes_a_pool() -> None:
    shipped = load_catalog()
    for model in shipped.models.values():
        for account in shipped.accounts_for(model):
            pool = shipped.pool(account, model)
            assert read_limits(pool.limits, {})
            assert pool.name == f"{model.provider}/default/{model.group}"
            assert pool.queue == model.provider


def test_anthropic_is_metered_by_buckets_and_gemini_by_windows_and_pacific_days() -> None:
    shipped = load_catalog()

    def kinds(name: str) -> dict[str, str]:
        model = shipped.model(name)
        pool = shipped.pool(shipped.accounts_for(model)[0], model)
        return {limit["name"]: limit["kind"] for limit in pool.limits}

    assert kinds("claude-haiku-5-5") == {
        "requests/min": "bucket",
        "input tokens/min": "bucket",
        "output tokens/min": "bucket",
    }
    assert kinds("gemini-3.8-flash") == {
        "requests/min": "window",
        "input tokens/min": "window",
        "requests/day": "day",
    }
    gemini = next(one for one in shipped.accounts if one.provider == "gemini")
    shared = shipped.shared_pool(gemini)
    assert shared is not None
    assert shared.name == "gemini/default/*"
    assert [limit["name"] for limit in shared.limits] == ["dollars/10min"]


def test_the_file_sets_what_groups_share_and_what_may_be_spent(tmp_path: Path) -> None:
    known = catalog(
        tmp_path,
        """
        [[account]]
        provider = "gemini"
        [account.limits."*"]
        usd_10min = "7"
        [[budget]]
        per = "day"
        usd = "5.00"
        zone = "Europe/Berlin"
        [[budget]]
        per = "month"
        calls = 1000
        account = "gemini/default"
        """,
    )
    shared = known.shared_pool(known.accounts[0])
    assert shared is not None
    assert shared.limits[0]["limit"] == 7_000_000_000
    assert [str(one) for one in known.allowances] == [
        "$5.00 a day",
        "1,000 calls a month for gemini/default",
    ]


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ('per = "day"', "a budget has one amount"),
        ('usd = "1"\ntokens = 5', "a budget has one amount"),
        ('usd = "1"\nper = "week"', "'week' is no period"),
        ('usd = "1"\naccount = "anthropic/defualt"', "a budget is for no account"),
        ('euro = "1"', "unknown key 'euro'"),
    ],
)
def test_a_budget_that_cannot_be_meant_names_the_file(
    tmp_path: Path, budget: str, said: str
) -> None:
    with pytest.raises(LmxError, match=said) as raised:
        catalog(tmp_path, f"[[budget]]\n{budget}")
    assert "providers.toml" in str(raised.value)


def test_an_unknown_model_is_told_with_its_neighbours() -> None:
    with pytest.raises(NotFound) as raised:
        load_catalog().model("claude-haiku-5")
    assert "claude-haiku-5-5" in str(raised.value.hint)


def test_several_accounts_are_several_pools(tmp_path: Path) -> None:
    found = catalog(
        tmp_path,
        """
        [[account]]
        provider = "anthropic"
        name = "home"
        [[account]]
        provider = "anthropic"
        name = "office"
        tier = 4
        key_env = "WORK_KEY"
        [account.limits.haiku]
        rpm = 7
        """,
    )
    haiku = found.model("claude-haiku-5-5")
    pools = [found.pool(account, haiku) for account in found.accounts_for(haiku)]
    assert [pool.name for pool in pools] == ["anthropic/home/haiku", "anthropic/office/haiku"]
    assert [pool.limits[0]["limit"] for pool in pools] == [50, 7]
    assert len(pools[1].limits) == 1


def test_a_server_that_speaks_openai_is_an_account_with_models_of_its_own(tmp_path: Path) -> None:
    found = catalog(
        tmp_path,
        """
        [[account]]
        provider = "openai"
        name = "ollama"
        base_url = "http://127.0.0.1:11434/v1"
        models = [{ id = "qwen3:8b", context = 32_768, max_output = 8_192 }]
        """,
    )
    model = found.model("qwen3:8b")
    pool = found.pool(found.accounts_for(model)[0], model)
    assert (pool.queue, pool.name, pool.limits) == ("openai-ollama", "openai/ollama/qwen3:8b", [])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("account = 3", "write them as"),
        ("[[acount]]", "unknown key 'acount'"),
        ("[[account]]\nprovider = 'bard'", "provider is one of"),
        ("[[account]]\nprovider = 'openai'", "needs a base_url"),
        ("[[account]]\nprovider = 'gemini'\nkey = 'AIza'", "unknown key 'key'"),
        ("[[account]]\nprovider = 'gemini'\n[[account]]\nprovider = 'gemini'", "is there twice"),
        ("[[model]]\nid = 'x'", "a model needs"),
        ("[[account]]\nprovider = 'gemini'\nlimits = 5", "limits of the account must be a table"),
        (
            "[[account]]\nprovider = 'gemini'\nmodels = ['x']",
            "models of the account must be",
        ),
        ("[[account]]\nprovider = 'gemini'\nclock_rate = 'x'", "must be a number above 0"),
        ("[[account]]\nprovider = 'openai'\nbase_url = 'localhost:11434'", "an address such as"),
        (
            "[[account]]\nprovider = 'gemini'\n[account.limits.flsh]\nrpm = 1",
            "limits of 'flsh'",
        ),
        (
            "[[model]]\nid = 'x'\nprovider = 'gemini'\ngroup = 'g'\ncontext = 'long'",
            "context of the model must be a whole number",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(LmxError, match=reason):
        catalog(tmp_path, text)


def test_a_key_in_the_wrong_place_is_not_told_again(tmp_path: Path) -> None:
    for key in ("sk-ant-api03-secret", "AIzaSySecret"):
        with pytest.raises(LmxError, match="no name of an environment variable") as raised:
            catalog(tmp_path, f"[[account]]\nprovider = 'anthropic'\nkey_env = '{key}'")
        assert key not in str(raised.value)


@pytest.mark.parametrize(
    ("account", "reason"),
    [
        ("tier = 9", "unknown tier '9'"),
        ("[account.limits.haiku]\nrpm = 0", "rpm is 0"),
        ("[account.limits.haiku]\nrps = 3", "unknown limit 'rps'"),
        ("[account.limits.haiku]\nusd_10min = 'much'", "is not an amount"),
    ],
)
def test_limits_that_cannot_be_meant_are_refused(tmp_path: Path, account: str, reason: str) -> None:
    found = catalog(tmp_path, f"[[account]]\nprovider = 'anthropic'\n{account}")
    with pytest.raises(LmxError, match=reason):
        found.check()

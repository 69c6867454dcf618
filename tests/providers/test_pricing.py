"""Prices: bands, dates, cached tokens, batches, and worst cases that are never too low."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmx.workflows.errors import LmxError
from lmx.workflows.providers.pricing import Tokens, load_prices

NOW = datetime(2026, 11, 20, tzinfo=UTC)
DOLLAR = 1_000_000_000
PRICES = load_prices()


@pytest.mark.parametrize(
    ("model", "used", "dollars"),
    [
        ("claude-sonnet-5-5", Tokens(input=1_000_000, output=100_000), 2 + 1),
        ("claude-haiku-5-5", Tokens(input=100_000, output=0), 0.01),
        ("claude-haiku-5-5", Tokens(input=100_001, output=0), 0.0500005),
        ("claude-haiku-5-5", Tokens(input=1, cache_read=100_000), 0.0050005),
        ("claude-sonnet-5-5", Tokens(cache_write=1_000_000, cache_read=1_000_000), 2.5 + 0.2),
        ("gemini-3.1-pro-preview", Tokens(input=200_000, output=1000), 0.4 + 0.012),
        ("gemini-3.1-pro-preview", Tokens(input=200_001, output=0), 0.800004),
    ],
)
def test_a_call_costs_what_its_band_and_its_kinds_of_tokens_say(
    model: str, used: Tokens, dollars: float
) -> None:
    assert PRICES.find(model, used.prompt, NOW).cost(used) == round(dollars * DOLLAR)


def test_a_new_price_holds_from_its_date_on() -> None:
    used = Tokens(input=1_000_000)
    last = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)
    first = datetime(2027, 1, 1, tzinfo=UTC)
    assert PRICES.find("gemini-3.8-flash", 1, last).cost(used) == 0.75 * DOLLAR
    assert PRICES.find("gemini-3.8-flash", 1, first).cost(used) == 1.5 * DOLLAR


def test_a_batch_costs_half() -> None:
    used = Tokens(input=3, output=5)
    price = PRICES.find("claude-sonnet-5-5", used.prompt, NOW)
    assert price.cost(used, batch=True) * 2 == price.cost(used)


@given(
    model=st.sampled_from(sorted({row.model for row in PRICES.rows})),
    prompt=st.integers(0, 400_000),
    output=st.integers(0, 64_000),
    shares=st.lists(st.floats(0, 1), min_size=4, max_size=4),
    later=st.integers(0, 30),
)
def test_the_worst_case_is_never_passed(
    model: str, prompt: int, output: int, shares: list[float], later: int
) -> None:
    parts = [int(prompt * share / 4) for share in shares]
    used = Tokens(parts[0], int(output * shares[0]), parts[1], parts[2], parts[3])
    at = datetime(2026, 12, 15 if later < 15 else 31, tzinfo=UTC)
    price = PRICES.find(model, used.prompt, at)
    assert price.cost(used) <= PRICES.worst_case(model, prompt, output, NOW)
    assert price.cost(used, batch=True) <= PRICES.worst_case(model, prompt, output, NOW, batch=True)


def test_a_price_that_rises_soon_is_part_of_the_worst_case() -> None:
    before = PRICES.worst_case("gemini-3.8-flash", 1_000_000, 0, NOW)
    eve = datetime(2026, 12, 20, tzinfo=UTC)
    assert before == pytest.approx(0.75 * DOLLAR, abs=5)
    later = PRICES.worst_case("gemini-3.8-flash", 1_000_000, 0, eve)
    assert later == pytest.approx(1.5 * DOLLAR, abs=5)


def test_an_unknown_model_has_no_price() -> None:
    with pytest.raises(LmxError, match=r"the price of 'claude-latest' is not known"):
        PRICES.find("claude-latest", 1, NOW)


def test_own_prices_replace_those_of_the_same_model(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text(
        'version = "mine"\n[[price]]\nmodel = "claude-opus-5-5"\nsince = 2026-01-01\n'
        'input = "1"\noutput = "2"\n'
    )
    own = load_prices(tmp_path)
    assert own.version.endswith("+ mine")
    assert own.find("claude-opus-5-5", 1, NOW).cost(Tokens(input=1_000_000)) == DOLLAR
    assert own.find("claude-sonnet-5-5", 1, NOW).cost(Tokens(input=1_000_000)) == 2 * DOLLAR


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[[price", "not valid TOML"),
        ("price = 3", "write them as"),
        ('[[price]]\nmodel = "x"', "price 1 cannot be used: 'since' is missing"),
        ('[[price]]\nmodel = "x"\nsince = 2026-01-01\ninput = "cheap"', "is not an amount"),
        ('[[price]]\nmodel = "x"\nsince = "now"\ninput = 1\noutput = 1', "must be a date"),
        ('[[price]]\nmodel = "x"\nsince = 2026-01-01\ninpt = 1', "unknown key 'inpt'"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_in_one_line(
    tmp_path: Path, text: str, reason: str
) -> None:
    (tmp_path / "prices.toml").write_text(text)
    with pytest.raises(LmxError, match=reason) as raised:
        load_prices(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_server_in_ones_own_network_costs_nothing_unless_a_price_says_so(tmp_path: Path) -> None:
    model = "[{ id = 'qwen', context = 1_000, max_output = 500 }]"
    account = f"[[account]]\nprovider = 'openai'\nmodels = {model}\nbase_url = "
    for url, price in (("http://192.168.1.7:8000/v1", 0), ("https://openrouter.ai/v1", None)):
        (tmp_path / "providers.toml").write_text(f"{account}'{url}'")
        found = [row.output for row in load_prices(tmp_path).rows if row.model == "qwen"]
        assert found == ([] if price is None else [price])
    (tmp_path / "providers.toml").write_text(f"{account}'http://localhost:11434/v1'")
    (tmp_path / "prices.toml").write_text(
        "[[price]]\nmodel = 'qwen'\nsince = 2026-01-01\ninput = '1'\noutput = '2'"
    )
    assert [row.output for row in load_prices(tmp_path).rows if row.model == "qwen"] == [2 * 10**9]

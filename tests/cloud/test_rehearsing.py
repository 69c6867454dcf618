"""`lmx rehearse` as a whole: against played providers, and against the real services."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lmx.workflows.budgets import check_budgets
from lmx.workflows.database.connect import Database
from tests.support.command import Lmx
from tests.support.postgres import make_home, remove_home
from tests.support.rehearsed import HAIKU, KEY, Rehearsed
from tests.support.workers import Workers

pytestmark = pytest.mark.leaves_open

MINE = f"""
minutes = 3
[[account]]
provider = "anthropic"
[account.limits.haiku]
rpm = 600
[[agents]]
model = "{HAIKU}"
count = 2
calls = 20
prompt_tokens = 50
max_tokens = 40
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A home that every user can reach: a rehearsal brings a Postgres of its own."""
    home = make_home()
    yield home
    remove_home(home / "rehearsal")
    remove_home(home)


@pytest.fixture
def lmx(
    home: Path,
    tmp_path: Path,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Lmx:
    (tmp_path / "mine.toml").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    return Lmx(home, database, monkeypatch, capsys)


def test_a_profile_is_rehearsed_by_real_workers_and_nothing_is_refused(lmx: Lmx) -> None:
    done = lmx("rehearse", "--profile", "mine.toml", "--speed", 60, "--json")
    assert done.code == 0, done.err
    [pool] = done.json
    assert pool["pool"] == "anthropic/default/haiku"
    assert (pool["calls"], pool["planned"], pool["refused"]) == (40, 40, 0)
    assert pool["nano_usd"] > 0
    assert pool["done_in_min"] <= 3
    assert 0 <= pool["wait_p50_s"] <= pool["wait_p95_s"] <= 180


def test_a_worker_that_cannot_start_is_told_at_once_in_its_own_words(
    lmx: Lmx, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMX_WORKFLOWS", "nowhere.py")
    done = lmx("rehearse", "--profile", "mine.toml")
    assert done.code != 0
    assert "nowhere.py" in done.err.splitlines()[-1]


def test_the_same_profile_calls_the_real_services_within_its_budget(
    lmx: Lmx, workers: Workers, rehearsed: Rehearsed, database: Database
) -> None:
    """What stands for the real services is at the address that the user's account names."""
    account = f'[[account]]\nprovider = "anthropic"\ntier = 4\nbase_url = "{rehearsed.url}"\n'
    (workers.folder / "providers.toml").write_text(account)
    real = ("rehearse", "--profile", "mine.toml", "--real")
    nobody = lmx(*real, "--budget", "1", "--yes")
    assert nobody.code != 0
    assert "no worker serves claude-haiku-5-5" in nobody.err
    workers.serving(workers.start("anthropic", ANTHROPIC_API_KEY=KEY))
    before = rehearsed.counts("haiku").get("requests", 0)
    poor = lmx(*real, "--budget", "0.0001", "--yes")
    assert poor.code != 0
    assert "more than its budget of $0.0001" in poor.err
    assert rehearsed.counts("haiku").get("requests", 0) == before
    done = lmx(*real, "--budget", "1", "--yes", "--json")
    assert done.code == 0, done.err
    [pool] = done.json
    assert (pool["calls"], pool["refused"]) == (40, 0)
    assert rehearsed.counts("haiku")["requests"] == before + 40
    with database.connect() as conn:
        spent = conn.execute("SELECT sum(amount) FROM lmx.charges WHERE unit = 'usd'").fetchone()
    assert spent == (pool["nano_usd"],)
    assert check_budgets(database) == []


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (("--real",), "--real spends money"),
        (("--budget", "1"), "--budget is for --real"),
        (("--serve", "--throttle", "p"), "exclude each other"),
        (("--throttle", "p"), "no pool of this rehearsal is called 'p'"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(
    lmx: Lmx, asked: tuple[str, ...], says: str
) -> None:
    refused = lmx("rehearse", "--profile", "mine.toml", *asked)
    assert refused.code != 0
    assert says in refused.err

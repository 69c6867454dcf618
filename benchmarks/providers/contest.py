"""The two contests: limits used to the full, and a budget not passed. Each for lmx and LiteLLM."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lmx.api.rehearsal.played import rehearse
from lmx.api.rehearsal.report import Watched, report
from lmx.api.rehearsal.scenario import KEY, Agents, Scenario, served
from lmx.api.rehearsal.stage import serving, stage
from lmx.api.rehearsal.work import queue_calls
from lmx.workflows.allowances.rules import allowance, set_allowance
from lmx.workflows.client import Client
from lmx.workflows.config import load_settings
from lmx.workflows.database.connect import Database
from lmx.workflows.providers.catalog import Account
from lmx.workflows.providers.pricing import load_prices
from lmx.workflows.providers.publishing import now

PYTHON = Path(".venv-litellm/bin/python")
_CALLERS = Path(__file__).with_name("litellm_callers.py")
CALLERS = 16
CONCURRENCY = 64
_RPM = 60
_BUDGET = 1.0
_NANO = 1_000_000_000
_ENDLESS = 100_000

_LIMITS = Scenario(
    title="two pools, a bucket and a window of 60 requests a minute",
    minutes=3.0,
    accounts=(
        Account("anthropic", "default", limits={"haiku": {"rpm": _RPM}}),
        Account("gemini", "default", limits={"flash": {"rpm": _RPM}}),
    ),
    agents=(
        Agents("claude-haiku-5-5", CALLERS // 2, 100, 200, 200),
        Agents("gemini-3.8-flash", CALLERS // 2, 100, 200, 200),
    ),
    pace={"first_token_s": 0.3, "tokens_per_s": 100.0},
)
_MONEY = Scenario(
    title="a budget of $1, calls of about a cent, 64 at once",
    minutes=5.0,
    accounts=(Account("anthropic", "default", limits={"opus": {"rpm": _ENDLESS}}),),
    agents=(Agents("claude-opus-5-5", 1, 400, 500, 1500),),
    pace={"first_token_s": 0.3, "tokens_per_s": 200.0},
)


@dataclass(frozen=True)
class Kept:
    """How limits were kept: the least of the pools' shares, requests that were refused."""

    system: str
    answered: int
    refused: int
    share: float


@dataclass(frozen=True)
class Spent:
    """How a budget was kept, by what the provider has billed, in dollars."""

    system: str
    answered: int
    billed: float

    @property
    def over(self) -> float:
        return max(0.0, self.billed - _BUDGET)


def lmx_limits(minutes: float) -> Kept:
    """lmx's workers, with everything queued at the start."""
    scenario = replace(_LIMITS, minutes=minutes)
    reports = rehearse(load_settings(), scenario, 1.0, 1, lambda _: None)
    shares = [one.share or 0.0 for one in reports]
    calls, refused = sum(one.calls for one in reports), sum(one.refused for one in reports)
    return Kept("lmx", calls, refused, min(shares))


def litellm_limits(minutes: float, *, checks: bool) -> Kept:
    """Sixteen callers of a Router that knows the limits; `checks` has it enforce them itself."""
    name = "LiteLLM, enforce_model_rate_limits" if checks else "LiteLLM, usage-based-routing-v2"
    with _serving(_LIMITS) as server:
        url, began = server["url"], _look(server["url"], "/rehearsal")["now"]
        told = _call(url, _LIMITS, callers=CALLERS, seconds=minutes * 60, checks=checks, rpm=_RPM)
        looked, log = _look(url, "/rehearsal"), _look(url, "/rehearsal/log")
    refused = {one["pool"]: one["counts"].get("refused", 0) for one in looked["pools"]}
    pools = served(_LIMITS)["pools"]
    reports = [
        report(
            Watched(
                pool=one["pool"],
                planned=_ENDLESS,
                begin=began,
                end=began + minutes * 60,
                seconds={
                    of: {int(second): n for second, n in counts.items()}
                    for of, counts in one["seconds"].items()
                },
                limits=pools[one["pool"]]["limits"],
                refused=refused[one["pool"]],
            )
        )
        for one in log
    ]
    shares = [one.share or 0.0 for one in reports]
    return Kept(name, told.get("answered", 0), sum(one.refused for one in reports), min(shares))


def lmx_budget() -> Spent:
    """An allowance of one dollar, and 64 calls at once in one worker process."""
    with stage(load_settings(), _MONEY, 1.0, 1, lambda _: None) as set_up:
        with set_up.database.connect() as conn:
            set_allowance(conn, allowance(str(_BUDGET), per="total"))
        with closing(Client(set_up.database)) as client:
            queue_calls(client, _MONEY.agents[0])
        _await_quiet(set_up.database)
        counts = _look(set_up.url, "/rehearsal")["pools"][0]["counts"]
    return Spent("lmx", counts["requests"], counts["usd"] / _NANO)


def litellm_budget(seconds: float = 60.0) -> Spent:
    """The Router's own budget for a provider, and 64 callers until it refuses."""
    with _serving(_MONEY) as server:
        _call(
            server["url"],
            _MONEY,
            callers=CONCURRENCY,
            seconds=seconds,
            checks=False,
            rpm=_ENDLESS,
            budget=_BUDGET,
        )
        counts = _look(server["url"], "/rehearsal")["pools"][0]["counts"]
    return Spent("LiteLLM, provider_budget_config", counts["requests"], counts["usd"] / _NANO)


def _await_quiet(database: Database) -> None:
    """Until calls have been made and none is under way, for as long as a claim may be put off."""
    quiet_since = None
    with database.connect() as conn:
        while quiet_since is None or time.monotonic() - quiet_since < 3.0:
            row = conn.execute(
                "SELECT count(*) FILTER (WHERE state = 'leased'),"
                " count(*) FILTER (WHERE state = 'succeeded') FROM lmx.tasks"
            ).fetchone()
            quiet = row is not None and row[0] == 0 and row[1] > 0
            quiet_since = (quiet_since or time.monotonic()) if quiet else None
            time.sleep(0.2)


def _serving(scenario: Scenario) -> Any:
    folder = Path(tempfile.mkdtemp(prefix="lmx-bench-"))
    (folder / "profile.json").write_text(json.dumps(served(scenario)))
    return serving(folder / "profile.json", 1.0)


def _call(
    url: str,
    scenario: Scenario,
    *,
    callers: int,
    seconds: float,
    checks: bool,
    rpm: int,
    budget: float | None = None,
) -> Mapping[str, int]:
    """Let LiteLLM's callers call; returns what they tell."""
    prices = load_prices()
    told = {one.model: prices.find(one.model, 1, now()) for one in scenario.agents}
    asked = {
        "url": url,
        "key": KEY,
        "models": [{"model": one.model, "rpm": rpm} for one in scenario.agents],
        "callers": callers,
        "seconds": seconds,
        "max_tokens": scenario.agents[0].max_tokens,
        "prompt": scenario.agents[0].prompt,
        "checks": checks,
        "budget": budget,
        "prices": {m: [p.input / 1e15, p.output / 1e15] for m, p in told.items()},
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(asked, file)
        file.flush()
        done = subprocess.run(
            [str(PYTHON), str(_CALLERS), file.name], stdout=subprocess.PIPE, text=True, check=True
        )
    answer: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _look(url: str, path: str) -> Any:
    with urllib.request.urlopen(f"{url}{path}") as answer:
        return json.load(answer)

"""Runs a scenario: a faithful provider, real workers, a database of their own; then tells of it."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from lmx.api.rehearsal.scenario import KEY, Scenario, served
from lmx.workflows.client import Client
from lmx.workflows.config import Settings, to_environment
from lmx.workflows.control import pause_queue, resume_queue
from lmx.workflows.database import embedded
from lmx.workflows.database.connect import Database, resolve_database
from lmx.workflows.database.migrate import upgrade
from lmx.workflows.errors import LmxError
from lmx.workflows.providers.catalog import load_catalog

_KEYS: Final = {"anthropic": "ANTHROPIC_API_KEY", "gemini": "GEMINI_API_KEY"}
_READY_S: Final = 60.0
#: What the buckets hold at first is over after a minute; shares are measured from then on.
_SETTLED_S: Final = 60.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class PoolReport:
    """What went through a pool, and how much that was of the limit that bound it."""

    pool: str
    calls: int
    refused: int
    input_tokens: int
    output_tokens: int
    nano_usd: int
    limit: str
    share: float


def rehearse(
    settings: Settings, scenario: Scenario, speed: float, processes: int, say: Say
) -> list[PoolReport]:
    """Run a scenario `speed` times as fast as real time, with so many processes per provider.

    Everything happens in the folder `rehearsal` of LMX_HOME, which is emptied before. Raises
    LmxError if a worker does not start.
    """
    home = settings.home / "rehearsal"
    embedded.stop(home)
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    own = replace(settings, home=home, database_url=None)
    profile = home / "profile.json"
    profile.write_text(json.dumps(served(scenario, load_catalog())))
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(_server(profile, speed))
        _configure(home, scenario, server, speed)
        database = resolve_database(own)
        stack.callback(embedded.stop, home)
        upgrade(database)
        for queue in {account.queue for account in scenario.accounts}:
            for _ in range(processes):
                stack.enter_context(_worker(own, queue))
        client = Client(database)
        stack.callback(client.close)
        _wait_for_models(database, scenario)
        queues = sorted({account.queue for account in scenario.accounts})
        for queue in queues:
            pause_queue(database, queue)
        _queue_all(client, scenario, say)
        for queue in queues:
            resume_queue(database, queue)
        return _follow(server["url"], scenario, speed, say)


@contextlib.contextmanager
def _process(command: list[str], **options: Any) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(command, text=True, **options)
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextlib.contextmanager
def _server(profile: Path, speed: float) -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", "lmx.api.rehearsal", str(profile), "--speed", str(speed)]
    with _process(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())


@contextlib.contextmanager
def _worker(settings: Settings, queue: str) -> Iterator[None]:
    environment = {
        **to_environment(settings, os.environ),
        **dict.fromkeys(_KEYS.values(), KEY),
    }
    with (settings.home / f"{queue}.log").open("a") as log:
        command = [sys.executable, "-m", "lmx.workers", queue]
        with _process(command, env=environment, stdout=log, stderr=log):
            yield


def _configure(home: Path, scenario: Scenario, server: Mapping[str, Any], speed: float) -> None:
    """Write the providers.toml of the rehearsal: the same accounts, at the local address."""
    began = datetime.fromtimestamp(server["origin"], UTC).isoformat()
    lines = []
    for account in scenario.accounts:
        lines += [
            "[[account]]",
            f'provider = "{account.provider}"',
            f'name = "{account.name}"',
            f'tier = "{account.tier}"',
            f'base_url = "{server["url"]}"',
            f"clock_rate = {speed}",
            f'clock_origin = "{began}"',
            "",
        ]
    (home / "providers.toml").write_text("\n".join(lines))


def _wait_for_models(database: Database, scenario: Scenario) -> None:
    wanted = {agents.model for agents in scenario.agents}
    until = time.monotonic() + _READY_S
    with database.connect() as conn:
        while time.monotonic() < until:
            rows = conn.execute("SELECT name FROM lmx.cloud_models").fetchall()
            if wanted <= {row[0] for row in rows}:
                return
            time.sleep(0.1)
    raise LmxError("the rehearsal's workers did not start", hint="see its folder's logs")


def _queue_all(client: Client, scenario: Scenario, say: Say) -> None:
    for agents in scenario.agents:
        for number in range(agents.count * agents.calls):
            client.generate(
                model=agents.model,
                prompt=f"{number} {agents.prompt}",
                max_tokens=agents.max_tokens,
            )
        say(f"{agents.count} agents queued {agents.count * agents.calls} calls of {agents.model}")


def _follow(url: str, scenario: Scenario, speed: float, say: Say) -> list[PoolReport]:
    """Watch the provider's own counts until the scenario's time is over."""
    began = _look(url)
    end = began["now"] + scenario.minutes * 60
    settled = None
    while (now := _look(url))["now"] < end:
        if settled is None and now["now"] >= began["now"] + _SETTLED_S:
            settled = now
        calls = sum(pool["counts"].get("requests", 0) for pool in now["pools"])
        say(f"minute {(now['now'] - began['now']) / 60:.1f}: {calls} calls")
        time.sleep(min(2.0, max(0.05, (end - now["now"]) / speed)))
    return _report(settled or began, _look(url))


def _report(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[PoolReport]:
    minutes = (after["now"] - before["now"]) / 60
    reports = []
    for old, new in zip(before["pools"], after["pools"], strict=True):
        counts = new["counts"]
        shares = {
            name: _share(name, limit, old["counts"], counts, minutes)
            for name, limit in new["limits"].items()
        }
        binding = max(shares, key=lambda name: shares[name])
        reports.append(
            PoolReport(
                pool=new["pool"],
                calls=counts.get("requests", 0),
                refused=counts.get("refused", 0),
                input_tokens=counts.get("input_tokens", 0),
                output_tokens=counts.get("output_tokens", 0),
                nano_usd=counts.get("usd_nano", 0),
                limit=binding,
                share=shares[binding],
            )
        )
    return reports


def _share(
    limit: str, granted: float, old: Mapping[str, int], new: Mapping[str, int], minutes: float
) -> float:
    """How much of a limit was used: of a day's in all, of a minute's since the start was over."""
    of = {"requests": "requests", "input": "input_tokens", "output": "output_tokens"}
    counted = of.get(limit.split("/")[0].split(" ")[0])
    if counted is None:
        return 0.0
    if limit.endswith("/day"):
        return new.get(counted, 0) / granted
    return (new.get(counted, 0) - old.get(counted, 0)) / (granted * minutes)


def _look(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/rehearsal") as answer:  # noqa: S310 - our own server
        told: dict[str, Any] = json.load(answer)
        return told

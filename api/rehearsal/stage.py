"""A rehearsal's own place: a played provider, real workers, a database beside the user's."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from lmx.api.demo.variants import find_base
from lmx.api.inspection import engine_installed
from lmx.api.registration import register
from lmx.api.rehearsal.scenario import KEY, LOCAL, Agents, Scenario, served
from lmx.workflows.config import Settings, to_environment
from lmx.workflows.database import embedded
from lmx.workflows.database.connect import Database, resolve_database
from lmx.workflows.database.migrate import upgrade
from lmx.workflows.errors import ConfigError, LmxError
from lmx.workflows.names import GPU
from lmx.workflows.providers.catalog import Account

Say = Callable[[str], None]

#: Where a worker of the rehearsal finds the played providers' key.
_KEYS: Final = {
    "anthropic": "ANTHROPIC_API_KEY",
    "gemini": "GEMINI_API_KEY",
    "openai": "LMX_REHEARSAL_KEY",
}
_READY_S: Final = 120.0
_POLL_S: Final = 0.1
#: The engine yields to the played providers, whose clock runs so much faster than this machine's.
_POLITE: Final = ("nice", "-n", "10")


@dataclass(frozen=True, slots=True)
class Stage:
    """The running parts: `url` is the provider's, whose clock read `origin` at its start.

    `agents` are those that can play: without an engine, none of a local model. `queues` are served.
    """

    url: str
    origin: float
    speed: float
    settings: Settings
    database: Database
    agents: Sequence[Agents]
    queues: Sequence[str]


@contextlib.contextmanager
def stage(
    settings: Settings,
    scenario: Scenario,
    speed: float,
    processes: int,
    say: Say,
    throttled: str | None = None,
) -> Iterator[Stage]:
    """Set everything up in the folder `rehearsal` of LMX_HOME, which is emptied before.

    Raises LmxError if a worker does not start.
    """
    profile_text = json.dumps(served(scenario, throttled))
    home = settings.home / "rehearsal"
    embedded.stop(home)
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    own = replace(settings, home=home, database_url=None, vram_cap=None)
    (home / "profile.json").write_text(profile_text)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serving(home / "profile.json", speed))
        _configure(home, scenario, server, speed)
        database = resolve_database(own)
        stack.callback(embedded.stop, home)
        upgrade(database)
        agents = _playable(own, database, scenario, say)
        queues = sorted(_queues(scenario, agents))
        workers = [
            (queue, stack.enter_context(_worker(own, queue)))
            for queue in queues
            for _ in range(1 if queue == GPU else processes)
        ]
        _wait_for_workers(database, workers, home)
        yield Stage(server["url"], server["origin"], speed, own, database, agents, queues)


def _queues(scenario: Scenario, agents: Sequence[Agents]) -> set[str]:
    catalog = scenario.catalog()
    used = {catalog.model(one.model).provider for one in agents if not one.local}
    queues = {account.queue for account in scenario.accounts if account.provider in used}
    return queues | ({GPU} if any(one.local for one in agents) else set())


def _playable(settings: Settings, database: Database, scenario: Scenario, say: Say) -> list[Agents]:
    """The agents whose models can be called here, with the names of their models."""
    if len(scenario.cloud) == len(scenario.agents):
        return list(scenario.agents)
    if not engine_installed():
        say("the local model does not take part: the engine is not installed (make setup)")
        return scenario.cloud
    played = []
    with database.connect() as conn:
        for agents in scenario.agents:
            if agents.local:
                path = find_base() if agents.model == LOCAL else Path(agents.model)
                name = register(conn, path, device=settings.device, replace=True).name
                agents = replace(agents, model=name)
            played.append(agents)
    return played


@contextlib.contextmanager
def _process(command: Sequence[str], **options: Any) -> Iterator["subprocess.Popen[str]"]:
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
def serving(profile: Path, speed: float, port: int = 0) -> Iterator[dict[str, Any]]:
    """The played provider in a process of its own; yields its `url` and `origin`."""
    command = [sys.executable, "-m", "lmx.api.rehearsal", str(profile)]
    command += ["--speed", str(speed), "--port", str(port)]
    with _process(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise LmxError("the played provider did not start", hint="is its port taken?")
        yield json.loads(line)


@contextlib.contextmanager
def _worker(settings: Settings, queue: str) -> Iterator["subprocess.Popen[str]"]:
    environment = {
        **to_environment(settings, os.environ),
        **dict.fromkeys(_KEYS.values(), KEY),
    }
    polite = _POLITE if queue == GPU and shutil.which(_POLITE[0]) else ()
    with _log(settings.home, queue).open("a") as log:
        command = [*polite, sys.executable, "-m", "lmx.workers", queue]
        with _process(command, env=environment, stdout=log, stderr=log) as process:
            yield process


def _log(home: Path, queue: str) -> Path:
    return home / f"{queue}.log"


def _configure(home: Path, scenario: Scenario, server: Mapping[str, Any], speed: float) -> None:
    """Write the providers.toml of the rehearsal: the same accounts, at the local address."""
    began = datetime.fromtimestamp(server["origin"], UTC).isoformat()
    accounts = [_written(account, server["url"], speed, began) for account in scenario.accounts]
    (home / "providers.toml").write_text("\n".join(accounts))


def _written(account: Account, url: str, speed: float, began: str) -> str:
    address = f"{url}/v1" if account.provider == "openai" else url
    facts: dict[str, Any] = {
        "provider": account.provider,
        "name": account.name,
        "tier": account.tier,
        "key_env": _KEYS[account.provider],
        "base_url": address,
        "clock_rate": speed,
        "clock_origin": began,
    }
    lines = ["[[account]]", *(f"{key} = {json.dumps(value)}" for key, value in facts.items())]
    models = [
        f"{{ id = {json.dumps(one.id)}, group = {json.dumps(one.group)},"
        f" context = {one.context}, max_output = {one.max_output} }}"
        for one in account.models
    ]
    lines += [f"models = [{', '.join(models)}]"] if models else []
    for group, terms in account.limits.items():
        lines.append(f"[account.limits.{json.dumps(group)}]")
        lines += [f"{term} = {json.dumps(value)}" for term, value in terms.items()]
    return "\n".join([*lines, ""])


def _wait_for_workers(
    database: Database, workers: Sequence[tuple[str, "subprocess.Popen[str]"]], home: Path
) -> None:
    """Until all serve. Raises ConfigError if one has ended, with its last words, or takes long."""
    until = time.monotonic() + _READY_S
    wanted = Counter(queue for queue, _ in workers)
    with database.connect() as conn:
        while time.monotonic() < until:
            rows = conn.execute(
                "SELECT name, count(*) FROM lmx.workers WHERE stopped_at IS NULL GROUP BY name"
            ).fetchall()
            there: dict[str, int] = dict(rows)
            if all(there.get(queue, 0) >= count for queue, count in wanted.items()):
                return
            for queue, process in workers:
                if process.poll() is not None:
                    said = _log(home, queue).read_text().strip().splitlines()
                    raise ConfigError(said[-1] if said else f"the worker of {queue} has ended")
            time.sleep(_POLL_S)
    raise ConfigError(
        "the rehearsal's workers did not start", hint="see the logs in its folder of LMX_HOME"
    )

"""A provider's worker within the test's own process, at a server that plays the provider."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmx.workers.cloud.launch import accounts_of, cloud_process
from lmx.workers.process import WorkerProcess
from lmx.workflows.config import Settings
from lmx.workflows.database.connect import Database
from lmx.workflows.providers.catalog import load_catalog
from lmx.workflows.providers.pricing import load_prices
from lmx.workflows.providers.publishing import publish
from tests.support.rehearsed import FLASH, HAIKU, KEY

_PRICES = """
[[price]]
model = "qwen3:8b"
since = 2026-01-01
input = "0.10"
output = "0.50"
"""
_READS = '["tools", "images", "files", "json_schema", "thinking"]'


@dataclass(frozen=True)
class Cloud:
    """A provider, by the name of its queue, its model and its pool here and at the server."""

    provider: str
    queue: str
    model: str
    pool: str
    group: str

    @property
    def key_table(self) -> str:
        """The name of its account's key."""
        return self.pool.split("/")[1]


CLOUDS = {
    "anthropic": Cloud("anthropic", "anthropic", HAIKU, "anthropic/default/haiku", "haiku"),
    "gemini": Cloud("gemini", "gemini", FLASH, "gemini/default/flash", "flash"),
    "openai": Cloud("openai", "openai-own", "qwen3:8b", "openai/own/qwen3:8b", "qwen"),
}


def settings_of(
    cloud: Cloud,
    database: Database,
    home: Path,
    url: str,
    *,
    key: str = KEY,
    silence_s: float = 60.0,
) -> Settings:
    """The settings of a home with the provider's account, whose models are published."""
    home.mkdir(exist_ok=True)
    (home / "providers.toml").write_text(_account(cloud, url, silence_s))
    (home / "prices.toml").write_text(_PRICES)
    keys = home / "keys.toml"
    keys.touch(mode=0o600)
    keys.write_text(f'[{cloud.provider}]\n{cloud.key_table} = "{key}"\n')
    settings = Settings(home=home, poll_s=0.2, lease_s=30.0, shutdown_grace_s=0.1)
    catalog = load_catalog(home)
    with database.connect() as conn:
        publish(conn, catalog, accounts_of(catalog, cloud.queue), load_prices(home))
    return settings


def worker_of(cloud: Cloud, database: Database, home: Path, url: str, **how: Any) -> WorkerProcess:
    """A worker that does not serve yet; it must be run. `how`: as for `settings_of`."""
    settings = settings_of(cloud, database, home, url, **how)
    accounts = accounts_of(load_catalog(home), cloud.queue)
    return cloud_process(settings, database, cloud.queue, accounts)


@contextlib.contextmanager
def running(process: WorkerProcess) -> Iterator[None]:
    """Serve for the `with` block."""
    process.start()
    try:
        yield
    finally:
        process.stop()


def _account(cloud: Cloud, url: str, silence_s: float) -> str:
    rows = [
        "[[account]]",
        f'provider = "{cloud.provider}"',
        f'name = "{cloud.key_table}"',
        f'base_url = "{url}{"/v1" if cloud.provider == "openai" else ""}"',
        f"silence_s = {silence_s}",
    ]
    if cloud.provider == "openai":
        model = f'id = "{cloud.model}", context = 100_000, max_output = 8_192, features = {_READS}'
        rows.append(f"models = [{{ {model} }}]")
    else:
        rows.append("tier = 3" if cloud.provider == "gemini" else "tier = 4")
    return "\n".join(rows) + "\n"

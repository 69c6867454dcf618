"""Starts the worker of a provider: its accounts and keys, what it publishes, its SDK."""

import importlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Final, Protocol

from lmx.workers.cloud.batches.guarded import GuardedBatches
from lmx.workers.cloud.batches.lane import LaneSpec
from lmx.workers.cloud.batches.wire import BatchProvider
from lmx.workers.cloud.errors import ProviderError
from lmx.workers.cloud.guarded import Guarded
from lmx.workers.cloud.process import CloudWorker
from lmx.workers.cloud.provider import Provider
from lmx.workers.cloud.warming import warm
from lmx.workers.process import WorkerProcess
from lmx.workflows.config import Settings
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import ConfigError
from lmx.workflows.providers.catalog import Account, Catalog, load_catalog
from lmx.workflows.providers.granted import Granted
from lmx.workflows.providers.keys import Key, find_admin_key, read_key
from lmx.workflows.providers.pricing import load_prices
from lmx.workflows.providers.publishing import publish, try_keys_again

log = logging.getLogger("lmx.cloud")

#: Each provider's module, the only one that loads its SDK.
_MODULES: Final = {
    "anthropic": "lmx.workers.anthropic",
    "gemini": "lmx.workers.gemini",
    "openai": "lmx.workers.openai_compatible",
}
#: Those that take batches.
_BATCH_MODULES: Final = {
    "anthropic": "lmx.workers.anthropic_batches",
    "gemini": "lmx.workers.gemini_batches",
}


#: The providers that tell an account's limits, each by `granted` in its module.
_TELLING: Final = frozenset({"anthropic"})


class _Module(Protocol):
    def connect(self, account: Account, key: Key) -> Provider: ...


class _Telling(Protocol):
    def granted(self, account: Account, key: Key) -> list[Granted]: ...


class _BatchModule(Protocol):
    def connect(self, account: Account, key: Key) -> BatchProvider: ...


def accounts_of(catalog: Catalog, queue: str) -> list[Account]:
    """The accounts that the worker of this queue serves; none if it is no provider's."""
    return [account for account in catalog.accounts if account.queue == queue]


def cloud_process(
    settings: Settings, database: Database, queue: str, accounts: Sequence[Account]
) -> WorkerProcess:
    """A worker process for the accounts of one provider. Raises ConfigError without any key."""
    catalog = load_catalog(settings.home)
    keys = _keys(settings, accounts)
    providers = {account.name: _connect(account, key) for account, key in keys}
    served = [account for account, _ in keys]
    with database.connect_hot(application_name="lmx publish") as conn:
        told = {account.name: _granted(account) for account in served}
        publish(conn, catalog, served, load_prices(settings.home), told)
        for account in served:
            try_keys_again(conn, account)
    lanes = list(_lanes(catalog, keys))
    names = [account.full_name for account in served]
    worker = CloudWorker(settings, database, queue, providers, lanes=lanes, accounts=names)
    return worker.process


def _keys(settings: Settings, accounts: Sequence[Account]) -> list[tuple[Account, Key]]:
    found, missing = [], None
    for account in accounts:
        try:
            found.append((account, read_key(account, settings.home)))
        except ConfigError as error:
            log.warning("%s", error)
            missing = error
    if missing is not None and not found:
        raise missing
    _refuse_twins(found)
    return found


def _refuse_twins(keys: Sequence[tuple[Account, Key]]) -> None:
    """Two accounts with one key are one account to the provider, which counts them together."""
    for place, (account, key) in enumerate(keys):
        for other, same in keys[:place]:
            if key == same and account.queue == other.queue:
                raise ConfigError(
                    f"the accounts {other.full_name} and {account.full_name} have the same key",
                    hint=f"give {account.full_name} a key_env of its own, or take it out",
                )


def _granted(account: Account) -> list[Granted]:
    """What the provider says that an account may use; nothing where it cannot be asked."""
    key = find_admin_key(account) if account.provider in _TELLING else None
    if key is None:
        return []
    module: _Telling = importlib.import_module(_MODULES[account.provider])
    try:
        return module.granted(account, key)
    except ProviderError as error:
        reason = error.failure.value
        log.info("%s/%s does not tell its limits (%s)", account.provider, account.name, reason)
        return []


def _connect(account: Account, key: Key) -> Guarded:
    module: _Module = importlib.import_module(_MODULES[account.provider])
    warm(module.connect, account)
    return Guarded(module.connect(account, key), key)


def _lanes(catalog: Catalog, keys: Iterable[tuple[Account, Key]]) -> Iterator[LaneSpec]:
    """The batches of the accounts that may have them."""
    for account, key in keys:
        terms = catalog.batch_terms(account)
        if terms is not None:
            yield LaneSpec(account.batch_queue, partial(_connect_batches, account, key), terms)


def _connect_batches(account: Account, key: Key) -> BatchProvider:
    module: _BatchModule = importlib.import_module(_BATCH_MODULES[account.provider])
    return GuardedBatches(module.connect(account, key), key)

"""The systems that can be measured, by name."""

from __future__ import annotations

from importlib import import_module

from benchmarks.adapters.base import Adapter

_MODULES = {
    "lmx": "lmx_core",
    "pgqueuer": "pgqueuer_queue",
    "absurd": "absurd_tasks",
    "procrastinate": "procrastinate_jobs",
    "dbos": "dbos_workflows",
    "dramatiq-postgres": "dramatiq_postgres_broker",
    "iddqueue": "iddqueue_broker",
    "server": "bare_server",
}

SYSTEMS = tuple(_MODULES)


def adapter_class(system: str) -> type[Adapter]:
    """The adapter of a system; KeyError for an unknown name."""
    module = import_module(f"benchmarks.adapters.{_MODULES[system]}")
    found: type[Adapter] = module.ADAPTER
    return found

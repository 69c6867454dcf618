"""Runs all checks; one that breaks is itself a finding."""

from collections.abc import Callable, Iterator
from functools import partial

from lmx.api.doctor import machine, providers, service
from lmx.api.doctor.check import Check
from lmx.workflows.config import Settings


def examine(settings: Settings, *, quick: bool = False) -> Iterator[Check]:
    """Yield the findings as they come. `quick` compares models by size only, not by hash."""
    checks: tuple[tuple[str, Callable[[Settings], Iterator[Check]]], ...] = (
        ("python", machine.check_python),
        ("compiler", machine.check_compiler),
        ("engine", machine.check_engine),
        ("memory", machine.check_memory),
        ("disk", machine.check_disk),
        ("database", service.check_database),
        ("models", partial(service.check_models, quick=quick)),
        ("providers", providers.check_providers),
        ("port", machine.check_port),
        ("processes", service.check_supervisor),
    )
    for subject, check in checks:
        try:
            yield from check(settings)
        except Exception as error:
            text = f"the check broke: {type(error).__name__}: {' '.join(str(error).split())}"
            yield Check(subject, "fail", text, "report it with the output of LMX_DEBUG=1")

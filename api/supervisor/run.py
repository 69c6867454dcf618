"""The supervisor process: prepares the database, then keeps the children running."""

import asyncio
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial

from lmx.api.address import require_free_port, require_loopback, url_of
from lmx.api.supervisor.child import Child, ChildEvents, ChildSpec
from lmx.api.supervisor.guardian import Guardian
from lmx.api.supervisor.leftovers import end_leftovers
from lmx.api.supervisor.output import SUPERVISOR, Output, Terminal, opened
from lmx.api.supervisor.restarts import ENVIRONMENT, RestartPolicy
from lmx.api.supervisor.state import (
    ChildState,
    SupervisorState,
    logs_folder,
    only_supervisor,
    pid_started,
    write_state,
)
from lmx.workflows.config import Settings, to_environment
from lmx.workflows.providers.catalog import load_catalog
from lmx.workflows.providers.keys import served_queues
from lmx.workflows.providers.pricing import load_prices
from lmx.workflows.routing.rules import load_rules

_API = "api"

# A worker gives its tasks the grace period, and then needs a moment to sign off.
_MARGIN_S = 2.0


def default_children(settings: Settings) -> tuple[ChildSpec, ...]:
    """Return the processes that `lmx up` runs.

    The GPU worker only if the engine is installed, a provider's only if one of its accounts has a
    key. Raises ConfigError for a providers.toml, prices.toml or routes.toml that cannot be used.
    """
    load_rules(settings.home)
    load_prices(settings.home)
    catalog = load_catalog(settings.home)
    catalog.check()
    python = sys.executable
    queues = ["coordinator", "default"]
    if importlib.util.find_spec("lmx.engine") is not None:
        queues.append("gpu")
    queues += served_queues(catalog, settings.home)
    api = ChildSpec(_API, (python, "-m", "lmx.api.http"))
    return (api, *(ChildSpec(queue, (python, "-m", "lmx.workers", queue)) for queue in queues))


def run_supervisor(
    settings: Settings,
    *,
    children: Sequence[ChildSpec] | None = None,
    policy: RestartPolicy | None = None,
    terminal: bool = True,
) -> int:
    """Run `children` (default: all of lmx) until SIGINT or SIGTERM; return the exit code.

    Starts the embedded server if it is the one in use, migrates it, and gives back at once the
    leases of workers of this host that are dead. `terminal` tells whether log lines go to
    standard output too. Raises Conflict (one runs already), PortTaken, DatabaseUnavailable,
    SchemaMismatch, ConfigError.
    """
    specs = tuple(default_children(settings) if children is None else children)
    has_api = any(spec.name == _API for spec in specs)
    if has_api:
        require_loopback(settings.api_host)
    with only_supervisor(settings.home):
        names = [spec.name for spec in specs]
        console = Terminal() if terminal else None
        with opened(logs_folder(settings.home), names, console) as output:
            end_leftovers(
                settings.home, settings.shutdown_grace_s, partial(output.line, SUPERVISOR)
            )
            if has_api:
                require_free_port(settings.api_host, settings.api_port)
            guardian = Guardian(settings, output)
            guardian.prepare()
            supervisor = Supervisor(settings, specs, policy or RestartPolicy(), output, guardian)
            return asyncio.run(supervisor.run())


class Supervisor:
    """Runs the children and writes the state file while they run."""

    def __init__(
        self,
        settings: Settings,
        specs: Sequence[ChildSpec],
        policy: RestartPolicy,
        output: Output,
        guardian: Guardian,
    ) -> None:
        self._settings = settings
        self._output = output
        self._guardian = guardian
        self._started_at = time.time()
        self._phase = "starting"
        self._stop = asyncio.Event()
        self._at_once = asyncio.Event()
        events = ChildEvents(output.line, self._changed, guardian.wake)
        environment = _child_environment(settings)
        self._children = [Child(spec, policy, environment, events) for spec in specs]

    async def run(self) -> int:
        """Run until told to stop; return 5 if no child can run here, else 0."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # nohup has it ignored, and means it.
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._signalled)
        guarding = asyncio.create_task(self._guardian.watch())
        kept = [asyncio.create_task(child.keep()) for child in self._children]
        self._phase = "running"
        self._changed()
        await self._stop.wait()
        code = ENVIRONMENT if self._all_failed() else 0
        self._phase = "stopping"
        self._changed()
        await self._stop_children()
        guarding.cancel()
        await asyncio.gather(*kept, guarding, return_exceptions=True)
        self._output.line(SUPERVISOR, "stopped")
        return code

    async def _stop_children(self) -> None:
        grace = self._settings.shutdown_grace_s + _MARGIN_S
        self._output.line(SUPERVISOR, f"stopping; a second Ctrl-C stops at once (else {grace:g} s)")
        stops = asyncio.gather(*(child.stop(grace) for child in self._children))
        hurry = asyncio.create_task(self._hurry())
        await stops
        hurry.cancel()

    async def _hurry(self) -> None:
        await self._at_once.wait()
        for child in self._children:
            child.kill()

    def _signalled(self) -> None:
        if self._stop.is_set():
            self._at_once.set()
        self._stop.set()

    def _all_failed(self) -> bool:
        return bool(self._children) and all(child.state == "failed" for child in self._children)

    def _changed(self) -> None:
        write_state(self._settings.home, self._describe())
        if self._phase == "running" and self._all_failed():
            self._output.line(SUPERVISOR, "no process can run here")
            self._stop.set()

    def _describe(self) -> SupervisorState:
        settings = self._settings
        has_api = any(child.spec.name == _API for child in self._children)
        return SupervisorState(
            pid=os.getpid(),
            phase=self._phase,
            started_at=self._started_at,
            api_url=url_of(settings.api_host, settings.api_port) if has_api else None,
            children=tuple(_describe_child(child) for child in self._children),
        )


def _describe_child(child: Child) -> ChildState:
    return ChildState(
        name=child.spec.name,
        state=child.state,
        pid=child.pid,
        pid_started=pid_started(child.pid),
        started_at=child.started_at,
        restarts=child.restarts,
        last_line=child.last_line,
    )


def _child_environment(settings: Settings) -> Mapping[str, str]:
    # Lines must reach the log as they are printed, not when a buffer is full.
    return {**to_environment(settings, os.environ), "PYTHONUNBUFFERED": "1"}

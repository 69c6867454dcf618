"""One child process of the supervisor: started, watched, started again, stopped."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lmx.api.supervisor.lines import Lines
from lmx.api.supervisor.restarts import RestartHistory, RestartPolicy

State = Literal["starting", "running", "restarting", "failed", "stopped"]

_LAUNCH = str(Path(__file__).with_name("launch.py"))
_DRAIN_S = 1.0


@dataclass(frozen=True)
class ChildSpec:
    """A child to keep running: its name in logs and status, and its command line."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class ChildEvents:
    """What a child tells its supervisor: a line it printed, a change of state, a death."""

    line: Callable[[str, str], None]
    changed: Callable[[], None]
    died: Callable[[], None]


class Child:
    """Keeps one command running, in a process group of its own.

    `started_at` is seconds since the epoch; `restarts` counts the starts after the first;
    `last_line` is the last line that the child printed.
    """

    def __init__(
        self,
        spec: ChildSpec,
        policy: RestartPolicy,
        environment: Mapping[str, str],
        events: ChildEvents,
    ) -> None:
        self.spec = spec
        self.state: State = "starting"
        self.pid: int | None = None
        self.started_at: float | None = None
        self.restarts = 0
        self.last_line = ""
        self._history = RestartHistory(policy)
        self._environment = environment
        self._events = events
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()

    async def keep(self) -> None:
        """Run the command, and run it again whenever it ends, until `stop` is called."""
        try:
            while not self._stopping.is_set():
                began = time.monotonic()
                code = await self._run()
                if self._stopping.is_set():
                    break
                self._events.died()
                delay = self._after(code, time.monotonic() - began)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), delay)
                    break
                self.restarts += 1
        finally:
            self.state = "stopped"
            self._events.changed()
            self._ended.set()

    async def stop(self, grace_s: float) -> None:
        """Ask the child to end; kill its whole process group if it has not after `grace_s`."""
        self._stopping.set()
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
        try:
            await asyncio.wait_for(self._ended.wait(), grace_s)
        except TimeoutError:
            self._say(f"did not end within {grace_s:g} s: killed")
            self.kill()
            await self._ended.wait()

    def kill(self) -> None:
        """Kill the child's process group at once."""
        self._stopping.set()
        if self.pid is not None:
            _kill_group(self.pid)

    async def _run(self) -> int:
        """Run the command once; return its exit code, negative for a signal."""
        read_end, write_end = os.pipe()
        lines = Lines(self._read)
        pipe = os.fdopen(read_end, "rb")
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: lines, pipe)
        try:
            code = await self._execute(write_end)
            # A grandchild may hold the pipe open: wait for the last lines, but not for ever.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(lines.closed.wait(), _DRAIN_S)
            return code
        finally:
            transport.close()

    async def _execute(self, write_end: int) -> int:
        command = (sys.executable, "-I", "-S", _LAUNCH, str(os.getpid()), *self.spec.command)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                env=dict(self._environment),
                process_group=0,
            )
        except OSError as error:
            self._read(f"cannot be started: {error.strerror}")
            return 1
        finally:
            os.close(write_end)
        self.pid, self.started_at, self.state = process.pid, time.time(), "running"
        self._say(f"started (pid {process.pid})")
        self._events.changed()
        # A stop that came while the process was being created had no pid to signal.
        if self._stopping.is_set():
            process.terminate()
        code = await process.wait()
        # What it left behind in its group would go on without a supervisor.
        _kill_group(process.pid)
        self.pid = self.started_at = None
        return code

    def _read(self, text: str) -> None:
        self.last_line = text
        self._events.line(self.spec.name, text)

    def _say(self, text: str) -> None:
        self._events.line(self.spec.name, f"[{text}]")

    def _after(self, code: int, ran_s: float) -> float:
        verdict = self._history.ended(code, ran_s)
        self.state = "failed" if verdict.failed else "restarting"
        again = f"starts again in {verdict.delay_s:g} s"
        if verdict.failed:
            again = f"its environment does not allow it to run: {self.last_line}; {again}"
        self._say(f"ended with {describe_exit(code)}; {again}")
        self._events.changed()
        return verdict.delay_s


def describe_exit(code: int) -> str:
    """Return an exit code in words: "exit code 5", "signal SIGKILL"."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)

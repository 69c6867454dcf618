"""`lmx vram hold`: memory of a device for a command outside of lmx, as long as it runs."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from lmx.workflows import holds
from lmx.workflows.database.connect import Connection
from lmx.workflows.devices import Device, list_devices
from tests.support.command import Lmx
from tests.support.eventually import eventually

CAP = 1000

#: Says when it runs, and waits to be told to end.
IDLE = "import signal, sys; print('running', flush=True); signal.pause()"
#: Ends with 7 when it is asked to.
POLITE = (
    "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
    "print('running', flush=True); signal.pause()"
)


@pytest.fixture
def conn(lmx: Lmx) -> Iterator[Connection]:
    """A database that knows a device of this host, which no worker serves."""
    with lmx.database.connect() as conn:
        conn.execute(
            "INSERT INTO lmx.devices (host, name, cap_bytes) VALUES (%s, 'cpu', %s)",
            [socket.gethostname(), CAP],
        )
        yield conn


@pytest.fixture
def started() -> Iterator[list["subprocess.Popen[str]"]]:
    """Commands to end after the test, if they have not ended by then."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def device(conn: Connection) -> Device:
    (found,) = list_devices(conn)
    return found


def program(code: str) -> list[str]:
    return ["--", sys.executable, "-c", code]


def running(process: "subprocess.Popen[str]") -> None:
    """Wait until the held command has said that it runs."""
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"


def test_the_bytes_are_held_while_the_command_runs_and_its_exit_code_is_passed_on(
    lmx: Lmx, conn: Connection, started: list[Any]
) -> None:
    started.append(process := lmx.start("vram", "hold", "600", *program(POLITE)))
    running(process)
    (hold,) = device(conn).holds
    assert (hold.command, hold.bytes, hold.granted) == (Path(sys.executable).name, 600, True)
    assert device(conn).free == CAP - 600
    process.terminate()
    assert lmx.finish(process).code == 7, "the signal was for the command"
    assert device(conn).holds == ()


def test_a_command_that_a_signal_ends_is_told_as_a_shell_would(
    lmx: Lmx, conn: Connection, started: list[Any]
) -> None:
    started.append(process := lmx.start("vram", "hold", "1", *program(IDLE)))
    running(process)
    (command,) = psutil.Process(process.pid).children()
    command.send_signal(signal.SIGKILL)
    assert lmx.finish(process).code == 128 + signal.SIGKILL
    assert device(conn).holds == ()


def test_a_hold_waits_for_another_and_says_so(
    lmx: Lmx, conn: Connection, started: list[Any]
) -> None:
    started.append(first := lmx.start("vram", "hold", "700", *program(POLITE)))
    running(first)
    started.append(second := lmx.start("vram", "hold", "600", *program("print('mine')")))
    assert second.stderr is not None
    waits = "lmx: waiting for 600 B of cpu: 300 B of 1000 B are free\n"
    assert second.stderr.readline() == waits
    assert [hold.granted for hold in device(conn).holds] == [True, False]
    first.terminate()
    result = lmx.finish(second)
    assert (result.code, result.out) == (0, "mine\n")


def test_a_hold_that_takes_too_long_is_given_up(lmx: Lmx, conn: Connection) -> None:
    (here,) = list_devices(conn)
    conn.execute(
        "INSERT INTO lmx.vram_holds"
        " (device_id, command, bytes, host, boot_id, pid, pid_started, granted_at, expires_at)"
        " VALUES (%s, 'other', 900, 'elsewhere', 'x', 1, 0, now(), now() + interval '1 hour')",
        [here.id],
    )
    result = lmx("vram", "hold", "200", "--timeout", "0.2", "--", "true")
    assert result.code == 4
    assert "200 B of cpu did not become free within 0.2 s, so true was not started" in result.err
    assert [hold.command for hold in device(conn).holds] == ["other"]


def test_what_can_never_fit_is_refused_with_three_numbers(lmx: Lmx, conn: Connection) -> None:
    result = lmx("vram", "hold", "1001", "--", "true")
    assert result.code == 3
    assert "it needs 1001 B, the device's cap is 1000 B and 1000 B of it are free" in result.err
    assert device(conn).holds == ()


def test_a_killed_hold_ends_its_command_and_gives_the_bytes_back(
    lmx: Lmx, conn: Connection, started: list[Any]
) -> None:
    started.append(process := lmx.start("vram", "hold", "700", *program(IDLE)))
    running(process)
    (command,) = psutil.Process(process.pid).children()
    process.kill()
    process.wait()
    eventually(lambda: not command.is_running(), "the end of the command")
    assert lmx("vram", "hold", "700", "--", "true").code == 0, "the next who asks finds it dead"
    assert device(conn).holds == ()


def test_a_hold_whose_row_was_ended_asks_again(
    lmx: Lmx, conn: Connection, started: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an outage of the database that was longer than a lease."""
    lmx.environment = {**lmx.environment, "LMX_LEASE_S": "0.5"}
    started.append(process := lmx.start("vram", "hold", "700", *program(POLITE)))
    running(process)
    (first,) = device(conn).holds
    holds.end(conn, first.id)
    eventually(lambda: [hold.granted for hold in device(conn).holds] == [True], "a new hold")
    process.terminate()
    assert "the lease on 700 B ran out; asking for them again" in lmx.finish(process).err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["lots", "--", "true"], "'lots' is not an amount of memory"),
        (["0", "--", "true"], "0 bytes need not be held"),
        (["1", "--", "no-such-program"], "there is no program 'no-such-program'"),
        (["1", "--device", "cuda:9", "--", "true"], "there is no device 'cuda:9' here"),
    ],
)
def test_bad_input_is_one_line(lmx: Lmx, conn: Connection, arguments: list[str], told: str) -> None:
    result = lmx("vram", "hold", *arguments)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert told in result.err
    assert device(conn).holds == ()

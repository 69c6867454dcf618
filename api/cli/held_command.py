"""Runs a command while its bytes are held: signals go through, its end gives them back."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from lmx.api.cli.holding import Holding
from lmx.workflows.errors import InvalidInput

_LAUNCH: Final = Path(__file__).parents[1] / "supervisor" / "launch.py"
_PASSED_ON: Final = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
_FROM_TERMINAL: Final = 0x80  # SI_KERNEL of siginfo.h: the whole foreground group has it already


def program_of(command: Sequence[str]) -> str:
    """The name of the program that a command runs. Raises InvalidInput if there is none."""
    if not command:
        raise InvalidInput("no command was given", hint="lmx vram hold 2GiB -- python train.py")
    if shutil.which(command[0]) is None:
        raise InvalidInput(f"there is no program {command[0]!r} that could be run")
    return Path(command[0]).name


def run_held(holding: Holding, command: Sequence[str]) -> int:
    """Run a command while the bytes are held; return its exit code (128 + n for signal n).

    Signals that are sent to this process are passed on. The command ends with this process.
    """
    with _waiting_for_signals():
        holding.keep()
        try:
            child = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_LAUNCH), str(os.getpid()), *command]
            )
            code = _follow(child)
        finally:
            holding.release()
    return code if code >= 0 else 128 - code


def _follow(child: "subprocess.Popen[bytes]") -> int:
    while True:
        news = signal.sigwaitinfo({*_PASSED_ON, signal.SIGCHLD})
        if (code := child.poll()) is not None:
            return code
        if news.si_signo != signal.SIGCHLD and news.si_code != _FROM_TERMINAL:
            child.send_signal(news.si_signo)


@contextlib.contextmanager
def _waiting_for_signals() -> Iterator[None]:
    """Let signals wait for `_follow` instead of ending this process; threads inherit it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*_PASSED_ON, signal.SIGCHLD})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

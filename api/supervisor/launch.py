"""Becomes a command that ends with its supervisor: `python launch.py SUPERVISOR_PID COMMAND...`.

Run as a script of its own, because the request to the kernel must be made between fork and exec,
where a process with threads may not run Python safely. Needs nothing of lmx and no site-packages.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Ask for SIGTERM at the supervisor's death, then exec; other systems than Linux lack this."""
    supervisor, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # It may have died before the request was made.
    if os.getppid() != supervisor:
        sys.exit(f"the supervisor (pid {supervisor}) is gone")
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # whoever waits for signals has them blocked
    try:
        os.execvp(command[0], command)  # noqa: S606
    except OSError as error:
        sys.stderr.write(f"lmx: {command[0]} cannot be run: {error.strerror}\n")
        sys.exit(126)


if __name__ == "__main__":
    main()

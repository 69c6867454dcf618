"""`python -m lmx.api.supervisor`: the supervisor in the background, which writes to files only."""

import sys

from lmx.api.supervisor.run import run_supervisor
from lmx.workflows.config import load_settings
from lmx.workflows.errors import LmxError


def main() -> int:
    """Run until stopped; say in one line on standard error why that was impossible."""
    try:
        return run_supervisor(load_settings(), terminal=False)
    except LmxError as error:
        sys.stderr.write(f"lmx: {error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())

"""`python -m lmx.api.http`: the REST API as a process."""

import logging
import sys

from lmx.api.http.server import serve
from lmx.workflows.config import load_settings
from lmx.workflows.errors import LmxError


def main() -> int:
    """Serve until SIGTERM or SIGINT; say in one line on standard error why that is impossible."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    # uvicorn's own notes on starting and stopping say nothing that the supervisor does not.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    try:
        serve(load_settings())
    except LmxError as error:
        sys.stderr.write(f"lmx: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

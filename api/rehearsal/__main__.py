"""`python -m lmx.api.rehearsal PROFILE.json`: serve a profile; prints its address as JSON."""

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import uvicorn

from lmx.api.address import listen
from lmx.api.rehearsal.clock import Clock
from lmx.api.rehearsal.provider import build
from lmx.api.rehearsal.server import make_app
from lmx.workflows.providers.pricing import load_prices


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(prog="python -m lmx.api.rehearsal", description=__doc__)
    parser.add_argument("profile", type=Path, help="keys, pools and models, as JSON")
    parser.add_argument("--speed", type=float, default=1.0, help="how fast its clock runs")
    parser.add_argument("--origin", type=float, help="its time at the start (epoch seconds)")
    parser.add_argument("--port", type=int, default=0)
    asked = parser.parse_args(arguments)
    clock = Clock(asked.speed) if asked.origin is None else Clock(asked.speed, asked.origin)
    provider = build(json.loads(asked.profile.read_text()), clock, _nano_price)
    listener = listen("127.0.0.1", asked.port)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    sys.stdout.write(json.dumps({"url": address, "origin": clock.origin}) + "\n")
    sys.stdout.flush()
    config = uvicorn.Config(make_app(provider), log_level="critical", timeout_keep_alive=60)
    uvicorn.Server(config).run(sockets=[listener])
    return 0


def _nano_price(model: str) -> tuple[int, int]:
    rows = [row for row in load_prices().rows if row.model == model]
    if not rows:
        return 0, 0
    price = load_prices().find(model, 1, datetime.now(UTC))
    return price.input, price.output


if __name__ == "__main__":
    sys.exit(main())

"""A process of its own whose memory is limited: what becomes of a generation.

``python -m tests.support.short_of_memory MODEL MIB`` opens the model, asks for a generation with
only so many MiB of address space left, then again with the limit lifted. It prints what became of
both, and what the ledger had booked between.
"""

import json
import resource
import sys
from pathlib import Path

from lmx.engine import Engine, EngineError, Sampling, estimate

N_CTX = 2048


def main(model: str, mib: int) -> None:
    """Asks twice."""
    estimate(model, n_ctx=N_CTX)
    with Engine(device="cpu", threads=1, max_slots=1) as engine:

        def answer() -> str:
            sampling = Sampling(temperature=0)
            call = {"prompt": "Hello", "max_tokens": 2, "n_ctx": N_CTX, "sampling": sampling}
            try:
                engine.submit(model=model, **call).result()  # type: ignore[arg-type]
            except EngineError as error:
                return f"{type(error).__name__}: {error}"
            return "answered"

        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (taken + mib * 2**20, hard))
        short = answer()
        weights = engine.snapshot()["by_kind"]["weights"]
        booked = engine.snapshot()["used"] - weights
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
        print(json.dumps({"short": short, "booked": booked, "then": answer()}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

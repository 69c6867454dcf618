"""A process of its own that uses an engine to the full: what it booked, and what it took.

``python -m tests.support.memory_use MODEL N_CTX SLOTS`` prints one line of JSON with the bytes of
both. It fills every slot of one context to its last token.
"""

import json
import sys
from pathlib import Path

from lmx.engine import Engine, Sampling, device_info, tokenize


def anonymous_bytes() -> int:
    """Memory of this process that no file stands behind, as the kernel counts it."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    raise OSError("the kernel does not tell")


def main(model: str, n_ctx: int, slots: int) -> None:
    """Measures one model."""
    device_info("cpu")
    before = anonymous_bytes()
    with Engine(device="cpu", threads=1, max_slots=slots) as engine:
        words = " word" * (n_ctx - 8)
        assert n_ctx - 12 < len(tokenize(model, prompt=words)) < n_ctx
        sampling = Sampling(temperature=0.8, seed=1)
        requests = [
            engine.submit(
                model=model,
                prompt=f"{number}{words}",
                max_tokens=n_ctx,
                n_ctx=n_ctx,
                sampling=sampling,
            )
            for number in range(slots)
        ]
        for request in requests:
            request.result()
        assert len(engine.snapshot()["contexts"]) == 1
        print(json.dumps({"used": anonymous_bytes() - before, "booked": engine.snapshot()["used"]}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

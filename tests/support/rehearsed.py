"""A faithful provider in a process of its own, and a look into its books."""

import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

KEY = "sk-marked-3f9c2a7e5d"
HAIKU = "claude-haiku-5-5"
FLASH = "gemini-3.8-flash"
GENEROUS = [
    {"name": "requests/min", "of": "requests", "kind": "bucket", "limit": 100_000},
    {"name": "input tokens/min", "of": "input_tokens", "kind": "bucket", "limit": 100_000_000},
    {"name": "output tokens/min", "of": "output_tokens", "kind": "bucket", "limit": 100_000_000},
]


def profile(
    models: Mapping[str, str] | None = None,
    limits: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    **pace: float,
) -> dict[str, Any]:
    """A profile of models (by name: their pool) with limits by pool; without, generous ones."""
    models = models or {HAIKU: "haiku", FLASH: "flash", "qwen3:8b": "qwen"}
    pace = {"first_token_s": 0.0, "tokens_per_s": 100_000.0, **pace}
    return {
        "keys": [KEY],
        "pools": {name: {"limits": (limits or {}).get(name, GENEROUS)} for name in models.values()},
        "models": {name: {"pool": pool, **pace} for name, pool in models.items()},
    }


class Rehearsed:
    """The server of a profile. Use it as a context manager."""

    def __init__(
        self, profile: Mapping[str, Any], *, speed: float = 1.0, origin: float | None = None
    ) -> None:
        self._profile = profile
        self._options = ["--speed", str(speed)]
        if origin is not None:
            self._options += ["--origin", str(origin)]
        self.url = ""
        self.origin = 0.0

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        file = Path(self._folder.name) / "profile.json"
        file.write_text(json.dumps(self._profile))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lmx.api.rehearsal", str(file), *self._options],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        told = json.loads(self._process.stdout.readline())
        self.url, self.origin = told["url"], told["origin"]
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._folder.cleanup()

    def fail(self, *faults: Mapping[str, Any]) -> None:
        """Set the faults that the next requests meet."""
        body = json.dumps(faults).encode()
        request = urllib.request.Request(f"{self.url}/rehearsal/faults", body)
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 200

    def requests(self) -> list[Any]:
        """The bodies of the latest requests, the oldest first."""
        with urllib.request.urlopen(f"{self.url}/rehearsal/requests") as answer:
            return [one["body"] for one in json.load(answer)]

    def pace_batches(self, *, seconds: float, expires_s: float = 86_400.0) -> None:
        """Say how long batches take, by the provider's clock; it holds for those under way, too."""
        self._tell_batches(seconds=seconds, expires_s=expires_s)

    def forget_batches(self) -> None:
        """Let the provider know of no batch, as for a new account."""
        self._tell_batches(forget=True)

    def _tell_batches(self, **terms: float | bool) -> None:
        body = json.dumps(terms).encode()
        request = urllib.request.Request(f"{self.url}/rehearsal/batches", body)
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 200

    def counts(self, pool: str) -> dict[str, int]:
        """What the provider has counted in one of its pools."""
        with urllib.request.urlopen(f"{self.url}/rehearsal") as answer:
            pools = json.load(answer)["pools"]
        return next(one["counts"] for one in pools if one["pool"] == pool)

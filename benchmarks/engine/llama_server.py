"""llama-server as a yardstick: started, asked by as many clients as there are requests, stopped."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from benchmarks.engine.settings import Spent

_START_TIMEOUT_S = 120.0


class LlamaServer:
    """``slots`` sequences of ``n_ctx`` tokens each. Use it as a context manager."""

    def __init__(
        self, program: Path, model: Path, *, n_ctx: int, slots: int, threads: int, cache: bool
    ) -> None:
        self._port = _free_port()
        options = {
            "-m": model,
            "-c": n_ctx * slots,
            "-np": slots,
            "-b": n_ctx,
            "-ub": n_ctx,
            "-t": threads,
            "-tb": threads,
            "--threads-http": slots + 2,
            "--port": self._port,
            "--cache-ram": 0,
            "--fit": "off",
        }
        flags = ["--no-ui", "--no-kv-unified", "--offline", "--log-disable"]
        flags.append("--cache-prompt" if cache else "--no-cache-prompt")
        command = [program, *(part for option in options.items() for part in option), *flags]
        self._slots, self._cache = slots, cache
        self._process = subprocess.Popen(
            [str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def __enter__(self) -> LlamaServer:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._healthy():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                raise RuntimeError(f"llama-server did not start: {self._process.wait()}")
            time.sleep(0.1)
        return self

    def _healthy(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == http.client.OK
        except OSError:
            return False
        finally:
            connection.close()

    def chat(self, conversations: Sequence[list[dict[str, str]]], n_tokens: int) -> Spent:
        """All at once, each by a client of its own; what the server took for all of them."""
        with ThreadPoolExecutor(len(conversations)) as clients:
            cpu, wall = self._cpu_seconds(), time.perf_counter()
            for generated in clients.map(lambda c: self._ask(c, n_tokens), conversations):
                assert generated == n_tokens, f"llama-server made {generated} of {n_tokens} tokens"
            return Spent(time.perf_counter() - wall, self._cpu_seconds() - cpu)

    def _ask(self, messages: list[dict[str, str]], n_tokens: int) -> int:
        body: dict[str, Any] = {
            "messages": messages,
            "max_tokens": n_tokens,
            "ignore_eos": True,
            "seed": 1,
            "cache_prompt": self._cache,
        }
        connection = http.client.HTTPConnection("127.0.0.1", self._port)
        connection.request(
            "POST",
            "/v1/chat/completions",
            json.dumps(body),
            {"Content-Type": "application/json"},
        )
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return int(answer["usage"]["completion_tokens"])

    def _cpu_seconds(self) -> float:
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

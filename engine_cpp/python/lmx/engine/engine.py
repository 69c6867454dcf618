"""The engine: one for each device, shared by all who have prompts for it."""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Literal

from lmx.engine import _core
from lmx.engine._log import forward_logs
from lmx.engine.answers import Reading
from lmx.engine.checks import INT_32, at_least_zero, whole
from lmx.engine.conversation import Message, ToolChoice, ToolSpec
from lmx.engine.determinism import Proofs
from lmx.engine.devices import cpu_count
from lmx.engine.embedding import EmbeddingRequest, Pooling, submit_texts
from lmx.engine.estimates import N_UBATCH, context_spec
from lmx.engine.files import StrPath, inspect_model
from lmx.engine.forms import form_of
from lmx.engine.memory import EngineMemory
from lmx.engine.planning import Streaming, stream_policy
from lmx.engine.prompts import encodable
from lmx.engine.request import Request
from lmx.engine.sampling import Sampling

Mode = Literal["throughput", "deterministic"]

MAX_LOGPROBS = 20


class Engine(EngineMemory):
    """Runs generations of any number of models on one device, under a cap on its memory.

    ``device`` is "cpu", "auto" (the first GPU, else the CPU) or a name such as "cuda:0".
    ``cap_bytes`` defaults to 90 % of the device's memory. ``threads`` (CPU) defaults to the cores
    that this process may use, less one: all threads wait for the slowest, so a core that other
    processes need as well makes generation many times slower. ``max_slots`` limits the sequences
    of one context. A request that has waited for more than ``patience_s`` seconds is not overtaken
    any more by smaller ones; running ones that have had ``quantum_s`` seconds (or 20 times what
    moving them costs) are suspended for it, and go on later.

    What sessions have computed and has no place on the device is kept in ``host_bytes`` of host
    memory (by default half of it beside a GPU, what the cap leaves of it on the CPU) and, with
    ``spill_dir``, in up to ``spill_bytes`` of files, where the next engine finds it.

    ``streaming`` says what happens to a model that does not fit: with "auto" as many of its layers
    as fit reside and the others pass through ``stream_slots`` slots, which takes host memory for
    them; with "off" it is refused. "always" streams whatever can be, with ``resident_layers`` on
    the device where that is given. ``copy_limit`` (bytes/s, CPU only) slows the copies down, as a
    stand-in for the bus to a GPU.

    ``determinism_file`` holds what `lmx doctor --determinism` has proven: so many deterministic
    requests of a model may share a decode.

    Thread-safe. Close it, or use it as a context manager.
    """

    def __init__(
        self,
        device: str = "auto",
        cap_bytes: int | None = None,
        threads: int | None = None,
        *,
        max_slots: int = 8,
        patience_s: float = 1.0,
        quantum_s: float = 2.0,
        determinism_file: StrPath | None = None,
        host_bytes: int | None = None,
        spill_dir: StrPath | None = None,
        spill_bytes: int = 16 * 2**30,
        streaming: Streaming = "auto",
        resident_layers: int | None = None,
        stream_slots: int = 2,
        copy_limit: float | None = None,
    ) -> None:
        self._device = device
        threads = max(1, cpu_count() - 1) if threads is None else threads
        super().__init__(
            _core.Engine(
                device,
                None if cap_bytes is None else whole("cap_bytes", cap_bytes, 1),
                whole("threads", threads, 1, INT_32),
                whole("max_slots", max_slots, 1, INT_32),
                at_least_zero("patience_s", patience_s),
                at_least_zero("quantum_s", quantum_s),
                None if host_bytes is None else whole("host_bytes", host_bytes, 0),
                "" if spill_dir is None else os.fspath(spill_dir),
                whole("spill_bytes", spill_bytes, 0),
                stream_policy(streaming, resident_layers, stream_slots),
                _core.CopyOptions(bytes_per_s=at_least_zero("copy_limit", copy_limit or 0)),
            )
        )
        self._proofs = Proofs(determinism_file, _core.device_name(device), threads)
        # The engine's thread must not outlive the interpreter.
        self._close_at_exit = _closer(self._core)
        atexit.register(self._close_at_exit)

    def submit(
        self,
        *,
        model: StrPath,
        prompt: str | None = None,
        messages: Sequence[Message] | None = None,
        max_tokens: int = 128,
        n_ctx: int = 2048,
        sampling: Sampling | None = None,
        stop: Sequence[str] = (),
        deadline_s: float | None = None,
        kv_type: str = "f16",
        flash_attn: str = "auto",
        grammar: str | None = None,
        json_schema: Mapping[str, Any] | None = None,
        tools: Sequence[ToolSpec] | None = None,
        tool_choice: ToolChoice | None = None,
        parallel_tool_calls: bool | None = None,
        thinking: bool | None = None,
        template_options: Mapping[str, Any] | None = None,
        logprobs: int | None = None,
        session: str | None = None,
        mode: Mode = "throughput",
        max_unread: int = 65536,
        n_ubatch: int | None = None,
    ) -> Request:
        """Queues a generation and returns at once; it starts when the memory for it is there.

        Give either ``prompt``, taken as it is, or ``messages``, put through the model's own chat
        template. The text follows ``grammar`` (GBNF) or ``json_schema`` where one is given: ended
        by "stop" it is complete, ended by "length" it is the beginning of one that would be.
        ``tools`` are functions in OpenAI's form that the model may call by its template's own
        format; ``tool_choice`` is "auto", "none", "required" or one of them, and what must be
        called is called with arguments of its schema. ``thinking=False`` asks a template that
        knows of it for an answer without reasoning; ``template_options`` are its other variables.
        ``logprobs`` (0 to 20) asks for the probability of each token and of so many rivals.

        ``session`` names the conversation that this continues: what it begins with and was computed
        before is not computed again. With ``mode="deterministic"`` the same request gives the same
        bits whatever else runs, at the price of a decode of its own for each token. A text that
        is read in pieces is held up while ``max_unread`` bytes of it have not been taken.
        ``n_ubatch`` tokens of a prompt are decoded at once (512); fewer need less memory. Where it
        is not given, a streamed model may take larger bites of a long prompt, as memory allows.

        Raises ModelFileError, InvalidRequest, PromptTooLong, or NeverFits when it is
        larger than the cap.
        """
        info = inspect_model(model)
        form = form_of(
            info,
            prompt=prompt,
            messages=messages,
            tools=tools,
            tool_choice=tool_choice,
            parallel_tool_calls=parallel_tool_calls,
            thinking=thinking,
            template_options=template_options,
            grammar=grammar,
            json_schema=json_schema,
            stop=stop,
        )
        given = form.chat
        request = self._core.submit(
            info.path,
            given.prompt,
            whole("max_tokens", max_tokens, 1, INT_32),
            context_spec(n_ctx, 1, kv_type, N_UBATCH if n_ubatch is None else n_ubatch, flash_attn),
            (sampling or Sampling()).to_core(),
            form.stops,
            None if deadline_s is None else at_least_zero("deadline_s", deadline_s),
            form.constraint,
            list(given.preserved),
            None if logprobs is None else whole("logprobs", logprobs, 0, MAX_LOGPROBS),
            encodable(session or ""),
            encodable(mode),
            whole("max_unread", max_unread, 1),
            self._proofs.batch(info.path, kv_type, flash_attn) if mode == "deterministic" else 1,
            may_widen=n_ubatch is None,
        )
        forward_logs()
        reading = None
        if given.parser is not None:
            reading = Reading(
                given.parser,
                given.prompt,
                lambda part: len(_core.tokenize(info.path, part, self._device)) - info.adds_bos,
            )
        return Request(request, with_logprobs=logprobs is not None, reading=reading)

    def embed(
        self,
        model: StrPath,
        texts: Sequence[str],
        *,
        normalize: bool = True,
        pooling: Pooling | None = None,
        n_ctx: int | None = None,
        truncate: bool = False,
    ) -> list[list[float]]:
        """One vector for each text. See ``submit_embedding``; this waits for the result."""
        request = self.submit_embedding(
            model,
            texts,
            normalize=normalize,
            pooling=pooling,
            n_ctx=n_ctx,
            truncate=truncate,
        )
        return request.result().vectors

    def submit_embedding(
        self,
        model: StrPath,
        texts: Sequence[str],
        *,
        normalize: bool = True,
        pooling: Pooling | None = None,
        n_ctx: int | None = None,
        truncate: bool = False,
        deadline_s: float | None = None,
    ) -> EmbeddingRequest:
        """Queues texts to be made vectors of; many of them share a decode.

        ``pooling`` makes one vector of a text's tokens: "mean", "cls" (the first token) or "last";
        by default as the model file says. ``normalize`` makes its length 1. A text may have
        ``n_ctx`` tokens (512, or what the model was trained for); a longer one is refused, or cut
        with ``truncate``.

        Raises ModelFileError, InvalidRequest, PromptTooLong or NeverFits.
        """
        return submit_texts(
            self._core,
            model,
            texts,
            normalize=normalize,
            pooling=pooling,
            n_ctx=n_ctx,
            truncate=truncate,
            deadline_s=deadline_s,
        )

    def close(self) -> None:
        """Cancels what is queued or running and frees the device. Idempotent."""
        self._core.close()
        atexit.unregister(self._close_at_exit)
        forward_logs()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _closer:  # noqa: N801 - used as a function that can be compared
    """Closes an engine at exit without keeping it alive until then."""

    def __init__(self, core: _core.Engine) -> None:
        self._core = weakref.ref(core)

    def __call__(self) -> None:
        core = self._core()
        if core is not None:
            core.close()

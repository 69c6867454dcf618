"""The `ctx` of a coordinator: what it may do durably.

A coordinator is replayed from its start at every wake-up. Each method here looks first into the
recorded history and acts only on what is not in it, so nothing recorded happens twice.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar

from lmx.workflows import models, registry
from lmx.workflows.attachments.store import keep_files
from lmx.workflows.coordinators.handles import Child, ChildFailed, keys_of, raise_failures
from lmx.workflows.coordinators.history import History
from lmx.workflows.coordinators.journal import Journal, Port
from lmx.workflows.coordinators.memory import Memory
from lmx.workflows.coordinators.spawning import spawn_child
from lmx.workflows.coordinators.verdicts import Verdicts
from lmx.workflows.coordinators.waits import Waits
from lmx.workflows.embedding import plan_embedding
from lmx.workflows.errors import BudgetExceeded
from lmx.workflows.generation import Terms
from lmx.workflows.lease import Lease
from lmx.workflows.names import DEFAULT, EMBED, GENERATE
from lmx.workflows.providers.publishing import find_cloud_model
from lmx.workflows.routing.planning import Asked, plan_asked
from lmx.workflows.submission import Budgets, Options, call_input

P = ParamSpec("P")
T = TypeVar("T")


class Context:
    """Handed to a coordinator as its first argument."""

    def __init__(self, lease: Lease, history: History, port: Port) -> None:
        self._journal = Journal(lease, history, port)
        self._waits = Waits(self._journal)
        self._verdicts = Verdicts(self._journal)
        self.memory = Memory(self._journal)

    @property
    def run_id(self) -> int:
        """The id of the run: its root task."""
        return self._journal.lease.root_id

    @property
    def task_id(self) -> int:
        """The id of this coordinator's own task."""
        return self._journal.lease.task_id

    def step(self, name: str, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn` once and record its result under `name`; a replay returns the record.

        The result must be JSON, and is what JSON makes of it (a tuple becomes a list). An
        exception is not recorded: the coordinator's attempt fails, and a later one tries again.
        """
        journal = self._journal
        record = journal.name("step", name)
        if record in journal.history.steps:
            return journal.history.steps[record]  # type: ignore[no-any-return]
        journal.flush()
        return journal.record(record, fn(*args, **kwargs))  # type: ignore[no-any-return]

    def now(self) -> float:
        """The database's time in seconds since the epoch, recorded, so the same in every replay."""
        return self.step("now", self._journal.lease.now)

    def spawn(
        self,
        function: Callable[..., T] | str,
        *args: Any,
        key: str | None = None,
        queue: str | None = None,
        priority: int = 0,
        cost: float = 1.0,
        delay: float | None = None,
        max_attempts: int | None = None,
        time_limit: float | None = None,
        timeout: float | None = None,
        budget: Budgets | None = None,
        nesting: int = 0,
        **kwargs: Any,
    ) -> Child[T]:
        """Start a child: a worker function, or a coordinator while the run's nesting allows it.

        `key` names the child among its siblings (default: the function's name, numbered). `budget`
        is moved out of this coordinator's. The child starts with the next durable call or wait.
        """
        name = function if isinstance(function, str) else registry.name_of(function)
        target = registry.find(name)
        role = target.role if target else "worker"
        options = Options(
            priority=priority,
            delay=delay,
            max_attempts=max_attempts or (target.max_attempts if target else 4),
            time_limit=time_limit if time_limit is not None or not target else target.time_limit,
            timeout=timeout,
            budget=budget,
            nesting=nesting,
        )
        queue = queue or (target.queue if target else DEFAULT)
        body = call_input(args, kwargs)
        return spawn_child(
            self._journal, key or name, name, role, options, lambda: (body, queue, Terms()), cost
        )

    def generate(
        self,
        *,
        model: str | None = None,
        route: str | None = None,
        labels: Mapping[str, str] | None = None,
        private: bool = False,
        prompt: str | None = None,
        messages: Sequence[Mapping[str, Any]] | None = None,
        max_tokens: int | None = None,
        key: str | None = None,
        priority: int = 0,
        cost: float = 1.0,
        timeout: float | None = None,
        budget: Budgets | None = None,
        validate: Callable[[dict[str, Any]], bool | str | None] | None = None,
        when: str | None = None,
        **sampling: Any,
    ) -> Child[dict[str, Any]]:
        """Spawn one call of a model; its result is {"text", "finish_reason", "model"} and more.

        In place of `model` a `route` chooses one: see `Client.generate`.
        With `tools` the result may have "tool_calls", in the form that a message of the assistant
        takes them; with a model that reasons, "reasoning".
        Of the units of this coordinator's budget the call gets its worst case, unless `budget`
        gives it more.
        `validate(result)` returns False, or a text that says why, for an answer that is no good:
        `gather` then takes the call as failed, and its model's quality breaker counts it.
        Calls with the same `session="name"` within this run do not compute again what they begin
        with in common; "/name" is a session that is shared with other runs.
        `when="cheap"`: see `Client.generate`; a run that must end sooner than in a day refuses it.
        """

        def body() -> tuple[Any, str, Terms]:
            asked = Asked(
                model=model,
                route=route,
                labels=labels or {},
                private=private,
                prompt=prompt,
                messages=messages,
                max_tokens=max_tokens,
                sampling=sampling,
                priority=priority,
                budget=budget or {},
                run=self.run_id,
                when=when,
                within=timeout,
            )
            with self._journal.port.borrow() as conn:
                if when is not None and (left := self._journal.time_left(conn)) is not None:
                    asked = replace(asked, within=min(left, timeout or left))
                if model is None and not budget and self._journal.lease.budgeted:
                    asked = replace(asked, budget=self._journal.left(conn))
                call = plan_asked(conn, asked)
                keep_files(conn, call.files)
            return call.input, call.queue, call.terms()

        options = Options(priority=priority, max_attempts=3, timeout=timeout, budget=budget)
        child = spawn_child(self._journal, key or GENERATE, GENERATE, "worker", options, body, cost)
        child.validate = validate
        return child

    def embed(
        self,
        *,
        model: str,
        texts: Sequence[str],
        key: str | None = None,
        priority: int = 0,
        cost: float = 1.0,
        timeout: float | None = None,
        budget: Budgets | None = None,
        **options: Any,
    ) -> Child[dict[str, Any]]:
        """Spawn one embedding; its result is {"embeddings", "model"}. Options: `Client.embed`."""

        def body() -> tuple[Any, str, Terms]:
            with self._journal.port.borrow() as conn:
                call = plan_embedding(conn, model=model, texts=texts, **options)
            return call.input, call.queue, call.terms()

        settings = Options(priority=priority, max_attempts=3, timeout=timeout, budget=budget)
        return spawn_child(self._journal, key or EMBED, EMBED, "worker", settings, body, cost)

    def reject(self, call: Child[Any], reason: str = "") -> None:
        """Say that the answer of a gathered call of a model is no good.

        It counts in the quality breaker of the call's pool, which routes heed. Once in all replays.
        """
        self._verdicts.record(call, accepted=False, reason=reason)

    def accept(self, call: Child[Any]) -> None:
        """Say that the answer of a gathered call of a model is good."""
        self._verdicts.record(call, accepted=True)

    def chat_features(self, model: str) -> dict[str, bool]:
        """Whether the model knows "tools" and "reasoning", recorded as a step.

        Of a local model its chat template says so.
        """

        def look() -> dict[str, bool]:
            with self._journal.port.borrow() as conn:
                known = [row for row in models.list_models(conn) if row.name == model]
                cloud = None if known else find_cloud_model(conn, model)
            if cloud is not None:
                has = cloud.model.features
                return {"tools": "tools" in has, "reasoning": "thinking" in has}
            info = known[0].info if known else {}
            return {name: bool(info.get(name)) for name in ("tools", "reasoning")}

        return self.step("chat_features", look)

    def gather(self, *children: Child[Any], return_exceptions: bool = False) -> list[Any]:
        """Wait until all `children` have finished and return their results in the given order.

        Raises ChildFailed for the first that did not succeed, naming the others, or BudgetExceeded
        for one that was refused; with `return_exceptions` these stand in the list instead.
        """
        self._waits.children(keys_of(children))
        results = [self._result(child) for child in children]
        if not return_exceptions:
            raise_failures(children, results)
        return results

    def first(self, *children: Child[T]) -> Child[T]:
        """Wait until one of `children` has finished and return it; `gather` gives its result."""
        key = self._waits.first(keys_of(children))
        return next(child for child in children if child.key == key)

    def sleep(self, seconds: float) -> None:
        """Wait; holds no slot meanwhile, and goes on from where it was after a crash."""
        self._waits.sleep(seconds)

    def wait_for(self, name: str, timeout: float | None = None) -> Any:
        """Wait for the next signal called `name` (`lmx signal RUN name`) and return its payload.

        Raises TimedOut after `timeout` seconds.
        """
        return self._waits.signal(name, timeout)

    def close(self) -> None:
        """Wait for children that nobody gathered; called when the function has returned."""
        self._waits.everything()

    def _result(self, child: Child[Any]) -> Any:
        if (refusal := self._journal.refusal(child.key)) is not None:
            return BudgetExceeded(refusal)
        record = self._journal.history.children[child.key]
        if record.state == "succeeded":
            fault = self._verdicts.of(child, record) if child.validate else None
            return record.output if fault is None else fault
        return ChildFailed(child.key, record.id, record.state, record.error)

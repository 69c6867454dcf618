"""Submit work and fetch its results: the Python face of the queue.

client = Client(resolve_database(load_settings()))
task = client.enqueue("count_words", args=["a text"])
print(client.result(task, timeout=60))
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Unpack

import psycopg

from lmx.workflows import generation
from lmx.workflows.database.callers import CallerConnection, driver_connection
from lmx.workflows.database.connect import Database
from lmx.workflows.database.failures import failure_of
from lmx.workflows.database.hotpool import HotPool
from lmx.workflows.embedding import plan_embedding
from lmx.workflows.errors import InvalidInput, TaskFailed
from lmx.workflows.generation import PlannedCall, Terms
from lmx.workflows.insertion import add_task, add_tasks
from lmx.workflows.names import EMBED, GENERATE
from lmx.workflows.routing.planning import Asked, plan_asked
from lmx.workflows.submission import (
    Budgets,
    Options,
    RunOptions,
    TaskOptions,
    call_input,
    check_key,
    encode_input,
)
from lmx.workflows.targets import Targets
from lmx.workflows.views import TaskView
from lmx.workflows.waiting import wait_for_task


@dataclass(slots=True)
class Client:
    """Talks to one database. Thread-safe; every submission is answered after its commit (R1).

    A `connection` passed to a method is the caller's own, and its transaction decides: the task
    exists when it commits, and never if it rolls back.
    """

    database: Database
    _pool: HotPool = field(init=False)
    _targets: Targets = field(default_factory=Targets)

    def __post_init__(self) -> None:
        self._pool = HotPool(self.database)

    def close(self) -> None:
        """Close idle connections."""
        self._pool.close()

    def enqueue(
        self,
        name: str,
        input: Any = None,
        *,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        budget: Budgets | None = None,
        reserve: Budgets | None = None,
        connection: CallerConnection | None = None,
        **options: Unpack[TaskOptions],
    ) -> int:
        """Queue one task and return its id.

        `args` and `kwargs` are for a function; `input` is the whole input of any other kind of
        task. A repeat with the same `idempotency_key` returns the first task's id. Raises NotFound
        (no such function), InvalidInput, Conflict (the key was used for something else),
        DatabaseUnavailable.
        """
        body = call_input(args, kwargs or {}) if input is None else input
        asked = Options(budget=budget, **options)
        return self._submit(name, body, asked, idempotency_key, Terms(reserve), connection)

    def submit(
        self,
        name: str,
        *args: Any,
        weight: float = 1.0,
        nesting: int = 0,
        budget: Budgets | None = None,
        priority: int = 0,
        delay: float | None = None,
        timeout: float | None = None,
        idempotency_key: str | None = None,
        connection: CallerConnection | None = None,
        **kwargs: Any,
    ) -> int:
        """Start a run of the coordinator `name` and return its id. Errors: as for `enqueue`.

        `weight` is the run's share of every queue, `nesting` how many levels of coordinators it
        may have beneath its root, `budget` what the whole tree may spend.
        """
        return self.start(
            name,
            args=args,
            kwargs=kwargs,
            weight=weight,
            nesting=nesting,
            budget=budget,
            priority=priority,
            delay=delay,
            timeout=timeout,
            idempotency_key=idempotency_key,
            connection=connection,
        )

    def start(
        self,
        name: str,
        *,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        connection: CallerConnection | None = None,
        **options: Unpack[RunOptions],
    ) -> int:
        """Do as `submit`, for arguments of any name: `kwargs` are all the coordinator's."""
        body = call_input(args, kwargs or {})
        return self._submit(name, body, Options(**options), idempotency_key, Terms(), connection)

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
        priority: int = 0,
        timeout: float | None = None,
        idempotency_key: str | None = None,
        budget: Budgets | None = None,
        when: str | None = None,
        connection: CallerConnection | None = None,
        **sampling: Any,
    ) -> int:
        """Queue one call of a model, local or in the cloud, and return the task's id.

        In place of `model` a `route` chooses one, with an eye on `labels`; what is `private` stays
        on local models (docs/routing.md). `sampling` are the options of a model call. Of these,
        `session` names a conversation: what an earlier call of it has computed is not computed
        again.

        `when="cheap"` lets it take up to a day for less: in a batch, where its provider takes them,
        else when nothing else waits.

        Errors: as for `enqueue`, and BudgetExceeded if the call could cost more than its budget.
        """
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
            when=when,
            within=timeout,
        )
        with self._use(connection) as conn:
            call = plan_asked(conn, asked)
        options = Options(queue=call.queue, priority=priority, timeout=timeout, budget=budget)
        return self._submit_call(GENERATE, call, options, idempotency_key, connection)

    def embed(
        self,
        *,
        model: str,
        texts: Sequence[str],
        priority: int = 0,
        timeout: float | None = None,
        idempotency_key: str | None = None,
        budget: Budgets | None = None,
        connection: CallerConnection | None = None,
        **options: Any,
    ) -> int:
        """Queue texts to be turned into vectors by a local model; return the task's id.

        The result is {"embeddings": [[...], ...], "model"}. `options` are `normalize` (True),
        `pooling` ("mean", "cls" or "last"; the model's own), `n_ctx` and `truncate` (False).
        Errors: as for `generate`.
        """
        with self._use(connection) as conn:
            call = plan_embedding(conn, model=model, texts=texts, **options)
        asked = Options(queue=call.queue, priority=priority, timeout=timeout, budget=budget)
        return self._submit_call(EMBED, call, asked, idempotency_key, connection)

    def enqueue_many(
        self,
        name: str,
        inputs: Sequence[Any],
        *,
        idempotency_keys: Sequence[str] | None = None,
        connection: CallerConnection | None = None,
        **options: Unpack[TaskOptions],
    ) -> list[int]:
        """Queue one worker task per input, all or none of them, in one statement.

        Inputs are whole task inputs: `call_input(args, kwargs)` for a function. With
        `idempotency_keys`, tasks that exist already are left as they are and their ids returned in
        place. Errors: as for `enqueue`.
        """
        asked = Options(**options)
        asked.check()
        if not inputs:
            return []
        if idempotency_keys is not None and len(idempotency_keys) != len(inputs):
            raise InvalidInput("there must be one idempotency key per input")
        for key in idempotency_keys or ():
            check_key(key)
        with self._use(connection) as conn:
            target = self._targets.find(conn, name, asked.queue)
            return add_tasks(conn, target, inputs, asked, idempotency_keys)

    def wait(self, task_id: int, timeout: float | None = None) -> TaskView:
        """Wait until a task has finished. Raises NotFound, TimedOut."""
        return wait_for_task(self.database, task_id, timeout)

    def result(self, task_id: int, timeout: float | None = None) -> Any:
        """Wait for a task and return its output. Raises TaskFailed, TimedOut, NotFound."""
        view = self.wait(task_id, timeout)
        if view.state != "succeeded":
            reason = (view.error or {}).get("message", view.state)
            raise TaskFailed(f"task {task_id} ({view.name}) {view.state}: {reason}")
        return view.output

    def _submit_call(
        self,
        name: str,
        call: PlannedCall,
        options: Options,
        key: str | None,
        connection: CallerConnection | None,
    ) -> int:
        """Queue a planned call of a model. Raises BudgetExceeded if it could cost too much."""
        budget = options.budget or {}
        generation.refuse_unaffordable(call, budget)
        terms = call.terms(budget.keys())
        return self._submit(name, call.input, options, key, terms, connection)

    def _submit(
        self,
        name: str,
        body: Any,
        options: Options,
        key: str | None,
        terms: Terms,
        connection: CallerConnection | None,
    ) -> int:
        options.check()
        check_key(key)
        encoded = encode_input(body)
        with self._use(connection) as conn, self._whole(conn, terms):
            target = self._targets.find(conn, name, options.queue)
            return add_task(conn, target, encoded, options, key, terms)

    @contextlib.contextmanager
    def _whole(self, conn: psycopg.Connection[Any], terms: Terms) -> Iterator[None]:
        """A transaction, where one statement is not enough: a pool or a decision comes with it."""
        if terms.placement is None and terms.decision is None:
            yield
        else:
            with conn.transaction():
                yield

    @contextlib.contextmanager
    def _use(self, connection: CallerConnection | None) -> Iterator[psycopg.Connection[Any]]:
        """Lend the caller's connection, or one of the pool's; name failures in one line."""
        try:
            if connection is None:
                with self._pool.borrow() as conn:
                    yield conn
            else:
                yield driver_connection(connection)
        except psycopg.Error as error:
            raise failure_of(error, self.database.place) or error from error

"""The functions that a process can run: coordinators and workers, by name.

    @worker(max_attempts=3)
    def count_words(text: str) -> int: ...

    @coordinator
    def review(ctx: Context, paper: str) -> str: ...

`load_modules` imports the user's modules; `publish` writes what is registered to lmx.catalog, so
that every process can tell a known name from a typing error.
"""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, overload

import psycopg

from lmx.workflows.errors import ConfigError, InvalidInput, NotFound
from lmx.workflows.names import COORDINATORS, DEFAULT
from lmx.workflows.operations import encode

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Function:
    """One registered function and how its tasks are run.

    `max_attempts` counts executions that may fail before the task does; `time_limit` bounds one
    attempt, in seconds; the pause before attempt n + 1 is drawn from `backoff` * 2^(n-1) seconds,
    at most `max_backoff`, with jitter.
    """

    name: str
    role: str
    queue: str
    fn: Callable[..., Any]
    max_attempts: int
    time_limit: float | None
    backoff: float
    max_backoff: float

    @property
    def time_limit_ms(self) -> int | None:
        """The time limit as rows have it, in milliseconds."""
        return None if self.time_limit is None else int(self.time_limit * 1000)

    @property
    def place(self) -> str:
        """Where the function is defined."""
        return f"{self.fn.__module__}.{self.fn.__qualname__}"

    def describe(self) -> dict[str, Any]:
        """The row of lmx.catalog."""
        parameters = list(inspect.signature(self.fn).parameters.values())
        shown = parameters[1:] if self.role == "coordinator" else parameters
        return {
            "name": self.name,
            "role": self.role,
            "queue": self.queue,
            "max_attempts": self.max_attempts,
            "time_limit_ms": self.time_limit_ms,
            "doc": inspect.getdoc(self.fn),
            "parameters": {p.name: str(p) for p in shown},
        }


_functions: dict[str, Function] = {}


def _registering(
    role: str, queue: str, name: str | None, **options: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the decorator that registers a function with these options."""

    def register(fn: Callable[..., Any]) -> Callable[..., Any]:
        _add(Function(name=name or fn.__name__, role=role, queue=queue, fn=fn, **options))
        return fn

    return register


def _add(new: Function) -> None:
    known = _functions.get(new.name)
    if known is not None and known.place != new.place:
        raise ConfigError(
            f"two functions are called {new.name!r}: {known.place} and {new.place}",
            hint="give one of them another name=",
        )
    _functions[new.name] = new


@overload
def coordinator(fn: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def coordinator(
    *,
    name: str | None = None,
    max_attempts: int = 4,
    backoff: float = 1.0,
    max_backoff: float = 300.0,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def coordinator(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    max_attempts: int = 4,
    backoff: float = 1.0,
    max_backoff: float = 300.0,
) -> Any:
    """Register a durable coordinator `(ctx, *args) -> JSON`. Options: see `Function`."""
    register = _registering(
        "coordinator",
        COORDINATORS,
        name,
        max_attempts=max_attempts,
        time_limit=None,
        backoff=backoff,
        max_backoff=max_backoff,
    )
    return register if fn is None else register(fn)


@overload
def worker(fn: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def worker(
    *,
    name: str | None = None,
    queue: str = DEFAULT,
    max_attempts: int = 4,
    time_limit: float | None = None,
    backoff: float = 1.0,
    max_backoff: float = 300.0,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def worker(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    queue: str = DEFAULT,
    max_attempts: int = 4,
    time_limit: float | None = None,
    backoff: float = 1.0,
    max_backoff: float = 300.0,
) -> Any:
    """Register a worker function `(*args) -> JSON`: a leaf, which can spawn nothing."""
    register = _registering(
        "worker",
        queue,
        name,
        max_attempts=max_attempts,
        time_limit=time_limit,
        backoff=backoff,
        max_backoff=max_backoff,
    )
    return register if fn is None else register(fn)


def registered() -> list[Function]:
    """All registered functions, by name."""
    return [_functions[name] for name in sorted(_functions)]


def find(name: str) -> Function | None:
    """The function called `name`, if this process has it."""
    return _functions.get(name)


def get(name: str) -> Function:
    """The function called `name`. Raises NotFound naming those that this process has."""
    function = _functions.get(name)
    if function is None:
        known = ", ".join(sorted(_functions)) or "none"
        raise NotFound(f"no function is called {name!r}; known: {known}")
    return function


def load_modules(names: Iterable[str]) -> None:
    """Import the user's modules: dotted names, or paths of .py files.

    Raises ConfigError naming the module and the reason.
    """
    for name in names:
        try:
            if name.endswith(".py"):
                _load_file(Path(name).expanduser())
            else:
                importlib.import_module(name)
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(
                f"the workflow module {name} cannot be imported: {type(error).__name__}: {error}"
            ) from error


def _load_file(path: Path) -> None:
    module_name = f"lmx_user_{path.stem}"
    if module_name in sys.modules:
        return
    if not path.is_file():
        raise ConfigError(f"the workflow file {path} does not exist")
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"the workflow file {path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)


def publish(conn: psycopg.Connection[Any]) -> None:
    """Write the registered functions and their queues to the database."""
    functions = registered()
    rows = encode([function.describe() for function in functions])
    queues = sorted({function.queue for function in functions} | {COORDINATORS, DEFAULT})
    with conn.transaction():
        conn.execute(
            "INSERT INTO lmx.queues (name) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING",
            [queues],
        )
        conn.execute(
            "INSERT INTO lmx.catalog"
            " (name, role, queue, max_attempts, time_limit_ms, doc, parameters)"
            " SELECT name, role, queue, max_attempts, time_limit_ms, doc, parameters"
            " FROM jsonb_to_recordset(%s::jsonb)"
            " AS f(name text, role lmx.task_role, queue text, max_attempts smallint,"
            "      time_limit_ms integer, doc text, parameters jsonb)"
            " ORDER BY name"
            " ON CONFLICT (name) DO UPDATE SET role = excluded.role, queue = excluded.queue,"
            " max_attempts = excluded.max_attempts, time_limit_ms = excluded.time_limit_ms,"
            " doc = excluded.doc, parameters = excluded.parameters, seen_at = now()",
            [rows],
        )


def name_of(function: Callable[..., Any]) -> str:
    """The name under which a function is registered. Raises InvalidInput."""
    for known in registered():
        if known.fn is function:
            return known.name
    raise InvalidInput(
        f"{getattr(function, '__qualname__', function)} is neither a @worker nor a @coordinator"
    )

"""The local models that may be called, by name: their files, their needs and their prices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import psycopg

from lmx.workflows.errors import Conflict, InvalidInput, NeverFitsError, NotFound
from lmx.workflows.names import EMBED, GENERATE, GPU
from lmx.workflows.operations import encode
from lmx.workflows.providers.catalog import load_catalog

Connection = psycopg.Connection[Any]

#: Bytes of a number of a KV cache; those of blocks of 32 with their scales.
_CACHE_BYTES: Final[Mapping[str, float]] = {
    "f32": 4.0,
    "f16": 2.0,
    "bf16": 2.0,
    "q8_0": 34 / 32,
    "q5_1": 24 / 32,
    "q5_0": 22 / 32,
    "q4_1": 20 / 32,
    "q4_0": 18 / 32,
}


@dataclass(frozen=True, slots=True)
class Need:
    """The device memory that one context of a model takes, in bytes.

    `streamed` is the least it can do with, its layers streamed from host memory; None where they
    cannot be, or nobody has asked.
    """

    weights: int
    kv: int
    compute: int
    streamed: int | None = None

    @property
    def total(self) -> int:
        """All three together."""
        return self.weights + self.kv + self.compute

    @property
    def least(self) -> int:
        """The smallest device that could run it, in whatever way."""
        return self.total if self.streamed is None else min(self.total, self.streamed)

    def at_least(self, own: str, asked: str) -> "Need":
        """No more than what it is with a cache of type `asked`; it was measured with one of `own`.

        Of a cache only what is kept of tokens has that type, and a computation that unpacks it
        takes other buffers.
        """
        if asked == own:
            return self
        share = min(1.0, _CACHE_BYTES[asked] / _CACHE_BYTES[own])
        kv = int(self.kv * share)
        spared = self.kv - kv + self.compute
        streamed = None if self.streamed is None else max(0, self.streamed - spared)
        return Need(self.weights, kv, 0, streamed)


@dataclass(frozen=True, slots=True)
class Model:
    """A registered model file.

    `n_ctx` is the context length of a call that names none, and `kv_type` what its keys and values
    are kept as. Prices are nano-dollars per million tokens. `info` is what the file says of itself,
    with the `kv_type`; `needs` is the exact need by context length, with that type.
    """

    name: str
    path: str
    sha256: str
    size_bytes: int
    n_ctx: int
    price_in: int = 0
    price_out: int = 0
    info: Mapping[str, Any] = field(default_factory=dict)
    needs: Mapping[int, Need] = field(default_factory=dict)
    added_at: datetime | None = None

    @property
    def kv_type(self) -> str:
        """What the KV cache of a call that does not say is kept as."""
        return str(self.info.get("kv_type") or "f16")

    def need(self, n_ctx: int) -> int | None:
        """Bytes of device memory for one context of `n_ctx` tokens; None if never measured."""
        known = self.needs.get(n_ctx)
        return known.total if known else None


_COLUMNS = (
    "name, path, sha256, size_bytes, n_ctx, usd_nano_per_mtok_in, usd_nano_per_mtok_out,"
    " info, needs, added_at"
)


def list_models(conn: Connection) -> list[Model]:
    """All registered models, by name."""
    rows = conn.execute(f"SELECT {_COLUMNS} FROM lmx.models ORDER BY name")  # noqa: S608
    return [_model(row) for row in rows]


def find_model(conn: Connection, name: str) -> Model | None:
    """The local model called `name`, if there is one."""
    query = f"SELECT {_COLUMNS} FROM lmx.models WHERE name = %s"  # noqa: S608
    row = None if "\x00" in name else conn.execute(query, [name]).fetchone()
    return None if row is None else _model(row)


def get_model(conn: Connection, name: str) -> Model:
    """The local model called `name`. Raises NotFound, naming those that exist."""
    if (model := find_model(conn, name)) is None:
        raise NotFound(f"no model is called {name!r}", hint=_what_exists(conn, name))
    return model


def choose_model(conn: Connection, name: str | None) -> Model:
    """The model called `name`, or the only one there is. Raises NotFound, InvalidInput."""
    if name is not None:
        return get_model(conn, name)
    models = list_models(conn)
    if len(models) == 1:
        return models[0]
    if not models:
        raise NotFound("no model is registered", hint="add one: lmx models add FILE.gguf")
    names = ", ".join(model.name for model in models)
    raise InvalidInput("several models are registered, so name one", hint=f"one of {names}")


def add_model(conn: Connection, model: Model, *, replace: bool = False) -> Model:
    """Register a model. The same file under the same name is added again without complaint.

    Raises Conflict when the name stands for another file, unless `replace`.
    """
    with conn.transaction():
        found = conn.execute(
            "SELECT sha256 FROM lmx.models WHERE name = %s FOR UPDATE", [model.name]
        ).fetchone()
        if found is not None and found[0] != model.sha256 and not replace:
            raise Conflict(
                f"the model {model.name!r} is registered already, with a different file",
                hint=f"choose another --name, or replace it: lmx models add --replace {model.path}",
            )
        conn.execute(
            "INSERT INTO lmx.models (name, path, sha256, size_bytes, n_ctx, usd_nano_per_mtok_in,"
            " usd_nano_per_mtok_out, info, needs)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s::jsonb, %s::jsonb)"
            " ON CONFLICT (name) DO UPDATE SET path = excluded.path, sha256 = excluded.sha256,"
            " size_bytes = excluded.size_bytes, n_ctx = excluded.n_ctx,"
            " usd_nano_per_mtok_in = excluded.usd_nano_per_mtok_in,"
            " usd_nano_per_mtok_out = excluded.usd_nano_per_mtok_out, info = excluded.info,"
            " needs = CASE WHEN models.sha256 = excluded.sha256 AND"
            " models.info -> 'kv_type' IS NOT DISTINCT FROM excluded.info -> 'kv_type'"
            " THEN models.needs || excluded.needs ELSE excluded.needs END",
            [
                model.name,
                model.path,
                model.sha256,
                model.size_bytes,
                model.n_ctx,
                model.price_in,
                model.price_out,
                encode(dict(model.info)),
                encode({str(n_ctx): _as_json(need) for n_ctx, need in model.needs.items()}),
            ],
        )
        return get_model(conn, model.name)


def record_need(conn: Connection, model: Model, n_ctx: int, need: Need) -> None:
    """Remember the exact need of one context length, unless the model has been replaced."""
    conn.execute(
        "UPDATE lmx.models SET needs = needs || %s::jsonb WHERE name = %s AND sha256 = %s"
        " AND coalesce(info ->> 'kv_type', 'f16') = %s",
        [encode({str(n_ctx): _as_json(need)}), model.name, model.sha256, model.kv_type],
    )


def remove_model(conn: Connection, name: str) -> None:
    """Forget a model; its file stays. Raises NotFound, and Conflict while calls of it wait."""
    with conn.transaction():
        get_model(conn, name)
        row = conn.execute(
            "SELECT count(*) FROM lmx.tasks WHERE finished_at IS NULL AND queue = %s"
            " AND name = ANY(%s) AND input ->> 'model' = %s",
            [GPU, [GENERATE, EMBED], name],
        ).fetchone()
        if row is not None and row[0]:
            raise Conflict(
                f"{row[0]} calls of the model {name!r} are not finished",
                hint="wait for them or cancel them first",
            )
        conn.execute("DELETE FROM lmx.models WHERE name = %s", [name])


def refuse_oversized(
    conn: Connection, model: Model, n_ctx: int, cap: int | None, kv_type: str | None = None
) -> None:
    """Raise NeverFitsError if no device could ever hold one context of the model.

    The devices of live GPU workers decide; without any, `cap` does, where given. A model that
    could be streamed is let through: the worker knows whether it may be, and what a cache of
    another `kv_type` than the model's own takes exactly.
    """
    known = model.needs.get(n_ctx)
    if known is None:
        # A longer context never needs less: a measured shorter one is a safe lower bound.
        shorter = [need for length, need in model.needs.items() if length < n_ctx]
        known = max(shorter, key=lambda need: need.least, default=None)
    if known is None:
        return
    known = known.at_least(model.kv_type, kv_type or model.kv_type)
    device = _roomiest_device(conn)
    if device is None:
        device = (cap, cap) if cap is not None else None
    if device is not None and known.least > device[0]:
        raise NeverFitsError(known.total, *device)


def _roomiest_device(conn: Connection) -> tuple[int, int] | None:
    """(cap, free) in bytes of the largest device that a live worker serves."""
    row = conn.execute(
        "SELECT d.cap_bytes, greatest(0, d.cap_bytes - coalesce("
        "  (SELECT sum(l.bytes) FROM lmx.vram_leases l WHERE l.device_id = d.id), 0))::bigint"
        " FROM lmx.devices d JOIN lmx.workers w ON w.id = d.worker_id"
        " WHERE w.stopped_at IS NULL AND w.expires_at > clock_timestamp()"
        " ORDER BY d.cap_bytes DESC LIMIT 1"
    ).fetchone()
    return None if row is None else (row[0], row[1])


def _what_exists(conn: Connection, name: str) -> str:
    shipped = load_catalog()
    if name in shipped.models:
        provider = shipped.models[name].provider
        account = next(one for one in shipped.accounts if one.provider == provider)
        return f"{provider} has it: set {account.key_env}, and run `lmx up`"
    rows = conn.execute(
        "SELECT name FROM lmx.models UNION SELECT name FROM lmx.cloud_models ORDER BY 1 LIMIT 20"
    ).fetchall()
    if not rows:
        return "none is registered; add one: lmx models add FILE.gguf"
    return f"known are {', '.join(row[0] for row in rows)}"


def _as_json(need: Need) -> dict[str, int | None]:
    return {
        "weights_bytes": need.weights,
        "kv_bytes": need.kv,
        "compute_bytes": need.compute,
        "total_bytes": need.total,
        "streamed_bytes": need.streamed,
    }


def _model(row: Sequence[Any]) -> Model:
    name, path, sha256, size_bytes, n_ctx, price_in, price_out, info, needs, added_at = row
    measured = {
        int(length): Need(
            need["weights_bytes"],
            need["kv_bytes"],
            need["compute_bytes"],
            need.get("streamed_bytes"),
        )
        for length, need in needs.items()
    }
    return Model(
        name, path, sha256, size_bytes, n_ctx, price_in, price_out, info, measured, added_at
    )

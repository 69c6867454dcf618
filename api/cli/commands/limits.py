"""`lmx limits` and `lmx breakers`: what the pools of cloud providers let through, and why not."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from lmx.api.cli.examples import examples
from lmx.api.cli.output import note, print_table, write_json

if TYPE_CHECKING:
    from lmx.workflows.pools import LimitView, PoolView

_NONE = "no pools yet: set a provider's key (ANTHROPIC_API_KEY, GEMINI_API_KEY) and run `lmx up`"


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command(epilog=examples("lmx limits", "lmx limits haiku", "lmx limits --json"))(limits)
    app.command(epilog=examples("lmx breakers", "lmx breakers --reset anthropic/default/haiku"))(
        breakers
    )


def limits(
    pool: Annotated[str | None, typer.Argument(help="Show pools with this in their name.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what is used and left of every rate limit, what waits, and for what."""
    found = _pools(pool)
    if as_json:
        write_json(found)
        return
    columns = ["pool", "limit", "used", "of", "left", "waiting", "running", "next", "because"]
    print_table(columns, [row for view in found for row in _rows(view)])
    for view in found:
        if view.deferred:
            one = view.deferred == 1
            calls = (
                f"1 call of {view.name} waits"
                if one
                else f"{view.deferred} calls of {view.name} wait"
            )
            note(f"{calls} for money: {view.deferred_for}")
    if not found:
        note(_NONE)


def breakers(
    reset: Annotated[
        str | None, typer.Option(metavar="POOL", help="Close this pool's breaker now.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show which pools are left alone because their provider fails, and until when.

    A breaker closes by itself: after its time one call goes through as a probe. The breaker of
    quality opens when answers are rejected; then routes choose other models until its time is over.
    """
    if reset is not None:
        from lmx.api.cli.session import session
        from lmx.workflows.pools import close_breaker

        with session() as opened, opened.database.connect() as conn:
            close_breaker(conn, reset)
        note(f"the breaker of {reset} is closed")
        return
    found = _pools(None)
    if as_json:
        keys = ("name", "breaker", "breaker_kind", "next_in_s", "waits_for", "ready", "quality")
        write_json([{key: getattr(view, key) for key in keys} for view in found])
        return
    rows = [
        [
            view.name,
            view.breaker,
            view.breaker_kind or "",
            _seconds(view.breaker_in_s),
            view.quality,
            _seconds(view.quality_in_s),
        ]
        for view in found
    ]
    columns = ["pool", "breaker", "because of", "next probe", "quality", "chosen again in"]
    print_table(columns, rows)
    if not found:
        note(_NONE)


def _pools(name: str | None) -> "list[PoolView]":
    from lmx.api.cli.session import session
    from lmx.workflows.pools import list_pools

    with session() as opened, opened.database.connect() as conn:
        return [view for view in list_pools(conn) if name is None or name in view.name]


def _rows(view: "PoolView") -> Iterable[list[str]]:
    """A line for each limit; what holds for the whole pool stands in its first."""
    tail = [
        str(view.ready),
        str(view.running),
        _seconds(view.next_in_s),
        view.waits_for or "",
    ]
    for place, limit in enumerate(view.limits or (None,)):
        head = _usage(limit) if limit else ["none", "", "", ""]
        yield [view.name if place == 0 else "", *head, *(tail if place == 0 else [""] * len(tail))]


def _usage(limit: "LimitView") -> list[str]:
    from lmx.workflows.money import format_usd

    def shown(amount: float) -> str:
        return format_usd(round(amount)) if limit.of == "usd" else f"{amount:,.0f}"

    left = max(0.0, limit.limit - limit.used)
    return [limit.name, shown(limit.used), shown(limit.limit), shown(left)]


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f} s"

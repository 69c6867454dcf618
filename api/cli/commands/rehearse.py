"""`lmx rehearse`: a night's work in a minute, against providers that are played locally."""

from typing import TYPE_CHECKING, Annotated

import typer

from lmx.api.cli.examples import examples
from lmx.api.cli.output import note, print_table, write, write_json

if TYPE_CHECKING:
    from lmx.api.rehearsal.report import PoolReport
    from lmx.api.rehearsal.scenario import Scenario


_SPEED = 60.0


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(
        epilog=examples(
            "lmx rehearse",
            "lmx rehearse --profile mine.toml --speed 300",
            "lmx rehearse --throttle gemini/default/flash",
            "lmx rehearse --serve",
            "lmx rehearse --real --budget 2.50",
        )
    )(rehearse)


def rehearse(
    profile: Annotated[
        str, typer.Option(help="A shipped profile, or the path of a .toml file.")
    ] = "sprint",
    speed: Annotated[
        float | None,
        typer.Option(
            help="How much faster than real time the clock runs (default: 60; with --serve: 1).",
            min=1,
            max=600,
        ),
    ] = None,
    processes: Annotated[
        int, typer.Option(help="Worker processes of each provider.", min=1, max=16)
    ] = 1,
    throttle: Annotated[
        str | None,
        typer.Option(
            metavar="POOL",
            help="Rehearse a second time with a tenth of this pool's limits; compare the others.",
        ),
    ] = None,
    serve: Annotated[
        bool,
        typer.Option("--serve", help="Only play the providers, for commands of your own."),
    ] = False,
    port: Annotated[int, typer.Option(help="For --serve: the port.", min=0, max=65_535)] = 0,
    real: Annotated[
        bool, typer.Option("--real", help="Call the real services, through your running `lmx up`.")
    ] = False,
    budget: Annotated[
        str | None, typer.Option(help="For --real: the most that it may cost, in dollars.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="For --real: do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run agents against local providers that enforce the published limits; nothing is spent.

    The real workers and SDKs are used, with a database of their own in the folder `rehearsal` of
    LMX_HOME. Shows how fast calls went, how long they waited, how much of each limit was used, how
    often a limit was hit, and the cost. Exits with 1 if a limit was hit.
    """
    from lmx.api.rehearsal.scenario import load_scenario

    _refuse_contradictions(throttle=throttle, serve=serve, real=real, budget=budget)
    if serve:
        _serve(speed or 1.0, port)
        return
    scenario = load_scenario(profile)
    if real:
        reports = _real(scenario, str(budget), yes=yes)
        _show(reports, as_json=as_json)
    else:
        reports = _played(scenario, speed or _SPEED, processes, throttle, as_json=as_json)
    if any(report.refused for report in reports):
        raise typer.Exit(1)


def _refuse_contradictions(
    *, throttle: str | None, serve: bool, real: bool, budget: str | None
) -> None:
    from lmx.workflows.errors import InvalidInput

    if sum((throttle is not None, serve, real)) > 1:
        raise InvalidInput("--throttle, --serve and --real exclude each other")
    if real and budget is None:
        raise InvalidInput("--real spends money", hint="say how much it may: --budget 2.50")
    if budget is not None and not real:
        raise InvalidInput("--budget is for --real: nothing else spends anything")


def _played(
    scenario: "Scenario", speed: float, processes: int, throttle: str | None, *, as_json: bool
) -> "list[PoolReport]":
    from lmx.api.rehearsal.played import rehearse as run
    from lmx.api.rehearsal.scenario import served
    from lmx.workflows.config import load_settings

    served(scenario, throttle)  # an unknown pool is refused before anything runs
    note(f"{scenario.title}; {scenario.minutes:g} minutes at {speed:g} times real time")
    reports = run(load_settings(), scenario, speed, processes, note)
    if throttle is None:
        _show(reports, as_json=as_json)
        return reports
    note(f"again, with a tenth of the limits of {throttle}, which only the provider knows")
    again = run(load_settings(), scenario, speed, processes, note, throttle)
    _show_both(reports, again, throttle, as_json=as_json)
    return [*reports, *(report for report in again if report.pool != throttle)]


def _real(scenario: "Scenario", budget: str, *, yes: bool) -> "list[PoolReport]":
    from lmx.api.cli.session import session
    from lmx.api.rehearsal import real
    from lmx.workflows.money import format_usd, parse_usd

    ceiling = parse_usd(budget)
    if left_out := real.left_out(scenario):
        note(f"{len(left_out)} agents of local models are left out")
    with session() as opened:
        worst = real.price(opened.connection, scenario)
        real.refuse_unaffordable(worst, ceiling)
        calls = sum(agents.total for agents in scenario.cloud)
        if not yes:
            question = f"Make up to {calls} real calls, for {format_usd(worst)} at the most?"
            typer.confirm(question, abort=True, err=True)
        return real.run(opened.database, scenario, note)


def _serve(speed: float, port: int) -> None:
    import json
    import signal
    import tempfile
    import threading
    from pathlib import Path

    from lmx.api.rehearsal.scenario import KEY, served_all
    from lmx.api.rehearsal.stage import serving
    from lmx.workflows.config import load_settings
    from lmx.workflows.providers.catalog import load_catalog

    told_to_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told_to_stop.set())
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder) / "profile.json"
        profile.write_text(json.dumps(served_all(load_catalog(load_settings().home))))
        with serving(profile, speed, port) as server:
            for name in ("ANTHROPIC_BASE_URL", "GOOGLE_GEMINI_BASE_URL"):
                write(f"export {name}={server['url']}")
            for name in ("ANTHROPIC_API_KEY", "GEMINI_API_KEY"):
                write(f"export {name}={KEY}")
            note("playing the providers until Ctrl-C; set these where you run `lmx up`")
            told_to_stop.wait()


_COLUMNS = [
    "pool",
    "calls",
    "a minute",
    "all done in",
    "waited p50",
    "p95",
    "tokens in",
    "out",
    "cost",
    "limit",
    "used",
    "429s",
]


def _show(reports: "list[PoolReport]", *, as_json: bool) -> None:
    if as_json:
        write_json(reports)
    else:
        print_table(_COLUMNS, [_row(report) for report in reports])


def _show_both(
    before: "list[PoolReport]", after: "list[PoolReport]", throttled: str, *, as_json: bool
) -> None:
    from lmx.api.rehearsal.report import changes

    changed = changes(before, after)
    if as_json:
        write_json({"before": before, "throttled": throttled, "after": after, "changes": changed})
        return
    print_table(_COLUMNS, [_row(report) for report in (*before, *after)])
    rows = [
        [pool, f"{old:.2f}", f"{new:.2f}", f"{change:+.1%}", "throttled" * (pool == throttled)]
        for pool, (old, new, change) in changed.items()
    ]
    print_table(["pool", "calls a minute", "throttled run", "change", ""], rows)


def _row(report: "PoolReport") -> list[str]:
    from lmx.workflows.money import format_usd

    return [
        report.pool,
        f"{report.calls} of {report.planned}",
        f"{report.per_minute:.1f}",
        f"{report.done_in_min:.1f} min",
        f"{report.wait_p50_s:.0f} s",
        f"{report.wait_p95_s:.0f} s",
        f"{report.input_tokens:,}",
        f"{report.output_tokens:,}",
        format_usd(report.nano_usd),
        report.limit or "",
        "" if report.share is None else f"{report.share:.1%}",
        str(report.refused),
    ]

"""`lmx route`: the rules that choose models, what they choose and why, what others would choose."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lmx.api.cli.examples import examples
from lmx.api.cli.options import AsJson, Labels, Priority, Private, span
from lmx.api.cli.output import clock, note, print_table, write, write_json

route = typer.Typer(
    no_args_is_help=True,
    help="Routes: rules that choose a model for a call.",
    epilog=examples(
        "lmx route list",
        "lmx route explain --route research 'Compare these papers'",
        "lmx route explain 17",
        "lmx route check new.toml",
        "lmx route dry-run --since 7d --rules new.toml",
    ),
)


def add_to(app: typer.Typer) -> None:
    """Register the group."""
    app.add_typer(route, name="route")


@route.command("list", epilog=examples("lmx route list", "lmx route list --json | jq '.rules'"))
def list_(as_json: AsJson = False) -> None:
    """List the rules in their order: the first that matches a call chooses its model."""
    from lmx.workflows.config import load_settings
    from lmx.workflows.routing.rules import describe, load_rules

    rules = load_rules(load_settings().home)
    rows = describe(rules.rules)
    if as_json:
        write_json({"version": rules.version, "routes": rules.routes, "rules": rows})
        return
    columns = ("route", "rule", "when", "models", "order", "waits at most", "from")
    print_table(columns, [_line(row) for row in rows])


@route.command(epilog=examples("lmx route check new.toml"))
def check(
    file: Annotated[Path, typer.Argument(help="A file of rules, as LMX_HOME/routes.toml.")],
    as_json: AsJson = False,
) -> None:
    """Read a file of rules and tell what is wrong with it. Exit code 5: it cannot be used."""
    from lmx.workflows.routing.rules import check_rules

    rules = check_rules(file)
    own = sum(rule.source.startswith(f"{file}:") for rule in rules.rules)
    if as_json:
        write_json({"version": rules.version, "rules": own, "routes": rules.routes})
        return
    write(f"{own} rules, and {len(rules.rules) - own} shipped ones after them: {rules.version}")
    write(f"routes: {', '.join(rules.routes)}")


@route.command(
    epilog=examples(
        "lmx route explain --route research 'Compare these papers'",
        "cat notes.md | lmx route explain --route bulk --label team=search -",
        "lmx route explain 17",
    )
)
def explain(
    prompt: Annotated[
        list[str] | None,
        typer.Argument(help="A prompt, - for standard input, or a task's id: what was decided."),
    ] = None,
    name: Annotated[str, typer.Option("--route", "-r", help="Which route.")] = "default",
    labels: Labels = None,
    private: Private = False,
    max_tokens: Annotated[int | None, typer.Option(help="At most so long an answer.")] = None,
    tools: Annotated[
        str | None, typer.Option("--tools", help="Functions it may call: JSON, or @FILE.")
    ] = None,
    json_schema: Annotated[
        str | None, typer.Option("--json-schema", help="Answer in JSON: the schema, or @FILE.")
    ] = None,
    budget: Annotated[
        list[str] | None, typer.Option(help="What it may cost, in dollars: 0.05.")
    ] = None,
    priority: Priority = 0,
    as_json: AsJson = False,
) -> None:
    """Show every model that a route could choose, why it is in or out, and the chosen one.

    Nothing is queued. For a task's id: what was decided for it then, and when it was moved.
    """
    from lmx.api.cli.decisions import parse_labels, print_decision, print_recorded
    from lmx.api.cli.session import session
    from lmx.api.cli.textinput import parse_budget, parse_json, read_file, read_prompt
    from lmx.workflows.routing import planning, records

    words = prompt or []
    if len(words) == 1 and words[0].isascii() and words[0].isdigit() and len(words[0]) < 19:
        with session() as opened:
            found = records.decisions_of(opened.connection, int(words[0]))
        print_recorded(found, as_json=as_json)
        return
    text = read_file(Path("-")) if words == ["-"] else read_prompt(words, [])
    sampling: dict[str, Any] = {
        "tools": None if tools is None else parse_json(tools, "--tools"),
        "json_schema": None if json_schema is None else parse_json(json_schema, "--json-schema"),
    }
    asked = planning.Asked(
        route=name,
        labels=parse_labels(labels or []),
        private=private,
        messages=[{"role": "user", "content": text}],
        max_tokens=max_tokens,
        sampling={key: value for key, value in sampling.items() if value is not None},
        priority=priority,
        budget=parse_budget(budget or []) or {},
    )
    with session() as opened:
        decision = planning.explain(opened.connection, asked, opened.settings.home)
    print_decision(decision, as_json=as_json)


@route.command("dry-run", epilog=examples("lmx route dry-run --since 7d --rules new.toml"))
def dry_run(
    rules: Annotated[Path, typer.Option("--rules", help="The rules to try.")],
    since: Annotated[str, typer.Option(help="Calls not older than this: 12h, 7d.")] = "7d",
    as_json: AsJson = False,
) -> None:
    """Replay the calls that routes have placed over other rules: what would change, and its cost.

    The models are those of now, the waits those of then. Nothing is queued or changed.
    """
    from lmx.api.cli.session import session
    from lmx.workflows.routing.replay import missing_before, replay
    from lmx.workflows.routing.rules import check_rules

    tried, since_s = check_rules(rules), span(since, "--since")
    with session() as opened:
        found = list(replay(opened.connection, tried, since_s))
        missing = missing_before(opened.connection, since_s)
    changed = [one for one in found if one.changed]
    differences = [one.difference for one in changed if one.difference is not None]
    if as_json:
        rows = [{**_fields(one), "difference": one.difference} for one in changed]
        total = {"calls": len(found), "changed": len(changed), "difference": sum(differences)}
        version = {"version": tried.version, "pruned_before": missing}
        write_json({**total, **version, "changes": rows})
        return
    columns = ("task", "route", "was", "would be", "by the rule", "difference")
    print_table(columns, [_change(one) for one in changed])
    text = f"{len(changed)} of {len(found)} calls would go elsewhere"
    if differences:
        text += f"; {len(differences)} of them are known to differ by {_signed(sum(differences))}"
    note(text)
    if missing is not None:
        note(
            f"--since {since} asks for more than is kept: of runs that ended before"
            f" {clock(missing)} the decisions were pruned, and those calls are not counted"
        )


def _fields(one: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(one)


def _change(one: Any) -> list[str]:
    difference = "" if one.difference is None else _signed(one.difference)
    would = one.now_model or f"nothing: {one.problem}"
    return [str(one.task_id), one.route, one.then_model, would, one.now_rule or "", difference]


def _signed(nano: int) -> str:
    from lmx.workflows.money import format_usd

    return f"+{format_usd(nano)}" if nano > 0 else format_usd(nano)


def _line(row: dict[str, Any]) -> list[str]:
    from lmx.api.cli.output import duration

    wait = row["max_wait_s"]
    return [
        ", ".join(row["routes"]) or "all",
        row["rule"],
        row["when"] or "",
        ", ".join(row["models"]),
        row["order"],
        "" if wait is None else duration(wait),
        row["source"],
    ]

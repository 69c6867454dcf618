"""`lmx models`: the local models that agents may call."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lmx.api.cli.examples import examples
from lmx.api.cli.options import AsJson
from lmx.api.cli.output import clock, note, print_table, write, write_json

if TYPE_CHECKING:
    import psycopg

    from lmx.workflows.models import Model, Need
    from lmx.workflows.providers.catalog import CloudModel

models = typer.Typer(
    no_args_is_help=True,
    help="The local models (GGUF files) that agents may call.",
    epilog=examples(
        "lmx models add qwen3-4b-q4_k_m.gguf --name qwen --n-ctx 8192",
        "lmx models add qwen3-4b-q4_k_m.gguf --name long --n-ctx 32768 --kv-type q8_0",
        "lmx models show qwen --n-ctx 32768",
    ),
)


def add_to(app: typer.Typer) -> None:
    """Register the group."""
    app.add_typer(models, name="models", rich_help_panel="Models and machine")


@models.command()
def add(
    path: Annotated[Path, typer.Argument(help="A GGUF file. It stays where it is.")],
    name: Annotated[
        str | None, typer.Option(help="What to call it; the file's name by default.")
    ] = None,
    n_ctx: Annotated[
        int | None,
        typer.Option("--n-ctx", help="Context length of calls that name none, in tokens."),
    ] = None,
    kv_type: Annotated[
        str,
        typer.Option(
            "--kv-type",
            help="What its KV cache is kept as: q8_0 takes about half of f16, q4_0 a quarter.",
        ),
    ] = "f16",
    price_in: Annotated[
        str, typer.Option(help="Dollars per million prompt tokens, counted against budgets.")
    ] = "0",
    price_out: Annotated[str, typer.Option(help="The same for generated tokens.")] = "0",
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of another file of this name.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check a model file and register it, with its exact need of memory. Loads nothing."""
    from lmx.api.cli.session import session
    from lmx.api.registration import register
    from lmx.workflows.money import parse_usd

    prices = parse_usd(price_in), parse_usd(price_out)
    with session() as opened:
        model = register(
            opened.connection,
            path,
            name=name,
            n_ctx=n_ctx,
            kv_type=kv_type,
            prices=prices,
            replace=replace,
            device=opened.settings.device,
        )
        if as_json:
            write_json(_plain(model))
        else:
            _describe(model, model.n_ctx)
        _warn_if_oversized(opened.connection, model, model.n_ctx, opened.settings.vram_cap)


@models.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the models that can be called: registered files, and those of cloud providers."""
    from lmx.api.cli.session import session
    from lmx.workflows.models import list_models
    from lmx.workflows.providers.publishing import list_cloud_models

    with session() as opened:
        found = list_models(opened.connection)
        cloud = list_cloud_models(opened.connection)
    if as_json:
        write_json([*(_plain(model) for model in found), *(_remote(model) for model in cloud)])
        return
    if not found and not cloud:
        note(
            "no model is registered; add one: lmx models add FILE.gguf, or set a provider's key"
            " (ANTHROPIC_API_KEY, GEMINI_API_KEY) and run `lmx up`"
        )
        return
    columns = ("name", "format", "parameters", "file", "context", "needs", "$ in/out per M", "has")
    remote = [
        (one.id, one.provider, "", "cloud", f"{one.context:,}", "", "", ", ".join(_has(one)))
        for one in cloud
    ]
    print_table(columns, [*(_row(model) for model in found), *remote])


@models.command()
def show(
    name: Annotated[str, typer.Argument(help="The model's name.")],
    n_ctx: Annotated[
        int | None, typer.Option("--n-ctx", help="Tell the need for this context length.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a model, and the exact memory that a context of it needs."""
    from dataclasses import replace

    from lmx.api.cli.session import session
    from lmx.api.registration import measure
    from lmx.workflows.models import get_model

    with session() as opened:
        model = get_model(opened.connection, name)
        length = n_ctx or model.n_ctx
        if length not in model.needs:
            need = measure(opened.connection, model, length, opened.settings.device)
            model = replace(model, needs={**model.needs, length: need})
        if as_json:
            write_json(_plain(model))
        else:
            _describe(model, length)
        _warn_if_oversized(opened.connection, model, length, opened.settings.vram_cap)


@models.command()
def remove(name: Annotated[str, typer.Argument(help="The model's name.")]) -> None:
    """Forget a model. Its file stays."""
    from lmx.api.cli.session import session
    from lmx.workflows.models import remove_model

    with session() as opened:
        remove_model(opened.connection, name)
    write(f"removed {name}; its file is untouched")


def _describe(model: "Model", n_ctx: int) -> None:
    from lmx.workflows.money import format_usd
    from lmx.workflows.units import format_bytes

    info = model.info
    write(f"name        {model.name}")
    write(f"file        {model.path} ({format_bytes(model.size_bytes)})")
    write(f"sha256      {model.sha256}")
    kind = f"{info.get('name') or '-'}, {info.get('arch')}, {info.get('quantization')}"
    size = f"{_millions(info.get('n_params'))} parameters"
    write(f"model       {kind}, {size}, trained for {info.get('n_ctx_train')} tokens")
    write(f"chat        {_chat(info)}")
    cache = "" if model.kv_type == "f16" else f", keys and values kept as {model.kv_type}"
    write(f"context     {model.n_ctx} tokens by default{cache}")
    write(
        f"price       {format_usd(model.price_in)} in, {format_usd(model.price_out)} out,"
        " per million tokens"
    )
    if need := model.needs.get(n_ctx):
        write(f"needs       {_need(need)} for a context of {n_ctx} tokens")
    if model.added_at:
        write(f"added       {clock(model.added_at)}")


def _need(need: "Need") -> str:
    from lmx.workflows.units import format_bytes

    return (
        f"{need.total} bytes = {format_bytes(need.total)} (weights {format_bytes(need.weights)},"
        f" KV cache {format_bytes(need.kv)}, compute {format_bytes(need.compute)})"
    )


def _row(model: "Model") -> tuple[str, ...]:
    from lmx.workflows.money import format_usd
    from lmx.workflows.units import format_bytes

    need = model.need(model.n_ctx)
    return (
        model.name,
        str(model.info.get("quantization") or "-"),
        _millions(model.info.get("n_params")),
        format_bytes(model.size_bytes),
        str(model.n_ctx),
        format_bytes(need) if need else "-",
        f"{format_usd(model.price_in)}/{format_usd(model.price_out)}",
        ", ".join(name for name in ("tools", "reasoning") if model.info.get(name)),
    )


def _has(model: "CloudModel") -> list[str]:
    return sorted(model.features)


def _millions(count: object) -> str:
    if not isinstance(count, int):
        return "-"
    return f"{count / 1e9:.1f} B" if count >= 1e9 else f"{count / 1e6:.0f} M"


def _plain(model: "Model") -> dict[str, object]:
    from dataclasses import asdict

    needs = {
        str(length): {**asdict(need), "total": need.total} for length, need in model.needs.items()
    }
    return {**asdict(model), "needs": needs}


def _remote(model: "CloudModel") -> dict[str, object]:
    return {
        "name": model.id,
        "provider": model.provider,
        "context": model.context,
        "max_output": model.max_output,
        "features": _has(model),
    }


def _warn_if_oversized(
    connection: "psycopg.Connection[object]", model: "Model", n_ctx: int, cap: int | None
) -> None:
    from lmx.workflows.errors import NeverFitsError
    from lmx.workflows.models import refuse_oversized

    try:
        refuse_oversized(connection, model, n_ctx, cap)
    except NeverFitsError as error:
        note(f"calls of {model.name} with {n_ctx} tokens will be refused: {error}")


def _chat(info: Mapping[str, Any]) -> str:
    if not info.get("chat_template"):
        return "no chat template"
    can = [name for name in ("tools", "reasoning") if info.get(name)]
    return "has a chat template" + (f", for {' and '.join(can)} too" if can else "")

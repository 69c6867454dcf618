"""`lmx doctor`: what is amiss, and what to do about it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lmx.api.cli.examples import examples
from lmx.api.cli.options import AsJson
from lmx.api.cli.output import print_rich, write_json
from lmx.workflows.config import DETERMINISM_FILE

_MARKS = {"ok": "[green]ok  [/]", "warn": "[yellow]warn[/]", "fail": "[red]FAIL[/]"}


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(
        "doctor",
        rich_help_panel="Models and machine",
        epilog=examples(
            "lmx doctor --quick --json",
            "lmx doctor --determinism qwen",
            "lmx doctor --determinism qwen3-4b-q4_k_m.gguf",
        ),
    )(doctor)


def doctor(
    quick: Annotated[bool, typer.Option("--quick", help="Do not hash the model files.")] = False,
    as_json: AsJson = False,
    determinism: Annotated[
        str | None,
        typer.Option(
            "--determinism",
            metavar="MODEL",
            help="Measure whether batching changes the bits of this model or file instead.",
        ),
    ] = None,
) -> None:
    """Check compiler, engine, memory, disk, database, models, port and processes.

    Exit code 0 when nothing fails, 5 otherwise. Starts and changes nothing. With --determinism it
    loads that model on the configured device and remembers what it found: deterministic requests
    are decoded together only where that was proven to leave their bits as they are. Exit code 5
    when even the same decode twice gives other bits.
    """
    if determinism is not None:
        _determinism(determinism, as_json)
        return
    from lmx.api.doctor import Check, examine
    from lmx.workflows.config import load_settings

    settings = load_settings()
    findings: list[Check] = []
    for check in examine(settings, quick=quick):
        findings.append(check)
        if not as_json:
            _print(check.subject, check.state, check.text, check.advice)
    if as_json:
        write_json(findings)
    if any(check.state == "fail" for check in findings):
        raise typer.Exit(5)


def _determinism(model: str, as_json: bool) -> None:
    from lmx.api.inspection import measure_determinism
    from lmx.workflows.config import load_settings

    settings = load_settings()
    path, kv_type = _file_of(model)
    proofs = settings.home / DETERMINISM_FILE
    found = measure_determinism(path, settings.device, proofs, kv_type=kv_type)
    if as_json:
        write_json(found)
    else:
        _print_determinism(model, found)
    if found["batch"] < 1:
        raise typer.Exit(5)


def _file_of(model: str) -> tuple[Path, str]:
    """A model file and the type of its KV cache: at this path, or of a registered model."""
    path = Path(model)
    if path.suffix == ".gguf" or len(path.parts) > 1 or path.is_file():
        return path, "f16"
    from lmx.api.cli.session import session
    from lmx.workflows.models import get_model

    with session() as opened:
        row = get_model(opened.connection, model)
    return Path(row.path), row.kv_type


def _print_determinism(model: str, found: dict[str, Any]) -> None:
    same = found["same_in_batch"]
    print_rich(
        f"{model} on {found['device']}, {found['threads']} threads, llama-cpp-python "
        f"{found['llama_cpp']}, {found['kv_type']} cache: {found['tokens_compared']} rows of"
        " logits compared bit by bit"
    )
    for n in (1, 2, 4, 8, 16):
        what = "the same again" if n == 1 else f"{n} sequences in a decode"
        _print_answer("batch", what, same[str(n)])
    _print_answer("chunks", "a prompt in two decodes", found["same_in_chunks"])
    together = found["batch"]
    if together > 1:
        print_rich(f"Deterministic requests are decoded together, up to {together} at a time.")
    elif together == 1:
        print_rich("Deterministic requests are decoded one at a time.")
    else:
        print_rich("Not even a repetition gives the same bits: there is no determinism here.")


def _print_answer(subject: str, what: str, same: bool) -> None:
    outcome = "the same bits" if same else "other bits"
    _print(subject, "ok" if same else "warn", f"{what}: {outcome}", None)


def _print(subject: str, state: str, text: str, advice: str | None) -> None:
    from rich.markup import escape

    print_rich(f"{_MARKS[state]}  {subject:<10}  {escape(text)}")
    if advice:
        print_rich(f"{'':18}[dim]{escape(advice)}[/]")

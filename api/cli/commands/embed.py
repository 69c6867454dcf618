"""`lmx embed`: lines of text to vectors."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lmx.api.cli.examples import examples
from lmx.api.cli.options import seconds

if TYPE_CHECKING:
    from lmx.api.cli.session import Session

PANEL = "Work"
_BATCH = 64  # texts of one task


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(
        "embed",
        rich_help_panel=PANEL,
        epilog=examples(
            "lmx embed 'the sky is blue' --model minilm",
            "lmx embed --model minilm <lines.txt >vectors.jsonl",
        ),
    )(embed)


def embed(
    texts: Annotated[
        list[str] | None,
        typer.Argument(help="The texts; without any, each line of the standard input is one."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Which model; not needed if there is only one."),
    ] = None,
    pooling: Annotated[
        str | None, typer.Option(help="mean, cls or last; the model's own by default.")
    ] = None,
    normalize: Annotated[
        bool, typer.Option("--normalize/--no-normalize", help="Vectors of length 1.")
    ] = True,
    truncate: Annotated[
        bool, typer.Option("--truncate", help="Cut texts that are too long instead of failing.")
    ] = False,
    n_ctx: Annotated[
        int | None, typer.Option("--n-ctx", help="Tokens that a text may have: 512 by default.")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(callback=seconds, help="Wait at most so many seconds for each 64 texts."),
    ] = None,
) -> None:
    """Turn texts into vectors: one line of JSON for each, {"text": ..., "embedding": [...]}.

    Exit code: 0 done, 1 failed, 2 bad input, 3 refused, 4 timed out.
    """
    from lmx.api.cli.session import session
    from lmx.workflows.models import choose_model

    options: dict[str, Any] = {
        "pooling": pooling,
        "normalize": normalize,
        "truncate": truncate,
        "n_ctx": n_ctx,
    }
    with session() as opened:
        name = choose_model(opened.connection, model).name
        queued: list[tuple[int, list[str]]] = [
            (opened.client.embed(model=name, texts=batch, **options), batch)
            for batch in _batches(texts)
        ]
        for task_id, batch in queued:
            _print(opened, task_id, batch, timeout)


def _print(opened: "Session", task_id: int, batch: list[str], timeout: float | None) -> None:
    from lmx.api.cli.output import write_json
    from lmx.api.cli.waiting import failure_of_task, watch

    view = watch(opened, task_id, timeout)
    if view.state != "succeeded":
        raise failure_of_task(view)
    output: Any = view.output
    for text, vector in zip(batch, output["embeddings"], strict=True):
        write_json({"text": text, "embedding": vector}, line=True)


def _batches(texts: list[str] | None) -> Iterator[list[str]]:
    from lmx.workflows.errors import InvalidInput

    given = texts or [line.rstrip("\n") for line in sys.stdin]
    kept = [text for text in given if text.strip()]
    if not kept:
        raise InvalidInput("there is no text to embed", hint="give texts, or lines on stdin")
    for start in range(0, len(kept), _BATCH):
        yield kept[start : start + _BATCH]

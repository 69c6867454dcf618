"""llama.cpp's chatter goes to Python's logging, and nowhere else."""

import logging
from pathlib import Path

import pytest

from tests.engine.conftest import N_CTX, MakeEngine


def test_nothing_is_printed_and_everything_is_logged(
    model: Path,
    make_engine: MakeEngine,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "lmx.engine")
    engine = make_engine()
    engine.submit(model=model, prompt="Hello", max_tokens=2, n_ctx=N_CTX).result()
    assert capfd.readouterr() == ("", "")
    assert "compute buffer size" in caplog.text
    assert "load: " in caplog.text
    assert "context: " in caplog.text

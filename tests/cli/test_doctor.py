"""`lmx doctor`: what is amiss is found, and said with what to do."""

import socket
from pathlib import Path
from typing import Any

import pytest

from lmx.workflows.models import Model, add_model
from tests.support.command import Lmx
from tests.support.hands import Hands
from tests.support.tiny import tiny_model


def findings(lmx: Lmx) -> dict[str, dict[str, Any]]:
    """What the doctor says, by subject."""
    return {check["subject"]: check for check in lmx("doctor", "--json").json}


@pytest.fixture
def healthy(lmx: Lmx, monkeypatch: pytest.MonkeyPatch, free_port: int) -> Lmx:
    """A command on a machine whose API port is free."""
    monkeypatch.setenv("LMX_API_PORT", str(free_port))
    return lmx


def test_a_healthy_machine_passes(healthy: Lmx) -> None:
    result = healthy("doctor", "--json")
    assert result.code == 0
    states = {check["subject"]: check["state"] for check in result.json}
    for subject in ("python", "engine", "disk", "database", "schema", "port"):
        assert states[subject] == "ok", subject


def test_every_finding_that_is_not_ok_says_what_to_do(healthy: Lmx) -> None:
    for check in healthy("doctor", "--json").json:
        assert (check["advice"] is None) == (check["state"] == "ok")


def test_it_starts_nothing(healthy: Lmx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LMX_DATABASE_URL")
    check = findings(healthy)["database"]
    assert (check["state"], "is stopped" in check["text"]) == ("ok", True)
    assert not (Path(healthy.environment["LMX_HOME"]) / "postgres").exists()


def test_a_database_that_is_down_fails(
    healthy: Lmx, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    monkeypatch.setenv("LMX_DATABASE_URL", f"postgresql://u:secret@127.0.0.1:{free_port}/x")
    result = healthy("doctor")
    assert result.code == 5
    assert "nothing listens there" in result.out
    assert "secret" not in result.out


def test_the_providers_files_and_keys_are_looked_at(
    healthy: Lmx, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ANTHROPIC_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert findings(healthy)["providers"]["state"] == "warn"
    monkeypatch.setenv("GEMINI_API_KEY", "sk-marked")
    found = healthy("doctor", "--json")
    assert "there are keys for gemini/default" in found.out
    assert "sk-marked" not in found.out
    home = Path(healthy.environment["LMX_HOME"])
    home.mkdir(exist_ok=True)
    (home / "providers.toml").write_text("[[acount]]")
    check = findings(healthy)["providers"]
    assert (check["state"], "unknown key 'acount'" in check["text"]) == ("fail", True)


def test_a_taken_port_fails(healthy: Lmx, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("LMX_API_PORT", str(taken.getsockname()[1]))
        check = findings(healthy)["port"]
    assert check["state"] == "fail"
    assert "LMX_API_PORT" in check["advice"]


def test_a_schema_that_is_behind_fails_with_the_command(healthy: Lmx) -> None:
    healthy("db", "downgrade", "base", "--yes")
    check = findings(healthy)["schema"]
    assert (check["state"], check["advice"]) == ("fail", "run: lmx db upgrade")


def test_a_model_file_that_was_changed_or_lost_is_found(
    healthy: Lmx, hands: Hands, tmp_path: Path
) -> None:
    for name, content in (("changed", b"abcd"), ("lost", None)):
        path = tmp_path / f"{name}.gguf"
        if content is not None:
            path.write_bytes(content)
        add_model(hands.conn, Model(name, str(path), "0" * 64, 4, 512))
    found = findings(healthy)
    assert "its hash differs" in found["model changed"]["text"]
    assert "No such file" in found["model lost"]["text"]
    assert "lmx models add --replace --name lost" in found["model lost"]["advice"]


@pytest.mark.parametrize(
    ("name", "value"), [("LMX_DEVICE", "cuda:99"), ("LMX_VRAM_CAP", "9000TiB")]
)
def test_a_device_that_cannot_be_used_so_fails(
    healthy: Lmx, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert findings(healthy)["engine"]["state"] == "fail"


def test_determinism_is_measured_of_a_registered_model_or_a_file(lmx: Lmx, tmp_path: Path) -> None:
    file = tiny_model(tmp_path, "llama")
    lmx("models", "add", file, "--name", "toy", "--kv-type", "q8_0")
    of_name, of_file = (lmx("doctor", "--determinism", it, "--json").json for it in ("toy", file))
    assert of_name["same_in_batch"]["1"]
    assert of_name["sha256"] == of_file["sha256"]
    assert [of_name["kv_type"], of_file["kv_type"]] == ["q8_0", "f16"]


def test_determinism_of_a_model_that_nobody_knows_is_refused(lmx: Lmx, tmp_path: Path) -> None:
    assert "no model is called 'toy'" in lmx("doctor", "--determinism", "toy").err
    missing = lmx("doctor", "--determinism", tmp_path / "toy.gguf")
    assert missing.code != 0
    assert "No such file" in missing.err

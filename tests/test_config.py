"""Settings come from the environment, then the file, then the defaults."""

from pathlib import Path

import pytest

from lmx.workflows.config import Settings, load_settings, to_environment
from lmx.workflows.errors import ConfigError


def test_without_any_setting_the_defaults_hold(tmp_path: Path) -> None:
    assert load_settings({"LMX_HOME": str(tmp_path)}) == Settings(home=tmp_path)
    assert load_settings({}).home.is_absolute()


def test_the_environment_is_read(tmp_path: Path) -> None:
    settings = load_settings(
        {
            "LMX_HOME": str(tmp_path),
            "LMX_DATABASE_URL": "postgresql://db/lmx",
            "LMX_API_PORT": "8080",
            "LMX_VRAM_CAP": "400MiB",
            "LMX_KV_RAM": "2GiB",
            "LMX_KV_DISK": "0",
            "LMX_STREAMING": "off",
            "LMX_WORKFLOWS": "review, flows/book.py ,",
            "LMX_WORKER_SLOTS": "4",
            "LMX_KEEP_RECORDS": "90d",
        }
    )
    assert settings.database_url == "postgresql://db/lmx"
    assert settings.api_port == 8080
    assert settings.vram_cap == 400 << 20
    assert (settings.kv_ram, settings.kv_disk) == (2 << 30, 0)
    assert settings.streaming == "off"
    assert settings.workflow_modules == ("review", "flows/book.py")
    assert settings.worker_slots == 4
    assert (settings.keep_records, settings.keep_runs) == (90 * 86_400, None)


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        'api_port = 9000\nvram_cap = "1GiB"\nworkflow_modules = ["a", "b.py"]\nlease_s = 20\n'
    )
    settings = load_settings({"LMX_HOME": str(tmp_path), "LMX_API_PORT": "8080"})
    assert settings.api_port == 8080
    assert settings.vram_cap == 1 << 30
    assert settings.workflow_modules == ("a", "b.py")
    assert settings.lease_s == 20


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    assert load_settings({"LMX_HOME": str(tmp_path), "LMX_API_PORT": ""}).api_port == 7788


def test_a_shorter_lease_brings_its_heartbeat_with_it(tmp_path: Path) -> None:
    settings = load_settings({"LMX_HOME": str(tmp_path), "LMX_LEASE_S": "2"})
    assert settings.heartbeat_s * 2 <= settings.lease_s


@pytest.mark.parametrize(
    ("variable", "value", "accepted"),
    [
        ("LMX_API_PORT", "http", "whole number from 1 to 65535"),
        ("LMX_API_PORT", "70000", "whole number from 1 to 65535"),
        ("LMX_VRAM_CAP", "lots", "such as 400MiB"),
        ("LMX_VRAM_CAP", "0", "more than 0 bytes"),
        ("LMX_KV_RAM", "much", "such as 400MiB"),
        ("LMX_STREAMING", "maybe", "one of auto, off, always"),
        ("LMX_LEASE_S", "-3", "above 0"),
        ("LMX_LEASE_S", "nan", "above 0"),
        ("LMX_WORKER_SLOTS", "0", "whole number from 1 to 1024"),
        ("LMX_HEARTBEAT_S", "9", "two heartbeats"),
    ],
)
def test_a_bad_value_is_one_line_with_the_variable_the_value_and_what_is_accepted(
    tmp_path: Path, variable: str, value: str, accepted: str
) -> None:
    with pytest.raises(ConfigError) as refusal:
        load_settings({"LMX_HOME": str(tmp_path), variable: value})
    line = str(refusal.value)
    assert variable in line
    assert value in line
    assert accepted in line
    assert "\n" not in line
    assert refusal.value.exit_code == 5


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("api_port =", "not valid TOML"),
        ("api_prot = 1", "unknown setting 'api_prot'"),
        ("api_port = true", "api_port in"),
        ('vram_cap = "lots"', "such as 400MiB"),
        ("worker_slots = [1]", "must be text"),
    ],
)
def test_a_bad_file_is_one_line_with_its_path(tmp_path: Path, content: str, complaint: str) -> None:
    (tmp_path / "config.toml").write_text(content)
    with pytest.raises(ConfigError, match=complaint) as refusal:
        load_settings({"LMX_HOME": str(tmp_path)})
    assert "config.toml" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_password_in_the_database_url_is_not_shown() -> None:
    assert "secret" not in repr(Settings(database_url="postgresql://lmx:secret@db/lmx"))


@pytest.mark.parametrize(
    "settings",
    [
        Settings(home=Path("/h")),
        Settings(
            home=Path("/h"),
            database_url="postgresql://lmx:a@b@db/lmx",
            api_port=1,
            vram_cap=400 << 20,
            kv_ram=0,
            kv_disk=0,
            workflow_modules=("flows", "/a/b.py"),
            worker_slots=3,
            lease_s=2.5,
            heartbeat_s=0.5,
            keep_runs=86_400,
        ),
    ],
)
def test_a_child_process_reads_the_same_settings_whatever_its_parent_was_given(
    settings: Settings,
) -> None:
    parent = {"LMX_DATABASE_URL": "postgresql://other", "LMX_VRAM_CAP": "1GiB", "PATH": "/bin"}
    child = to_environment(settings, parent)
    assert load_settings(child) == settings
    assert child["PATH"] == "/bin"

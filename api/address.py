"""The address that the API listens on: loopback only, and one line if it is taken."""

import errno
import ipaddress
import socket

from lmx.workflows.errors import ConfigError, PortTaken

_BACKLOG = 2048


def require_loopback(host: str) -> None:
    """Raise ConfigError unless `host` is reachable from this machine alone."""
    if host == "localhost":
        return
    try:
        if ipaddress.ip_address(host).is_loopback:
            return
    except ValueError:
        pass
    raise ConfigError(
        f"LMX_API_HOST={host} would open the API to the network, and it asks nobody who they are",
        hint="use 127.0.0.1, and an SSH tunnel to reach it from elsewhere",
    )


def url_of(host: str, port: int) -> str:
    """Return the URL of a server that listens there."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on a loopback address; port 0 takes any free one.

    Raises ConfigError (not loopback, no such address), PortTaken.
    """
    require_loopback(host)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off, which delays answers by 40 ms, only for this protocol.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # Without it, connections of a server that just ended would keep the port busy for minutes.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(
                f"port {port} on {host} is already in use by another program",
                hint="stop that program, or choose another port with LMX_API_PORT",
            ) from None
        raise ConfigError(f"the API cannot listen on {host}:{port}: {error.strerror}") from None
    return listener


def require_free_port(host: str, port: int) -> None:
    """Raise PortTaken if nobody could listen there now; other errors as for `listen`."""
    listen(host, port).close()

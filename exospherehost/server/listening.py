"""The sockets that a server listens on, and the addresses that they are reached at."""

from __future__ import annotations

import socket

from exospherehost.server.domain.errors import StartupError
from exospherehost.server.settings import ServerSettings

BACKLOG = 2_048
"""How many connections may wait to be accepted."""


def listen(settings: ServerSettings) -> list[socket.socket]:
    """Return the listening socket and, if the settings have a port for metrics, the socket for that.

    Raises:
        StartupError: The server cannot listen at an address.
    """
    listeners: list[socket.socket] = []
    try:
        for port in (settings.port, settings.metrics_port):
            if port is not None:
                listeners.append(_listen_at(settings.host, port))  # noqa: PERF401 - the sockets made so far are closed on failure
    except StartupError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _listen_at(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _name, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise StartupError(
            f"cannot listen on {host} port {port}: {error.strerror}; give another host or port"
        ) from error
    return listener


def address_of(settings: ServerSettings, port: int) -> str:
    """Return the URL at which a server that listens on a port is reached."""
    host, scheme = settings.host, "http" if settings.tls is None else "https"
    # A server that listens on all addresses is reached on the loopback.
    name = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - only compared
    return f"{scheme}://[{name}]:{port}" if ":" in name else f"{scheme}://{name}:{port}"

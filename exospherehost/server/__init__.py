"""The embedded state manager: the service of the contract in one process on one SQLite file."""

from __future__ import annotations

from exospherehost.server.app import create_app
from exospherehost.server.domain.errors import StartupError
from exospherehost.server.serving import ServerThread, serve
from exospherehost.server.settings import ServerSettings, load_or_create_api_key, read_environment

__all__ = [
    "ServerSettings",
    "ServerThread",
    "StartupError",
    "create_app",
    "load_or_create_api_key",
    "read_environment",
    "serve",
]

"""The option that names a database, and what its value says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from exospherehost.server.settings import DEFAULT_DATABASE

API_KEY_SUFFIX = "api-key"
"""The ending of the file beside a database that keeps the server's own API key."""

_Command = TypeVar("_Command", bound=Callable[..., object])


def database_option(command: _Command) -> _Command:
    """Add the option that names a database which servers may be using."""
    return click.option(
        "--database",
        default=DEFAULT_DATABASE,
        show_default=True,
        metavar="PATH|URL",
        help="The state manager's database, as given to `serve`. Servers may be running on it.",
    )(command)


def is_file(database: str) -> bool:
    """Return whether a database is a file on this machine."""
    return "://" not in database or database.startswith("sqlite")

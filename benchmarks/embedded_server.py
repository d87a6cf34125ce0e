"""The embedded state manager as a module: prints its URL, then serves until it is killed.

Its arguments are the database's path or URL, the API key, the extensions to leave out, separated by commas, and, unless
it is to be the default, how durable a commit on SQLite is.
"""

from __future__ import annotations

import sys
from typing import Any

from exospherehost.server.serving import serve
from exospherehost.server.settings import ServerSettings


def main() -> None:
    """Serve."""
    database, key, without, *synchronous = sys.argv[1:]
    more: dict[str, Any] = {"synchronous": synchronous[0]} if synchronous else {}
    if database.startswith("postgresql:"):
        # A new one, which has no tables.
        more["migrate"] = True
    settings = ServerSettings(
        api_key=key,
        database=database,
        port=0,
        secrets_key=bytes(32),
        without=frozenset(filter(None, without.split(","))),
        **more,
    )
    serve(settings, started=lambda url: print(url, flush=True))  # noqa: T201 - read by who started it


if __name__ == "__main__":
    main()

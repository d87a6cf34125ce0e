"""The embedded state manager as a module: prints its URL, then serves until it is killed.

Its arguments are the database's path, the API key, and the extensions to leave out, separated by commas.
"""

from __future__ import annotations

import sys

from exospherehost.server.run import serve
from exospherehost.server.settings import ServerSettings


def main() -> None:
    """Serve."""
    database, key, without = sys.argv[1:]
    settings = ServerSettings(
        api_key=key,
        database=database,
        port=0,
        secrets_key=bytes(32),
        without=frozenset(filter(None, without.split(","))),
    )
    serve(settings, started=lambda url: print(url, flush=True))  # noqa: T201 - read by who started it


if __name__ == "__main__":
    main()

"""What a database setting names: a file of SQLite, or a database of PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from exospherehost.server.domain.errors import StoreError

_POSTGRESQL = ("postgresql", "postgres", "postgresql+psycopg")
# What libpq also takes from a URL's query, and nobody may see.
_SECRET_OPTIONS = ("password", "sslpassword")
_FORMS = "give a path, sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME"


def postgresql_url(database: str | Path) -> URL | None:
    """Return the URL of a PostgreSQL database for the driver that is used; None where the setting names a file.

    Raises:
        StoreError: It is a URL that cannot be read, or of a database or driver that is not supported.
    """
    if isinstance(database, Path) or "://" not in database:
        return None
    url = _url(database)
    if url.drivername == "sqlite":
        return None
    if url.drivername not in _POSTGRESQL:
        raise StoreError(f"the database {url.drivername!r} is not supported: {_FORMS}")
    return url.set(drivername="postgresql+psycopg")


def database_path(database: str | Path) -> Path:
    """Return the file that a database setting names.

    Raises:
        StoreError: It is a URL of a database that has no file, or it names no file.
    """
    path = database if isinstance(database, Path) else Path(_file_in_url(database) if "://" in database else database)
    if not path.name or path.is_dir():
        raise StoreError(f"cannot open the database {path}: it is a folder; give the path of a file in it")
    return path


def shown(database: str | Path | URL) -> str:
    """Return a database setting as people may see it: without a password."""
    if isinstance(database, Path) or (isinstance(database, str) and "://" not in database):
        return str(database)
    try:
        url = _url(database) if isinstance(database, str) else database
    except StoreError:
        return "a URL that cannot be read"
    hidden = {name: "***" for name in _SECRET_OPTIONS if name in url.query}
    return url.set(drivername=url.get_backend_name()).update_query_dict(hidden).render_as_string(hide_password=True)


def _file_in_url(database: str) -> str:
    if postgresql_url(database) is not None:
        raise StoreError(f"the database {shown(database)} is no file")
    url = _url(database)
    if not url.database or url.database == ":memory:":
        raise StoreError("the database must be a file: give a path or sqlite:///PATH")
    return url.database


def _url(database: str) -> URL:
    try:
        url = make_url(database)
    except (ArgumentError, ValueError):
        # Not as the cause: it may quote the text, and with it a password.
        raise StoreError(f"the database URL cannot be read: {_FORMS}") from None
    if url.get_backend_name() != "sqlite" and "@" in f"{url.host}{url.database}":
        # The rest of a password would be taken for the host's name, and shown.
        raise StoreError("the database URL cannot be read: in a user's name or password, write @ as %40")
    return url

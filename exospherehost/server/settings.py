"""What the server is started with."""

from __future__ import annotations

import base64
import ipaddress
import logging
import os
import secrets as randomness
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from exospherehost.server.database_url import database_path, postgresql_url, shown
from exospherehost.server.errors import StartupError
from exospherehost.server.private_files import read_or_create
from exospherehost.server.secrets import HOW_TO_MAKE_A_KEY, load_or_create_key, parse_key
from exospherehost.server.secrets import KEY_VARIABLE as SECRETS_KEY_VARIABLE
from exospherehost.server.sql_store import DEFAULT_WRITERS
from exospherehost.server.store import StoreError

_log = logging.getLogger(__name__)

API_KEY_VARIABLE = "EXOSPHERE_API_KEY"
CORS_VARIABLE = "CORS_ORIGINS"

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
DEFAULT_DATABASE = "exosphere.db"
DEFAULT_CORS_ORIGINS = (
    "http://localhost:3000",
    "http://localhost:3001",
    "http://127.0.0.1:3000",
    "http://127.0.0.1:3001",
)
DEFAULT_LARGEST_BODY = 64 * 1024 * 1024
MOST_WRITERS = 64
OFFERED_EXTENSIONS = frozenset({"trigger-states", "wait", "lease", "context", "batch-report", "idempotency"})
"""The extensions of the contract that this server has."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How a server runs; keys are in no repr.

    Attributes:
        api_key: What clients must send as ``x-api-key``.
        database: A file's path, or a URL such as ``sqlite:///PATH`` or ``postgresql://USER:PASSWORD@HOST/NAME``; in no
            repr, since it may hold a password.
        host: The address to listen on.
        port: The port to listen on; 0 takes a free one.
        secrets_key: 32 bytes; None takes the key from the file beside the database, made where it is missing.
        cors_origins: Origins whose pages may call; ``*`` lets all.
        largest_body: The most bytes that a request's body may have.
        without: Names of extensions not to offer.
        strict: Refuse graphs that the hosted service would refuse or treat otherwise.
        migrate: Whether to make or upgrade the database's schema at the start; None does so for a file, and not for
            PostgreSQL.
        writers: How many transactions write at once on PostgreSQL.
    """

    api_key: str = field(repr=False)
    database: str | Path = field(default=DEFAULT_DATABASE, repr=False)
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    secrets_key: bytes | None = field(default=None, repr=False)
    cors_origins: tuple[str, ...] = DEFAULT_CORS_ORIGINS
    largest_body: int = DEFAULT_LARGEST_BODY
    without: frozenset[str] = frozenset()
    strict: bool = False
    migrate: bool | None = None
    writers: int = DEFAULT_WRITERS

    def __post_init__(self) -> None:
        if not self.api_key.strip():
            raise StartupError("the API key is blank: give one with more than blanks")
        if not self.api_key.isascii() or not self.api_key.isprintable() or self.api_key != self.api_key.strip():
            raise StartupError("the API key must be printable ASCII without outer blanks: it travels in a header")
        unknown = self.without - OFFERED_EXTENSIONS
        if unknown:
            raise StartupError(
                f"no such extension: {', '.join(sorted(unknown))}; there are: {', '.join(sorted(OFFERED_EXTENSIONS))}"
            )
        if not 1 <= self.writers <= MOST_WRITERS:
            raise StartupError(f"there are {self.writers} writers: give 1 to {MOST_WRITERS}")

    @property
    def extensions(self) -> frozenset[str]:
        """The extensions on offer; a strict server has none, since the hosted service has none."""
        return frozenset() if self.strict else OFFERED_EXTENSIONS - self.without

    def load_secrets_key(self) -> bytes:
        """Return the key that secrets are sealed with.

        Raises:
            StartupError: There is a file for it that cannot be used.
        """
        if self.secrets_key is not None:
            return parse_key(base64.urlsafe_b64encode(self.secrets_key).decode("ascii"), "the setting secrets_key")
        try:
            if postgresql_url(self.database) is not None:
                raise StartupError(
                    f"servers on PostgreSQL share the key that secrets are sealed with: set {SECRETS_KEY_VARIABLE}, to "
                    f"the same value for each. {HOW_TO_MAKE_A_KEY}"
                )
            path = beside(self.database, "secrets-key")
            if not path.exists() and database_path(self.database).exists():
                _log.warning(
                    "event=secrets_key_made path=%s database=%s what=secrets stored before cannot be read: restore the "
                    "file or set %s, or store the graphs that have secrets again",
                    path,
                    shown(self.database),
                    SECRETS_KEY_VARIABLE,
                )
            return load_or_create_key(path)
        except StoreError as error:
            raise StartupError(str(error)) from error


@dataclass(frozen=True, slots=True)
class ServerEnvironment:
    """What the environment says about the server; None where it says nothing."""

    api_key: str | None = field(repr=False)
    secrets_key: bytes | None = field(repr=False)
    cors_origins: tuple[str, ...]


def read_environment(environ: Mapping[str, str] | None = None) -> ServerEnvironment:
    """Read the server's variables: EXOSPHERE_API_KEY, EXOSPHERE_SECRETS_KEY, CORS_ORIGINS.

    Args:
        environ: What to read instead of the process's environment.

    Raises:
        StartupError: The secrets key is malformed.
    """
    variables = os.environ if environ is None else environ
    secrets_key = variables.get(SECRETS_KEY_VARIABLE)
    origins = tuple(origin for entry in variables.get(CORS_VARIABLE, "").split(",") if (origin := entry.strip()))
    return ServerEnvironment(
        api_key=variables.get(API_KEY_VARIABLE) or None,
        secrets_key=parse_key(secrets_key, SECRETS_KEY_VARIABLE) if secrets_key else None,
        cors_origins=origins or DEFAULT_CORS_ORIGINS,
    )


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach a server that listens on ``host``."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def beside(database: str | Path, suffix: str) -> Path:
    """Return the path of a file kept beside a database, such as ``exosphere.db.api-key``."""
    path = database_path(database)
    return path.with_name(f"{path.name}.{suffix}")


def load_or_create_api_key(path: Path) -> str:
    """Return the API key kept in a file, which is made with mode 0600 where it is missing.

    Raises:
        StartupError: The file cannot be used, or is empty.
    """
    key = read_or_create(path, lambda: f"exo_{randomness.token_urlsafe(24)}")
    if not key:
        raise StartupError(f"the file {path} holds no API key: remove it, and one is made")
    return key

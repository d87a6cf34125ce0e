"""What the server is started with."""

from __future__ import annotations

import ipaddress
import logging
import os
import secrets as randomness
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

from exospherehost.server.domain.errors import StartupError, StoreError
from exospherehost.server.observability.access_log import AccessLogForm
from exospherehost.server.security.private_files import read_or_create
from exospherehost.server.security.secret_box import (
    HOW_TO_MAKE_A_KEY,
    SecretBox,
    load_or_create_keys,
    make_key,
    parse_keys,
)
from exospherehost.server.security.secret_box import KEY_VARIABLE as SECRETS_KEY_VARIABLE
from exospherehost.server.security.tls import PASSWORD_VARIABLE as TLS_PASSWORD_VARIABLE
from exospherehost.server.security.tls import TlsFiles
from exospherehost.server.storage.sql.database_url import database_path, postgresql_url, shown
from exospherehost.server.storage.sql.store import DEFAULT_WRITERS
from exospherehost_client import extensions

logger = logging.getLogger(__name__)

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
DEFAULT_SHUTDOWN_GRACE = 10
DEFAULT_MOST_CONNECTIONS = 10_000
DEFAULT_BODY_SECONDS = 30.0
MOST_WRITERS = 64
SYNCHRONOUS = ("full", "normal")
"""How durable a commit on SQLite can be, the default first."""


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
        access_log: Log a line for each request to ``exospherehost.access``: as ``json``, as ``text``, or ``off``.
        metrics_port: A port at the same address that shows the metrics without a key; 0 takes a free one, None has
            none.
        drain_delay: Seconds between a stop signal, from which on it is not ready, and the stop: time for a load
            balancer to notice.
        shutdown_grace: Seconds that requests under way may take once it stops.
        older_secrets_keys: Keys that open what was sealed before ``secrets_key`` was the key, but seal nothing.
        tls: With what to serve TLS; None serves plain HTTP.
        trusted_proxies: Addresses and networks of reverse proxies whose ``X-Forwarded-For`` and
            ``X-Forwarded-Proto`` are believed; ``*`` believes all.
        most_connections: How many clients may be connected at once; fewer where the system allows fewer open files.
        body_seconds: How long a request's head may take to arrive, and how long its body may pause for.
        keep_runs: How long runs stay after they have ended, or last changed; None for ever.
        synchronous: On SQLite, ``full``: what has been answered outlives a crash of the machine or a power cut; or
            ``normal``: it outlives a crash of the program, but the last moments may be lost with the machine.
        migrate: Whether to make or upgrade the database's schema at the start; None does so for a file, and not for
            PostgreSQL.
        writers: How many transactions write at once on PostgreSQL.
        ui: Whether to serve the dashboard at ``/ui``.
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
    access_log: AccessLogForm = "off"
    metrics_port: int | None = None
    drain_delay: int = 0
    shutdown_grace: int = DEFAULT_SHUTDOWN_GRACE
    older_secrets_keys: tuple[bytes, ...] = field(default=(), repr=False)
    tls: TlsFiles | None = None
    trusted_proxies: tuple[str, ...] = ()
    most_connections: int = DEFAULT_MOST_CONNECTIONS
    body_seconds: float = DEFAULT_BODY_SECONDS
    keep_runs: timedelta | None = None
    synchronous: str = SYNCHRONOUS[0]
    migrate: bool | None = None
    writers: int = DEFAULT_WRITERS
    ui: bool = False

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} holds keys, and is neither pickled nor copied; make another one")

    def __post_init__(self) -> None:
        if self.keep_runs is not None and self.keep_runs <= timedelta(0):
            raise StartupError(f"keep_runs is {self.keep_runs}: give a time above 0, or None to keep all runs")
        if not self.api_key.strip():
            raise StartupError("the API key is blank: give one with more than blanks")
        if not self.api_key.isascii() or not self.api_key.isprintable() or self.api_key != self.api_key.strip():
            raise StartupError("the API key must be printable ASCII without outer blanks: it travels in a header")
        if self.metrics_port and self.metrics_port == self.port:
            raise StartupError(f"port {self.port} cannot also be the port for metrics: give another one")
        if self.drain_delay < 0 or self.shutdown_grace < 0:
            raise StartupError("the drain delay and the shutdown grace are seconds, 0 or more")
        if self.synchronous not in SYNCHRONOUS:
            raise StartupError(f"synchronous is {self.synchronous!r}: give one of {', '.join(SYNCHRONOUS)}")
        unknown = self.without - extensions.ALL
        if unknown:
            raise StartupError(
                f"no such extension: {', '.join(sorted(unknown))}; there are: {', '.join(sorted(extensions.ALL))}"
            )
        if not 1 <= self.writers <= MOST_WRITERS:
            raise StartupError(f"there are {self.writers} writers: give 1 to {MOST_WRITERS}")

    @property
    def extensions(self) -> frozenset[str]:
        """The extensions on offer; a strict server has none, since the hosted service has none."""
        return frozenset() if self.strict else extensions.ALL - self.without

    def open_secret_box(self) -> SecretBox:
        """Return what seals and opens secrets.

        Raises:
            StartupError: A key is not of 32 bytes, or there is a file for them that cannot be used.
        """
        if self.secrets_key is not None:
            keys = (self.secrets_key, *self.older_secrets_keys)
            if any(len(key) != len(make_key()) for key in keys):
                raise StartupError("the setting secrets_key does not hold a key of 32 bytes")
            return SecretBox(*keys)
        try:
            if postgresql_url(self.database) is not None:
                raise StartupError(
                    f"servers on PostgreSQL share the key that secrets are sealed with: set {SECRETS_KEY_VARIABLE}, to "
                    f"the same value for each. {HOW_TO_MAKE_A_KEY}"
                )
            path = secrets_key_file(self.database)
            if not path.exists() and _holds_anything(database_path(self.database)):
                logger.warning(
                    "event=secrets_key_made path=%s database=%s what=secrets stored before cannot be read: restore the "
                    "file or set %s, or store the graphs that have secrets again",
                    path,
                    shown(self.database),
                    SECRETS_KEY_VARIABLE,
                )
            return SecretBox(*load_or_create_keys(path), file=path)
        except StoreError as error:
            raise StartupError(str(error)) from error


@dataclass(frozen=True, slots=True)
class ServerEnvironment:
    """What the environment says about the server; None where it says nothing."""

    api_key: str | None = field(repr=False)
    secrets_key: bytes | None = field(repr=False)
    cors_origins: tuple[str, ...]
    older_secrets_keys: tuple[bytes, ...] = field(default=(), repr=False)
    tls_key_password: str | None = field(default=None, repr=False)

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} holds keys, and is neither pickled nor copied; make another one")


def read_environment(environ: Mapping[str, str] | None = None) -> ServerEnvironment:
    """Read the server's variables.

    These are EXOSPHERE_API_KEY, EXOSPHERE_SECRETS_KEY, EXOSPHERE_SSL_KEYFILE_PASSWORD and CORS_ORIGINS.

    Args:
        environ: What to read instead of the process's environment.

    Raises:
        StartupError: The secrets key is malformed.
    """
    variables = os.environ if environ is None else environ
    spelled = variables.get(SECRETS_KEY_VARIABLE)
    secrets_keys = parse_keys(spelled, SECRETS_KEY_VARIABLE) if spelled else ()
    origins = tuple(origin for entry in variables.get(CORS_VARIABLE, "").split(",") if (origin := entry.strip()))
    return ServerEnvironment(
        api_key=variables.get(API_KEY_VARIABLE) or None,
        secrets_key=secrets_keys[0] if secrets_keys else None,
        cors_origins=origins or DEFAULT_CORS_ORIGINS,
        older_secrets_keys=secrets_keys[1:],
        tls_key_password=variables.get(TLS_PASSWORD_VARIABLE) or None,
    )


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach a server that listens on ``host``."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def secrets_key_file(database: str | Path) -> Path:
    """Return the path of the file that keeps a database's secrets keys, where no variable does."""
    return beside(database, "secrets-key")


def beside(database: str | Path, suffix: str) -> Path:
    """Return the path of a file kept beside a database, such as ``exosphere.db.api-key``."""
    path = database_path(database)
    return path.with_name(f"{path.name}.{suffix}")


def _holds_anything(database: Path) -> bool:
    # A server that starts on a new file has made it, empty, in order to lock it.
    return database.exists() and database.stat().st_size > 0


def load_or_create_api_key(path: Path) -> str:
    """Return the API key kept in a file, which is made with mode 0600 where it is missing.

    Raises:
        StartupError: The file cannot be used, or is empty.
    """
    key = read_or_create(path, lambda: f"exo_{randomness.token_urlsafe(24)}")
    if not key:
        raise StartupError(f"the file {path} holds no API key: remove it, and one is made")
    return key

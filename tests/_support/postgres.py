"""A PostgreSQL server for tests, and databases on it with the schema in place."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
import pytest
from sqlalchemy.engine import make_url

from exospherehost.server.storage.migrations import upgrade
from exospherehost.server.storage.postgresql.database import open_engine
from tests._support.eventually import eventually_sync

REQUIRED_VARIABLE = "EXOSPHERE_REQUIRE_POSTGRES"
PASSWORD = "the-password-of-the-tests"
SECRETS_KEY = bytes(range(32))
# What tests must not wait for. Crashes of the database's machine are not among what they try.
_FAST = ("fsync=off", "synchronous_commit=on", "full_page_writes=off", "max_connections=200", "log_min_messages=fatal")


def find_binaries() -> Path | None:
    """Return the folder of PostgreSQL's programs, or None where there are none."""
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name, reverse=True)
    config = shutil.which("pg_config")
    if config is not None:
        told = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False)
        candidates.append(Path(told.stdout.strip()))
    # Resolved, for the programs look for one another where they are.
    candidates += [Path(found).resolve().parent for name in ("initdb", "postgres") if (found := shutil.which(name))]
    return next((path for path in candidates if (path / "postgres").exists() and (path / "initdb").exists()), None)


def binaries_or_skip() -> Path:
    """Return the folder of PostgreSQL's programs; where there are none, skip the test, or fail if they are required."""
    found = find_binaries()
    if found is None:
        reason = "PostgreSQL's programs are not found (Debian: apt-get install postgresql)"
        if REQUIRED_IN_ENVIRONMENT:
            pytest.fail(reason)
        pytest.skip(reason)
    return found


# Read when the tests are collected: their environment has none of our variables.
REQUIRED_IN_ENVIRONMENT = bool(os.environ.get(REQUIRED_VARIABLE))


class PostgresServer:
    """A server on the loopback with a folder and a user of its own, gone with the block.

    Args:
        binaries: The folder of its programs.
        settings: Settings beside those for speed.
    """

    def __init__(self, binaries: Path, *settings: str) -> None:
        self._binaries = binaries
        self._settings = (*_FAST, *settings)
        self._numbers = itertools.count(1)
        self._folder = Path(tempfile.mkdtemp(prefix="exosphere-pg-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()

    def __enter__(self) -> Self:
        try:
            self._make()
            self.start()
            self._make_template()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def start(self) -> None:
        """Start the server, and return when it answers."""
        options = [f"-c{setting}" for setting in self._settings]
        self._process = subprocess.Popen(
            [
                self._binaries / "postgres",
                "-D",
                self._folder / "data",
                "-h",
                "127.0.0.1",
                "-p",
                str(self.port),
                "-k",
                self._folder,
                *options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **_as_owner(),
        )
        eventually_sync(self._answers, within=60)

    def stop(self, *, crash: bool = True) -> None:
        """Stop the server: as by a crash, or in good order, ending all connections."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT if crash else signal.SIGINT)
            self._process.wait(60)
            self._process = None

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def url(self, name: str) -> str:
        """Return the URL of a database."""
        return f"postgresql://postgres:{PASSWORD}@127.0.0.1:{self.port}/{name}"

    def connect(self, name: str = "postgres") -> psycopg.Connection:
        """Open a connection in autocommit mode."""
        return psycopg.connect(self.url(name), autocommit=True)

    def empty(self) -> str:
        """Make a database without a schema and return its URL."""
        return self._create("template0")

    def fresh(self) -> str:
        """Make a database with the schema in place and return its URL."""
        return self._create("exosphere_template")

    def _create(self, template: str) -> str:
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        with self.connect() as connection:
            # The other strategy copies through the log, which is slower with nothing to protect.
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def _make(self) -> None:
        password = self._folder / "password"
        password.write_text(PASSWORD, encoding="utf-8")
        _give_to_owner(self._folder)
        subprocess.run(
            [
                self._binaries / "initdb",
                "-D",
                self._folder / "data",
                "-U",
                "postgres",
                "-A",
                "scram-sha-256",
                f"--pwfile={password}",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            **_as_owner(),
        )

    def _make_template(self) -> None:
        with self.connect() as connection:
            connection.execute("CREATE DATABASE exosphere_template TEMPLATE template0")
        engine = open_engine(make_url(self.url("exosphere_template")).set(drivername="postgresql+psycopg"))
        upgrade(engine)
        engine.dispose()


def _owner() -> str | None:
    """Return who is to run the server: PostgreSQL refuses root."""
    if os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in known)


def _as_owner() -> dict[str, Any]:
    owner = _owner()
    if owner is None:
        return {}
    return {"user": owner, "group": pwd.getpwnam(owner).pw_gid, "extra_groups": []}


def _give_to_owner(folder: Path) -> None:
    owner = _owner()
    if owner is not None:
        entry = pwd.getpwnam(owner)
        for path in (folder, *folder.iterdir()):
            os.chown(path, entry.pw_uid, entry.pw_gid)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


Databases = Callable[[], str]

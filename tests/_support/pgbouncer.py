"""PgBouncer before a PostgreSQL server, for tests."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
import pytest

from tests._support.eventually import eventually_sync
from tests._support.postgres import PASSWORD, REQUIRED_IN_ENVIRONMENT, PostgresServer


def program_or_skip() -> Path:
    """Return the program; where there is none, skip the test, or fail if PostgreSQL is required."""
    found = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
    if found is not None:
        return Path(found)
    reason = "PgBouncer is not found (Debian: apt-get install pgbouncer)"
    if REQUIRED_IN_ENVIRONMENT:
        pytest.fail(reason)
    pytest.skip(reason)


class PgBouncer:
    """A pooler on the loopback before a server, gone with the block.

    Args:
        program: The program.
        postgres: The server.
        mode: How long a client keeps a session: ``session``, ``transaction`` or ``statement``.
    """

    def __init__(self, program: Path, postgres: PostgresServer, mode: str) -> None:
        self._program = program
        self._postgres = postgres
        self._mode = mode
        self._folder = Path(tempfile.mkdtemp(prefix="exosphere-pgbouncer-"))
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])

    def __enter__(self) -> Self:
        users = self._folder / "users"
        users.write_text(f'"postgres" "{PASSWORD}"\n', encoding="utf-8")
        settings = self._folder / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n* = host=127.0.0.1 port={self._postgres.port}\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\npool_mode = {self._mode}\n"
            f"auth_type = scram-sha-256\nauth_file = {users}\ndefault_pool_size = 30\n",
            encoding="utf-8",
        )
        options: dict[str, Any] = {}
        names = {entry.pw_name for entry in pwd.getpwall()}
        if os.getuid() == 0:
            # It refuses root.
            owner = pwd.getpwnam(next(name for name in ("postgres", "nobody") if name in names))
            options = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
            for path in (self._folder, users, settings):
                shutil.chown(path, owner.pw_uid, owner.pw_gid)
        self._process = subprocess.Popen(
            [self._program, "-q", settings],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **options,
        )
        try:
            eventually_sync(self._answers, 30)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder)

    def url(self, database: str) -> str:
        """Return the address at the pooler of a database, given its address at the server."""
        return database.replace(f":{self._postgres.port}/", f":{self.port}/")

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url(self._postgres.url("postgres")), autocommit=True).close()
        except psycopg.OperationalError:
            return False
        return True

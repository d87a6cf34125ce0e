"""Redis and PostgreSQL, each started for a measurement in a temporary folder; durable as it says."""

from __future__ import annotations

import contextlib
import getpass
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.processes import MeasurementError, Process

_PATIENCE_SECONDS = 60.0
# Debian keeps them out of the path, one folder for each version.
_DEBIAN = Path("/usr/lib/postgresql")
_PROGRAMS = ("postgres", "initdb", "pg_ctl", "pg_isready")


def find_redis() -> str | None:
    """The Redis server of this machine, if it has one."""
    return shutil.which("redis-server")


def find_postgres() -> Path | None:
    """The folder of PostgreSQL's programs, the newest of this machine, if it has any."""
    on_path = [] if (found := shutil.which("postgres")) is None else [Path(found).resolve().parent]
    versions = sorted(_DEBIAN.glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    complete = (path for path in (*on_path, *versions) if all((path / program).exists() for program in _PROGRAMS))
    return next(complete, None)


@contextlib.contextmanager
def redis(appendfsync: str) -> Iterator[str]:
    """Run Redis with an append-only file, synchronised `everysec` or `always`, and no snapshots; gives its URL."""
    program = find_redis()
    if program is None:
        raise MeasurementError("there is no redis-server: install the package of that name")
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder:
        settings = {"bind": "127.0.0.1", "port": str(port), "dir": folder, "loglevel": "warning"}
        settings |= {"save": "", "appendonly": "yes", "appendfsync": appendfsync}
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        with Process((program, *options), None) as process:
            _wait_for_port(process, port)
            yield f"redis://127.0.0.1:{port}/0"


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """Run PostgreSQL with its own defaults, so durable at each commit; gives the URL of an empty database."""
    programs = find_postgres()
    if programs is None:
        raise MeasurementError("there is no PostgreSQL: install the package postgresql")
    user = _postgres_user()
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        data.mkdir()
        if user is not None:
            for path in (Path(folder), data):
                shutil.chown(path, user)
        made = subprocess.run(  # noqa: S603 - a program of PostgreSQL's
            [programs / "initdb", "-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
            check=False,
            capture_output=True,
            text=True,
            user=user,
            cwd=folder,
        )
        if made.returncode:
            raise MeasurementError(f"initdb failed: {made.stderr[-300:]}")
        settings = {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": folder}
        settings |= {"max_connections": "200"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with Process((programs / "postgres", "-D", data, *options), None, Path(folder), user=user) as process:
            _wait_until_ready(process, programs, port)
            yield f"postgresql://bench@127.0.0.1:{port}/postgres"
            # Killed, it would leave its shared memory behind.
            stop = (programs / "pg_ctl", "stop", "-D", data, "-m", "immediate")
            subprocess.run(stop, check=False, capture_output=True, user=user, cwd=folder)  # noqa: S603 - as above


def _postgres_user() -> str | None:
    """Whom PostgreSQL runs as, which refuses root; None for the caller."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in names:
            return name
    raise MeasurementError(f"PostgreSQL does not run as {getpass.getuser()}: run the benchmark as another user")


def _wait_until_ready(process: Process, programs: Path, port: int) -> None:
    limit = time.monotonic() + _PATIENCE_SECONDS
    command = (programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port))
    while subprocess.run(command, check=False).returncode:  # noqa: S603 - a program of PostgreSQL's
        process.must_run()
        if time.monotonic() > limit:
            raise MeasurementError("PostgreSQL does not take connections")
        time.sleep(0.05)


def _wait_for_port(process: Process, port: int) -> None:
    limit = time.monotonic() + _PATIENCE_SECONDS
    while True:
        process.must_run()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if time.monotonic() > limit:
            raise MeasurementError(f"nothing listens on port {port}")
        time.sleep(0.02)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port

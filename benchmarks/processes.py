"""The processes of a measurement: a server on one core, a client on another, both spoken to by the one who measures."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self
from urllib.parse import urlsplit

HERE = Path(__file__).parent
KEY = "a-key-of-the-benchmarks"
_END_SECONDS = 30.0

_cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
SERVER_CORE, CLIENT_CORE = (_cores[0], _cores[1]) if len(_cores) > 1 else (None, None)


class MeasurementError(Exception):
    """Something that was measured did not do its work, so that its figures mean nothing."""


@contextlib.contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Have processes that are started in the block run on one core, where the system lets us."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Process:
    """A process that is killed, with those that it started, at the end of its `with` block.

    Args:
        command: what runs.
        core: where it runs; None for anywhere.
        folder: the folder it runs in; the caller's where nothing is said.
        variables: environment variables beside the caller's.
        user: whom it runs as; the caller where nothing is said.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        core: int | None,
        folder: Path | None = None,
        *,
        variables: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        # The cache of compiled modules stays in use, but nothing else of the caller's Python settings.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment = {name: value for name, value in environment.items() if not name.startswith("EXOSPHERE_")}
        with on_core(core):
            self._process = subprocess.Popen(  # noqa: S603 - what is run is named in this package
                list(map(str, command)),
                env={**environment, **(variables or {})},
                cwd=folder,
                user=user,
                # A group of its own, to end with the processes that it starts.
                start_new_session=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # Where nobody reads it, but making a log's lines costs what it costs.
                stderr=subprocess.DEVNULL,
                text=True,
            )
        self._name = " ".join(map(str, command[1:3]))

    def must_run(self) -> None:
        """See that it has not ended.

        Raises:
            MeasurementError: it has.
        """
        if (code := self._process.poll()) is not None:
            raise MeasurementError(f"{self._name} ended with {code}; run it by hand to see why")

    def resident_bytes(self) -> int:
        """Return the memory that it has now, where the system tells (Linux)."""
        return int(self._told("statm")[1]) * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        """Return the processor time that it has taken, where the system tells (Linux)."""
        # The name, which may have blanks, ends with the last bracket.
        fields = " ".join(self._told("stat")).rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _told(self, name: str) -> list[str]:
        try:
            return Path("/proc", str(self._process.pid), name).read_text(encoding="utf-8").split()
        except OSError as error:
            raise MeasurementError(f"this system does not tell a process's memory and time ({error})") from error

    def read_line(self) -> str:
        """Read a line that the process writes.

        Raises:
            MeasurementError: it has ended.
        """
        output: IO[str] = _given(self._process.stdout)
        line = output.readline()
        if not line:
            self._process.wait(_END_SECONDS)
            self.must_run()
        return line.strip()

    def write_line(self, text: str) -> None:
        """Write a line to the process."""
        stream: IO[str] = _given(self._process.stdin)
        stream.write(f"{text}\n")
        stream.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(_END_SECONDS)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


class Server(Process):
    """A state manager as a process; use it as a context manager.

    Args:
        module: the module in this package that runs it; it prints its URL first.
        arguments: what it is given.
        core: where it runs; None for anywhere.
    """

    def __init__(self, module: str, *arguments: str, core: int | None = SERVER_CORE) -> None:
        super().__init__((sys.executable, "-m", f"benchmarks.{module}", *arguments), core, HERE.parent)
        self.url = ""
        self._http: http.client.HTTPConnection | None = None

    def __enter__(self) -> Self:
        try:
            self.url = self.read_line()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        address = urlsplit(self.url)
        self._http = http.client.HTTPConnection(address.hostname or "", address.port, timeout=120)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            self._http.close()
        super().__exit__(kind, error, trace)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request as JSON and return what it is answered.

        Raises:
            MeasurementError: it was refused.
        """
        if self._http is None:
            raise MeasurementError("the server has not been started")
        headers = {"x-api-key": KEY, "content-type": "application/json"}
        self._http.request(method, path, None if body is None else json.dumps(body), headers)
        response = self._http.getresponse()
        content = response.read()
        if response.status >= 300:
            raise MeasurementError(f"{method} {path}: {response.status} {content[:300]!r}")
        return json.loads(content)

    def counts(self) -> dict[str, Any]:
        """What the in-memory server has counted."""
        counts: dict[str, Any] = self.call("GET", "/counts")
        return counts


def memory_server(states: int | str = 0, *, extensions: Sequence[str] = (), payload: int = 20) -> Server:
    """Make an in-memory server with states that are due, or `endless` ones."""
    return Server(
        "memory_server",
        *("--states", str(states), "--extensions", ",".join(extensions), "--payload", str(payload)),
    )


class Client(Process):
    """A program in `peers/` that works off states; use it as a context manager.

    Args:
        python: the interpreter of its environment.
        program: its file name.
        settings: what it is given.
    """

    def __init__(self, python: str, program: str, settings: Mapping[str, Any]) -> None:
        super().__init__((python, HERE / "peers" / program, json.dumps({"key": KEY, **settings})), CLIENT_CORE)

    def __enter__(self) -> Self:
        try:
            self.about = json.loads(self.read_line())
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def sample(self) -> dict[str, Any]:
        """Ask for its processor time (s), its memory (bytes) and the latencies (ns) that it noted."""
        self.write_line("sample")
        sample: dict[str, Any] = json.loads(self.read_line())
        return sample

    def stop(self) -> None:
        """Stop it as its SDK provides, and wait until it has said so."""
        self.write_line("stop")
        while "stopped" not in json.loads(self.read_line()):
            pass


def _given(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise MeasurementError("the process has no pipe")
    return stream

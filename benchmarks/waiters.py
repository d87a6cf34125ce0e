"""Claims that wait: how soon one of them has a state, and what each of them costs the server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.graphs import SPACE, put_chain, trigger
from benchmarks.measure import Arm, Goal, Ratio, Reading, Table, fill, measure, quantile
from benchmarks.plan import Plan
from benchmarks.processes import KEY, MeasurementError, Server

_WAIT_SECONDS = 30
_PATIENCE_SECONDS = 60.0
# Those that come first fit into what the process has free, about 1 MiB: of a hundred, half would seem to cost nothing.
_OTHERS = 200
_FLAT = Goal(1.2, at_most=True)
_HELD_EQUAL = (
    "the server (the embedded one on SQLite, its default durability, a new database for each measurement), its core, "
    "the requests: one connection for each runtime, each with a claim of one node and one state that waits up to "
    f"{_WAIT_SECONDS} s and is sent again when it is answered; states become due one at a time, by a trigger each"
)


def run(plan: Plan) -> Table:
    """Measure it."""
    one, few, usual, many = sizes = (1, 10, 20, 40) if plan.quick else (1, 100, 1_000, 2_000)
    triggers = int(plan.of(200, 5))
    idle = plan.of(3, 0.2)
    table = Table("waiters", "claims that wait", _HELD_EQUAL)
    with _many_files(2 * (many + _OTHERS) + 200):
        arms = [_arm(size, triggers, idle) for size in sizes]
        readings = measure(arms, plan.rounds, plan.say)
    ratios = [
        Ratio(f"from trigger to claim, {metric[:3]}: {_name(size)}, over one", _name(size), _name(one), metric)
        for size in sizes[1:]
        for metric in ("p50 ms", "p99 ms")
    ]
    ratios += [
        Ratio(f"server, {what}: {_name(more)}, over {less:,}", _name(more), _name(less), metric, goal)
        for more, less, bound in ((usual, few, _FLAT), (many, usual, _FLAT))
        for what, metric, goal in (("KiB a waiter", "KiB/waiter", bound), ("share of a core, idle", "core, %", None))
    ]
    table.notes.append(
        f"memory: what the process has grown by, over the waiters; {_OTHERS} others come before them and take up what "
        "it had free"
    )
    table.checks["triggers in each measurement, each of whose states one waiter was given"] = triggers
    return fill(table, ratios, readings)


def _arm(size: int, triggers: int, idle: float) -> Arm:
    return Arm(_name(size), lambda _round: asyncio.run(measure_waiters(size, triggers, idle)))


def _name(size: int) -> str:
    return f"{size:,} waiting" if size > 1 else "one waiting"


@contextlib.contextmanager
def _many_files(count: int) -> Iterator[None]:
    """Let this process and those that it starts have so many files open, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def measure_waiters(size: int, triggers: int, idle: float) -> Reading:
    """Measure so many waiting claims.

    Args:
        size: how many wait.
        triggers: how many states become due, one after the other.
        idle: how many seconds to look at the server while nothing is due.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        Server("embedded_server", str(Path(folder, "bench.db")), KEY, "") as server,
    ):
        put_chain(server, "First")
        # What the first requests load is not the waiters'.
        await asyncio.to_thread(trigger, server, "text")
        server.call("POST", f"{SPACE}/states/enqueue", {"nodes": ["First"], "batch_size": 1})
        others, room = _Room(server), _Room(server)
        try:
            await others.fill(_OTHERS)
            await _settle(server)
            before = server.resident_bytes()
            await room.fill(size)
            await _settle(server)
            resident = server.resident_bytes()
            await others.close()
            await _settle(server)
            busy = server.cpu_seconds()
            await asyncio.sleep(idle)
            busy = server.cpu_seconds() - busy
            took = [await room.time_one() for _ in range(triggers)]
        finally:
            await others.close()
            await room.close()
    return {
        "p50 ms": quantile(took, 0.5),
        "p99 ms": quantile(took, 0.99),
        "KiB/waiter": max(0, resident - before) / 1024 / size,
        "core, %": busy / idle * 100,
    }


async def _settle(server: Server) -> None:
    """Wait until all waiters have been let in: the server has nothing more to do."""
    limit = time.monotonic() + _PATIENCE_SECONDS
    busy = -1.0
    while (now := server.cpu_seconds()) > busy:
        if time.monotonic() > limit:
            raise MeasurementError("the server does not come to rest")
        busy = now
        await asyncio.sleep(0.5)


class _Room:
    """Connections, on each of which a claim waits."""

    def __init__(self, server: Server) -> None:
        self._server = server
        address = urlsplit(server.url)
        self._address = (address.hostname or "", address.port or 0)
        body = json.dumps({"nodes": ["First"], "batch_size": 1, "lease_ms": 600_000})
        self._claim = (
            f"POST {SPACE}/states/enqueue HTTP/1.1\r\nhost: bench\r\nx-api-key: {KEY}\r\n"
            f"content-type: application/json\r\nprefer: wait={_WAIT_SECONDS}\r\ncontent-length: {len(body)}\r\n\r\n"
            f"{body}"
        ).encode("ascii")
        self._tasks: list[asyncio.Task[None]] = []
        self._given: asyncio.Queue[float] = asyncio.Queue()
        self._sent = 0

    async def fill(self, size: int) -> None:
        """Let so many in, and return once each has sent its claim."""
        self._tasks = [asyncio.create_task(self._wait()) for _ in range(size)]
        limit = time.monotonic() + _PATIENCE_SECONDS
        while self._sent < size:
            self._see_to_it()
            if time.monotonic() > limit:
                raise MeasurementError(f"only {self._sent} of {size} claims could be sent")
            await asyncio.sleep(0.01)

    async def time_one(self) -> float:
        """Trigger a run, and return how many milliseconds later a waiter had its state."""
        self._see_to_it()
        began = time.perf_counter()
        given = asyncio.create_task(self._given.get())
        await asyncio.to_thread(trigger, self._server, "text")
        at = await asyncio.wait_for(given, _PATIENCE_SECONDS)
        return (at - began) * 1_000

    async def close(self) -> None:
        """Let all go."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _see_to_it(self) -> None:
        for task in self._tasks:
            if task.done():
                task.result()

    async def _wait(self) -> None:
        reader, writer = await asyncio.open_connection(*self._address)
        with contextlib.closing(writer):
            while True:
                writer.write(self._claim)
                self._sent += 1
                head = await reader.readuntil(b"\r\n\r\n")
                at = time.perf_counter()
                if not head.startswith(b"HTTP/1.1 200"):
                    raise MeasurementError(f"a claim was answered {head[:60]!r}")
                length = next(
                    int(line.split(b":")[1]) for line in head.splitlines() if line.startswith(b"content-length:")
                )
                answer = json.loads(await reader.readexactly(length))
                for _state in answer["states"]:
                    self._given.put_nowait(at)

"""A chaos run: work, kills, and the verdict."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.chaos.checker import WRONG, Evidence, Violation, check
from tests.chaos.database import Database
from tests.chaos.feeder import AHEAD, Feeder
from tests.chaos.fleet import ChaosError, Member, count_errors, free_port, until
from tests.chaos.nodes import EXECUTIONS_VARIABLE, MENDED_VARIABLE, count_executions, executions
from tests.chaos.plan import NAMESPACE, make_plan
from tests.chaos.schedule import Kill, make_schedule
from tests.chaos.verdict import Figures, Verdict

ROOT = Path(__file__).parents[2]
KEY = "the-key-of-the-chaos-run"
_SECRETS_KEY = base64.urlsafe_b64encode(b"chaos-run-only-chaos-run-only-32").decode("ascii")
_STARTS_WITHIN = 120.0
_LOOK = 0.05
_SHOW_EVERY = 10.0
_LEAST_WORK = 150


@dataclass(frozen=True)
class Settings:
    """What a chaos run is like.

    Attributes:
        folder: takes journals, logs, notes, and the database where that is a file.
        database: the URL of a PostgreSQL database, or None for a file.
        states: about how many states are to be run.
        servers: how many replicas; one on SQLite.
        runtimes: how many runtime processes.
        seed: decides on the work and on the kills.
        server_kills: how many kills meet servers.
        runtime_kills: how many meet runtimes only.
        lease: seconds for which a claim holds.
        spare_ms: how long leases are spared after a server's start; None for the server's own choice.
        gives_up_after: seconds without any progress after which what is left counts as stuck.
    """

    folder: Path
    database: str | None = None
    states: int = 50_000
    servers: int = 1
    runtimes: int = 4
    seed: int = 1
    server_kills: int = 25
    runtime_kills: int = 40
    lease: float = 15.0
    spare_ms: int | None = None
    gives_up_after: float = 120.0


class ChaosRun:
    """Runs it all; :meth:`run` once."""

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._say = say
        folder = settings.folder
        self._executions = folder / "executions"
        self._mended = folder / "mended"
        for made in (self._executions, self._mended):
            made.mkdir()
        self._file = folder / "exosphere.db"
        self._url = settings.database or f"sqlite:///{self._file}"
        self._database = Database(self._url, NAMESPACE)
        self._plan = make_plan(settings.seed, settings.states)
        ports = [free_port() for _ in range(settings.servers)]
        self._uris = [f"http://127.0.0.1:{port}" for port in ports]
        self._servers = [self._server(number, port) for number, port in enumerate(ports)]
        self._runtimes = [self._runtime(number) for number in range(settings.runtimes)]
        self._feeder = Feeder(",".join(self._uris), KEY, self._plan.runs, self._mended, self._executed)
        self._lives = 0

    async def run(self) -> Verdict:
        """Run it to its end, and return what the checker finds."""
        began = time.monotonic()
        members = [*self._servers, *self._runtimes]
        try:
            # One after the other, as only one may make the tables.
            for server, uri in zip(self._servers, self._uris, strict=True):
                server.start()
                await until(lambda uri=uri: _answers(uri), within=_STARTS_WITHIN, what=f"{server.name} answers")  # type: ignore[misc]
            for runtime in self._runtimes:
                runtime.start()
            await self._feeder.put_graphs()
            await self._work()
            for member in reversed(members):
                await member.end()
        finally:
            for member in members:
                member.abandon()
        evidence = Evidence(self._database.read(), self._plan, list(executions(self._executions)))
        failures = [failure for member in members for failure in member.failures]
        violations = [*check(evidence), *(Violation(WRONG, "nobody ends unasked", text) for text in failures)]
        figures = Figures(
            database="SQLite" if self._settings.database is None else "PostgreSQL",
            replicas=self._settings.servers,
            seed=self._settings.seed,
            seconds=time.monotonic() - began,
            server_kills=sum(server.kills for server in self._servers),
            runtime_kills=sum(runtime.kills for runtime in self._runtimes),
            runtime_processes=self._lives,
            repeated_triggers=self._feeder.repeated,
            errors_logged=count_errors(members),
        )
        return Verdict(figures, evidence, violations)

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as group:
            feeding = group.create_task(self._feeder.run())
            killing = group.create_task(self._kill_all())
            group.create_task(self._wait_for_the_end(feeding, killing))

    async def _kill_all(self) -> None:
        settings = self._settings
        # Of several servers one is spared, as the promise is made for two of three.
        schedule = make_schedule(
            settings.seed,
            servers=max(settings.servers - 1, 1),
            runtimes=settings.runtimes,
            server_kills=settings.server_kills,
            runtime_kills=settings.runtime_kills,
        )
        # What there is to do at a kill, and while what it met is away.
        work = max(_LEAST_WORK, min(AHEAD, self._plan.executions // 10))
        for kill in schedule:
            self._feeder.limit = kill.progress * self._plan.executions + work
            while self._executed() < kill.progress * self._plan.executions:
                for member in (*self._servers, *self._runtimes):
                    member.must_live()
                await asyncio.sleep(_LOOK)
            await asyncio.sleep(kill.wait)
            await self._kill(kill)
        self._feeder.limit = math.inf

    async def _kill(self, kill: Kill) -> None:
        victims = [*(self._servers[number] for number in kill.servers)]
        victims += [self._runtimes[number] for number in kill.runtimes]
        for victim in victims:
            victim.kill()
        self._say(f"{kill.progress:4.0%}  kill -9 {', '.join(victim.name for victim in victims)}")
        await asyncio.sleep(kill.absence)
        for victim in victims:
            victim.start()
        for number in kill.servers:
            uri = self._uris[number]
            await until(lambda uri=uri: _answers(uri), within=_STARTS_WITHIN, what=f"{uri} answers again")  # type: ignore[misc]

    async def _wait_for_the_end(self, feeding: asyncio.Task[None], killing: asyncio.Task[None]) -> None:
        """Wait until every run has ended, or nothing has happened for long; the checker then says what is left."""
        seen: tuple[int, ...] = ()
        seen_at = shown_at = time.monotonic()
        while True:
            stored, ended = await asyncio.to_thread(self._database.counted_states)
            now = time.monotonic()
            if feeding.done() and killing.done() and stored == ended:
                return
            if (stored, ended, self._executed()) != seen:
                seen, seen_at = (stored, ended, self._executed()), now
            elif now - seen_at > self._settings.gives_up_after:
                self._say(f"nothing has happened for {self._settings.gives_up_after:.0f} s")
                feeding.cancel()
                killing.cancel()
                return
            if now - shown_at > _SHOW_EVERY:
                shown_at = now
                self._say(f"{self._executed():,} executions; {stored:,} states stored, {ended:,} of them ended")
            await asyncio.sleep(10 * _LOOK)

    def _executed(self) -> int:
        return count_executions(self._executions)

    def _server(self, number: int, port: int) -> Member:
        settings = self._settings
        program = ["exospherehost.cli"]
        if settings.spare_ms is not None:
            program = ["tests.chaos.server_program", str(settings.spare_ms)]
        database = [str(self._file)] if settings.database is None else [settings.database, "--migrate"]
        command = [sys.executable, "-m", *program, "serve", "--port", str(port), "--database", *database]
        return Member(
            f"server-{number}",
            lambda _life: command,
            settings.folder,
            lambda _life: {
                "EXOSPHERE_API_KEY": KEY,
                "EXOSPHERE_SECRETS_KEY": _SECRETS_KEY,
                "EXOSPHERE_LOG_LEVEL": "INFO",
                "PYTHONPATH": _python_path(),
            },
        )

    def _runtime(self, number: int) -> Member:
        folder = self._settings.folder
        options = {
            "journal": str(folder / f"journal-{number}"),
            "lease": self._settings.lease,
            "batch_size": 32,
            "workers": 16,
        }
        program = [sys.executable, "-m", "tests.chaos.runtime_program"]

        def command(_life: int) -> Sequence[str]:
            self._lives += 1
            return [*program, ",".join(self._uris), KEY, json.dumps(options)]

        def environment(life: int) -> Mapping[str, str]:
            return {
                EXECUTIONS_VARIABLE: str(self._executions / f"runtime-{number}-{life}"),
                MENDED_VARIABLE: str(self._mended),
                "PYTHONPATH": _python_path(),
            }

        return Member(f"runtime-{number}", command, folder, environment)


def _python_path() -> str:
    return f"{ROOT}:{ROOT / 'generated_client'}"


def _answers(uri: str) -> bool:
    try:
        return httpx.get(f"{uri}/health", trust_env=False, timeout=5).is_success
    except httpx.TransportError:
        return False


__all__ = ["ChaosError", "ChaosRun", "Settings"]

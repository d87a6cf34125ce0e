"""The ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Any

from starlette.routing import BaseRoute, Match, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from exospherehost.server.domain.clock import Clock, SystemClock
from exospherehost.server.http import responses
from exospherehost.server.http.authentication import Authenticator
from exospherehost.server.http.middleware import Edge, with_cross_origin_rules
from exospherehost.server.http.monitoring import METRICS_PATH, OPEN, READY_PATH, MetricsPage, Ready, measure_loop_lag
from exospherehost.server.http.routes import build_routes
from exospherehost.server.http.served_document import full_document, offered_document
from exospherehost.server.observability.access_log import AccessLog
from exospherehost.server.observability.metrics import Metrics
from exospherehost.server.scheduler import Scheduler
from exospherehost.server.security.access import Access
from exospherehost.server.service.context import Context
from exospherehost.server.service.followers import Followers
from exospherehost.server.service.service import Service
from exospherehost.server.service.waiting_claims import WaitingRoom
from exospherehost.server.settings import ServerSettings
from exospherehost.server.storage.migrations import revisions
from exospherehost.server.storage.opening import open_store
from exospherehost.server.storage.sql.database_url import postgresql_url
from exospherehost.server.storage.sql.store import SqlStore
from exospherehost_client.extensions import EVENTS

# What another server did, and did not live to tell, is found so soon: leases it gave, schedules, states that wait.
_LOOK_FOR_OTHERS_EVERY_MS = 5_000


def create_app(
    settings: ServerSettings,
    *,
    clock: Clock | None = None,
    random_number: Callable[[], float] = random.random,
    draining: threading.Event | None = None,
    stopping: asyncio.Event | None = None,
) -> ASGIApp:
    """Return the state manager as an ASGI application.

    The database is opened, and brought up to date, when the application starts, and closed when it stops.

    Args:
        settings: How it runs.
        clock: The time it goes by; the machine's by default.
        random_number: Gives numbers from 0 up to, but not including, 1, for the jitter of retries.
        draining: Set by who runs the application, in any thread, when no new clients are to come: it then is not
            ready, and otherwise goes on.
        stopping: Set by who runs the application, on its event loop, when it is about to stop: requests that wait
            for states are then answered at once, streams of events end, and each answer is the last of its connection.
    """
    draining, stopping = draining or threading.Event(), stopping or asyncio.Event()
    metrics = Metrics(database="sqlite" if postgresql_url(settings.database) is None else "postgresql")
    application = _Application(settings, clock or SystemClock(), random_number, metrics, draining, stopping)
    edge = Edge(
        application,
        templates=application.templates,
        metrics=metrics,
        access_log=None if settings.access_log == "off" else AccessLog(settings.access_log),
        stopping=stopping.is_set,
    )
    return with_cross_origin_rules(edge, settings.cors_origins)


class _Application:
    """Builds its routes when it starts, since they need the open database."""

    def __init__(
        self,
        settings: ServerSettings,
        clock: Clock,
        random_number: Callable[[], float],
        metrics: Metrics,
        draining: threading.Event,
        stopping: asyncio.Event,
    ) -> None:
        self.templates: dict[Any, str] = {}
        self._settings = settings
        self._metrics = metrics
        self._draining = draining
        self._stopping = stopping
        self._clock = clock
        self._random_number = random_number
        self._router = Router(default=self._unrouted, redirect_slashes=False, lifespan=self._lifespan)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get(OPEN) and scope["path"] != METRICS_PATH:
            await responses.not_found(scope, receive, send)
            return
        await self._router(scope, receive, send)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: Any) -> AsyncGenerator[None, None]:
        settings = self._settings
        box = await asyncio.to_thread(settings.open_secret_box)
        store = await asyncio.to_thread(
            partial(
                open_store,
                settings.database,
                migrate=settings.migrate,
                writers=settings.writers,
                synchronous=settings.synchronous,
                logs_events=EVENTS in settings.extensions,
            )
        )
        try:
            service = Service(
                store, Context(box, clock=self._clock, random=self._random_number), strict=settings.strict
            )
            room, followers = service.waiting_room, service.followers
            store.when_states_wait(room.announce, wanted=room.is_occupied)
            store.when_runs_change(followers.announce, wanted=followers.is_occupied)

            def look_again() -> None:
                room.look_again()
                followers.look_again()

            store.when_news_are_missed(look_again)
            await service.warn_of_unreadable_secrets()
            # Where another server was at work all along, their holders could renew them.
            if store.was_unattended:
                await service.spare_leases_after_start()
            every_ms = _LOOK_FOR_OTHERS_EVERY_MS if store.is_shared else None
            crons = Scheduler("crons", service.fire_crons, self._clock, at_least_every_ms=every_ms)
            service.when_graphs_change(crons.wake)
            # Also where leases are not offered: the database may hold some from when they were.
            leases = Scheduler("leases", service.end_expired_leases, self._clock, at_least_every_ms=every_ms)
            service.when_leases_are_given(leases.wake_by)
            ring = self._looking_too(room, look_again) if store.is_shared else room.ring
            alarms = Scheduler("waiting", ring, self._clock, at_least_every_ms=every_ms)
            room.when_alarms_change(alarms.wake_by)
            store.observe(self._metrics)
            gate = Authenticator(settings.api_key, store, self._clock)
            routes = [
                *build_routes(
                    service,
                    gate,
                    extensions=settings.extensions,
                    strict=settings.strict,
                    largest_body=settings.largest_body,
                ),
                _document_route(settings),
                Route(READY_PATH, Ready(store, await asyncio.to_thread(revisions), self._is_leaving)),
                Route(METRICS_PATH, self._metrics_page(store, service.waiting_room, gate)),
            ]
            self.templates.update({route.endpoint: route.path for route in routes if isinstance(route, Route)})
            self._router.routes = routes
            running = [
                asyncio.create_task(work, name=f"exospherehost-{name}")
                for name, work in (
                    ("crons", crons.run()),
                    ("leases", leases.run()),
                    ("waiting", alarms.run()),
                    ("keys", gate.end_holds()),
                    ("stopping", self._close_when_stopping(room, followers)),
                    ("lag", measure_loop_lag(self._metrics)),
                )
            ]
            if settings.keep_runs is not None:
                pruning = Scheduler("pruning", partial(service.prune_runs, settings.keep_runs), self._clock)
                running.append(asyncio.create_task(pruning.run(), name="exospherehost-pruning"))
            try:
                yield
            finally:
                room.close()
                followers.close()
                for task in running:
                    task.cancel()
                await asyncio.wait(running)
        finally:
            await asyncio.to_thread(store.close)

    def _looking_too(self, room: WaitingRoom, look_again: Callable[[], None]) -> Callable[[], Awaitable[int | None]]:
        """Return what rings the waiting room's alarms, and every few seconds has all who wait look for themselves."""
        look_at = 0

        async def ring() -> int | None:
            nonlocal look_at
            if self._clock.now_ms() >= look_at:
                look_at = self._clock.now_ms() + _LOOK_FOR_OTHERS_EVERY_MS
                look_again()
            return await room.ring()

        return ring

    def _metrics_page(self, store: SqlStore, room: WaitingRoom, gate: Authenticator) -> MetricsPage:
        return MetricsPage(
            self._metrics,
            store,
            self._clock,
            waiting=lambda: (store.writes_waiting, room.claimers),
            refuse=partial(_refusal_of_metrics, gate),
        )

    def _is_leaving(self) -> bool:
        return self._draining.is_set() or self._stopping.is_set()

    async def _close_when_stopping(self, room: WaitingRoom, followers: Followers) -> None:
        await self._stopping.wait()
        room.close()
        followers.close()

    async def _unrouted(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._matches(_other_spelling(scope["path"])):
            answer = responses.redirect(_other_address(scope))
        else:
            answer = responses.not_found
        await answer(scope, receive, send)

    def _matches(self, path: str) -> bool:
        scope = {"type": "http", "path": path, "root_path": "", "method": "GET"}
        return any(route.matches(scope)[0] is not Match.NONE for route in self._router.routes)


async def _refusal_of_metrics(gate: Authenticator, scope: Scope) -> ASGIApp | None:
    admitted = await gate.admit(scope)
    if not isinstance(admitted, Access):
        return admitted
    if admitted.namespaces is None:
        return None
    return responses.refusal(403, "The metrics tell of every namespace: they need an API key for all of them")


def _document_route(settings: ServerSettings) -> BaseRoute:
    body = json.dumps(offered_document(full_document(), settings.extensions)).encode("ascii")
    document = responses.JsonAnswer(200, body)
    not_allowed = responses.method_not_allowed(["GET"])

    class Document:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await (document if scope["method"] == "GET" else not_allowed)(scope, receive, send)

    return Route("/openapi.json", Document())


def _other_spelling(path: str) -> str:
    return path.removesuffix("/") if path.endswith("/") else f"{path}/"


def _other_address(scope: Scope) -> str:
    """Return the absolute address of the same path with, or without, its trailing slash."""
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    if not host:
        address, port = scope.get("server") or ("localhost", None)
        host = (address if port is None else f"{address}:{port}").encode("ascii")
    # From the path as it was sent, whose encoding then stays what it was.
    path = _other_spelling(scope["raw_path"].decode("ascii"))
    query = scope.get("query_string", b"")
    return f"{scope['scheme']}://{host.decode('latin-1')}{path}" + (f"?{query.decode('ascii')}" if query else "")

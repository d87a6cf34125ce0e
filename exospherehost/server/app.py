"""The ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import threading
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Any

from starlette.routing import BaseRoute, Match, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from exospherehost.dashboard import DASHBOARD_PATH, Dashboard
from exospherehost.server.background import connect_news, running, scheduled_work
from exospherehost.server.database_lock import hold_database
from exospherehost.server.domain.clock import Clock, SystemClock
from exospherehost.server.http import responses
from exospherehost.server.http.authentication import Authenticator
from exospherehost.server.http.middleware import Edge, with_cross_origin_rules
from exospherehost.server.http.monitoring import METRICS_PATH, OPEN, READY_PATH, MetricsPage, Ready, measure_loop_lag
from exospherehost.server.http.routes import build_routes
from exospherehost.server.http.served_document import full_document, offered_document
from exospherehost.server.http.session_routes import SESSION_PATH, SessionEndpoint
from exospherehost.server.observability.access_log import AccessLog
from exospherehost.server.observability.metrics import Metrics
from exospherehost.server.security.access import Access
from exospherehost.server.security.sessions import Sessions
from exospherehost.server.service.context import Context
from exospherehost.server.service.service import Service
from exospherehost.server.settings import ServerSettings
from exospherehost.server.storage.migrations import revisions
from exospherehost.server.storage.opening import open_store
from exospherehost.server.storage.sql.database_url import postgresql_url
from exospherehost.server.storage.sql.store import SqlStore
from exospherehost_client.extensions import EVENTS

_DOCUMENT_PATH = "/openapi.json"
_DOCUMENT_PAGES = ("/docs", "/redoc")


def create_app(
    settings: ServerSettings,
    *,
    clock: Clock | None = None,
    random_number: Callable[[], float] = random.random,
    draining: threading.Event | None = None,
    stopping: asyncio.Event | None = None,
    sessions: Sessions | None = None,
) -> ASGIApp:
    """Return the state manager as an ASGI application.

    The application opens its database and upgrades the schema when it starts, and closes the database when it stops.

    Args:
        settings: The server's settings.
        clock: The server's clock; the machine's by default.
        random_number: Returns numbers from 0 up to, but not including, 1, for the jitter of retries.
        draining: Set by the caller, in any thread, when no new clients are to come: ``/ready`` then answers 503 and
            everything else goes on.
        stopping: Set by the caller, on the event loop, just before the stop: requests that wait for states are then
            answered at once, streams of events end, and each response is the last of its connection.
        sessions: The dashboard's sessions and links, for a caller that makes links; its own by default.
    """
    draining, stopping = draining or threading.Event(), stopping or asyncio.Event()
    metrics = Metrics(database="sqlite" if postgresql_url(settings.database) is None else "postgresql")
    clock = clock or SystemClock()
    sessions = sessions or Sessions(clock)
    application = _Application(settings, clock, random_number, metrics, draining, stopping, sessions)
    edge = Edge(
        application,
        templates=application.templates,
        metrics=metrics,
        access_log=None if settings.access_log == "off" else AccessLog(settings.access_log),
        stopping=stopping.is_set,
    )
    return with_cross_origin_rules(edge, settings.cors_origins)


class _Application:
    """Builds its routes when it starts, because they need the open database."""

    def __init__(
        self,
        settings: ServerSettings,
        clock: Clock,
        random_number: Callable[[], float],
        metrics: Metrics,
        draining: threading.Event,
        stopping: asyncio.Event,
        sessions: Sessions,
    ) -> None:
        self.templates: dict[Any, str] = {}
        self._settings = settings
        self._metrics = metrics
        self._draining = draining
        self._stopping = stopping
        self._sessions = sessions
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
        async with self._open_service() as (store, service):
            authenticator = Authenticator(self._settings.api_key, store, self._clock, self._sessions)
            self._route(await self._routes(store, service, authenticator))
            work = {
                **scheduled_work(store, service, self._clock, self._settings.keep_runs),
                "keys": authenticator.end_holds(),
                "stopping": self._close_when_stopping(service),
                "lag": measure_loop_lag(self._metrics),
            }
            async with running(work):
                try:
                    yield
                finally:
                    service.close()

    @contextlib.asynccontextmanager
    async def _open_service(self) -> AsyncGenerator[tuple[SqlStore, Service], None]:
        """Open the database, which no other server may use if it is a file, and close it at the end of the block."""
        settings = self._settings
        with hold_database(settings.database):
            box = await asyncio.to_thread(settings.open_secret_box)
            async with self._open_store() as store:
                context = Context(box, clock=self._clock, random=self._random_number)
                service = Service(store, context, strict=settings.strict)
                connect_news(store, service)
                store.observe(self._metrics)
                await service.warn_of_unreadable_secrets()
                # Where another server worked on meanwhile, runtimes could renew their leases there.
                if store.was_unattended:
                    await service.spare_leases_after_start()
                yield store, service

    @contextlib.asynccontextmanager
    async def _open_store(self) -> AsyncGenerator[SqlStore, None]:
        settings = self._settings
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
            yield store
        finally:
            await asyncio.to_thread(store.close)

    async def _routes(self, store: SqlStore, service: Service, authenticator: Authenticator) -> list[BaseRoute]:
        settings = self._settings
        metrics_page = MetricsPage(
            self._metrics,
            store,
            self._clock,
            waiting=lambda: (store.writes_waiting, service.waiting_room.claimers),
            refuse=partial(_refusal_of_metrics, authenticator),
        )
        return [
            *build_routes(
                service,
                authenticator,
                extensions=settings.extensions,
                strict=settings.strict,
                largest_body=settings.largest_body,
            ),
            *_document_routes(settings),
            *(_dashboard_routes(authenticator, self._sessions) if settings.ui else ()),
            Route(READY_PATH, Ready(store, await asyncio.to_thread(revisions), self._is_leaving)),
            Route(METRICS_PATH, metrics_page),
        ]

    def _route(self, routes: list[BaseRoute]) -> None:
        self.templates.update({route.endpoint: route.path for route in routes if isinstance(route, Route)})
        self._router.routes = routes

    def _is_leaving(self) -> bool:
        return self._draining.is_set() or self._stopping.is_set()

    async def _close_when_stopping(self, service: Service) -> None:
        await self._stopping.wait()
        service.close()

    async def _unrouted(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._matches(_other_spelling(scope["path"])):
            response = responses.redirect(_other_address(scope))
        else:
            response = responses.not_found
        await response(scope, receive, send)

    def _matches(self, path: str) -> bool:
        scope = {"type": "http", "path": path, "root_path": "", "method": "GET"}
        return any(route.matches(scope)[0] is not Match.NONE for route in self._router.routes)


async def _refusal_of_metrics(authenticator: Authenticator, scope: Scope) -> ASGIApp | None:
    admitted = await authenticator.admit(scope)
    if not isinstance(admitted, Access):
        return admitted
    if admitted.namespaces is None:
        return None
    return responses.refusal(403, "The metrics cover every namespace: use an API key for all of them")


def _dashboard_routes(authenticator: Authenticator, sessions: Sessions) -> list[BaseRoute]:
    """Return the routes of the dashboard; the server's own address leads there."""
    page = Dashboard()
    not_allowed = responses.method_not_allowed(["GET"])

    class LeadsThere:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            there = responses.redirect(_address(scope, f"{DASHBOARD_PATH}/"))
            await (there if scope["method"] == "GET" else not_allowed)(scope, receive, send)

    return [
        Route("/", LeadsThere()),
        Route(SESSION_PATH, SessionEndpoint(authenticator, sessions)),
        Route(DASHBOARD_PATH, LeadsThere()),
        Route(f"{DASHBOARD_PATH}/{{path:path}}", page),
    ]


def _document_routes(settings: ServerSettings) -> list[BaseRoute]:
    """Return the routes of the OpenAPI document, and of the pages where FastAPI services show theirs."""
    body = json.dumps(offered_document(full_document(), settings.extensions)).encode("ascii")
    document = responses.JsonResponse(200, body)
    not_allowed = responses.method_not_allowed(["GET"])

    class Document:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await (document if scope["method"] == "GET" else not_allowed)(scope, receive, send)

    class LeadsThere:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            there = responses.redirect(_address(scope, f"{DASHBOARD_PATH}/api" if settings.ui else _DOCUMENT_PATH))
            await (there if scope["method"] == "GET" else not_allowed)(scope, receive, send)

    return [Route(_DOCUMENT_PATH, Document()), *(Route(path, LeadsThere()) for path in _DOCUMENT_PAGES)]


def _other_spelling(path: str) -> str:
    return path.removesuffix("/") if path.endswith("/") else f"{path}/"


def _other_address(scope: Scope) -> str:
    """Return the absolute address of the same path with, or without, its trailing slash."""
    # From the raw path, which keeps its encoding.
    return _address(scope, _other_spelling(scope["raw_path"].decode("ascii")))


def _address(scope: Scope, path: str) -> str:
    """Return the absolute address of a path of this server, with the request's query."""
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    if not host:
        address, port = scope.get("server") or ("localhost", None)
        host = (address if port is None else f"{address}:{port}").encode("ascii")
    query = scope.get("query_string", b"")
    return f"{scope['scheme']}://{host.decode('latin-1')}{path}" + (f"?{query.decode('ascii')}" if query else "")

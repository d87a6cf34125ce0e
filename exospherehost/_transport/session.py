"""The session: sends requests with retries, failover, redaction, and errors in place of statuses."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self, TypeVar

from exospherehost._config import DEFAULT_API_VERSION, VERSION, ConnectionSettings
from exospherehost._errors import (
    APIConnectionError,
    APIError,
    BadRequestError,
)
from exospherehost._redaction import Message, Redactor
from exospherehost._transport.carrier import Carrier, CarrierFactory
from exospherehost._transport.extensions import ASK_AGAIN_SECONDS, DOCUMENT, ServiceMemory, read_extensions
from exospherehost._transport.responses import error_of
from exospherehost._transport.retry import Backoff, is_transient, never_reached_the_service
from exospherehost_client import errors as client_errors
from exospherehost_client.types import RawResponse, Request, Response

logger = logging.getLogger(__name__)

T = TypeVar("T")


_DEFAULT_PREFIX = f"/{DEFAULT_API_VERSION}/"


class Session:
    """Speaks to the service over the carriers that it makes; an async context manager.

    `RuntimeSession` and `ManagerSession` add the operations that each caller needs. A session belongs to the event
    loop that it was entered in.

    Args:
        settings: where the service is.
        make_carrier: makes what carries the requests, one for each service that the settings name.
        memory: shared by the sessions of one owner.
        backoff: how to try again what may be sent again.
    """

    def __init__(
        self,
        settings: ConnectionSettings,
        make_carrier: CarrierFactory,
        memory: ServiceMemory | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self._settings = settings
        self._memory = memory or ServiceMemory()
        self._backoff = backoff or Backoff()
        self._redact = Redactor(settings.protected_values())
        self._namespace = settings.namespace
        self._carriers = [make_carrier(settings, uri, f"exospherehost-python/{VERSION}") for uri in settings.uris]

    @property
    def carrier(self) -> Carrier:
        """The carrier to the service in use."""
        return self._carriers[self._memory.current]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        for carrier in self._carriers:
            await carrier.aclose()

    # ---- extensions ----------------------------------------------------------------------------

    async def extensions(self, backoff: Backoff | None = None) -> frozenset[str]:
        """Tell which extensions the service has, from the document that it serves.

        Asked once for each service. An answer that says nothing counts as "none" and is remembered;
        a transient fault is raised and not remembered.

        Args:
            backoff: how to ask again after a transient fault. Default: the session's.

        Raises:
            APIError: the service could not be asked.
        """
        uri = self._settings.uris[self._memory.current]
        known = self._memory.extensions.get(uri)
        return known if known is not None else await self._ask_for_extensions(uri, is_transient, backoff)

    async def _ask_for_extensions(
        self, uri: str, may_resend: Callable[[APIError], bool], backoff: Backoff | None = None
    ) -> frozenset[str]:
        found = (await self.send(DOCUMENT, read_extensions, may_resend=may_resend, backoff=backoff)).parsed
        self._memory.extensions[uri] = found
        return found

    async def learn_extensions(self) -> None:
        """Ask which extensions the service has, and again after transient faults; goes on without in the end."""
        await self._try_to_learn(may_resend=is_transient)

    async def _try_to_learn(self, may_resend: Callable[[APIError], bool]) -> frozenset[str]:
        uri = self._settings.uris[self._memory.current]
        try:
            return await self._ask_for_extensions(uri, may_resend)
        except APIError as error:
            self._memory.asked_in_vain = time.monotonic()
            logger.debug("event=extensions_unknown reason=%s", error)
            return frozenset()

    async def offers(self, extension: str) -> bool:
        """Tell whether the service has an extension; no, while it cannot be asked."""
        uri = self._settings.uris[self._memory.current]
        known = self._memory.extensions.get(uri)
        if known is None:
            if time.monotonic() - self._memory.asked_in_vain < ASK_AGAIN_SECONDS:
                return False
            # Once: work goes on without them meanwhile.
            known = await self._try_to_learn(may_resend=lambda _: False)
        return extension in known

    @property
    def most_requests(self) -> int:
        """How many requests are under way at once; further ones wait."""
        return self.carrier.most_requests

    def is_known_to_offer(self, extension: str) -> bool:
        """Tell whether the service is known to have an extension, without asking it."""
        return extension in self._memory.extensions.get(self._settings.uris[self._memory.current], ())

    def forget_extensions(self) -> None:
        """Ask again: the service answered 404 or 405 to what it said it had."""
        self._memory.extensions.pop(self._settings.uris[self._memory.current], None)

    # ---- sending -------------------------------------------------------------------------------

    async def send(
        self,
        request: Request,
        parse: Callable[[RawResponse], Response[T]],
        *,
        may_resend: Callable[[APIError], bool] = lambda _: False,
        protect: Iterable[str] = (),
        backoff: Backoff | None = None,
    ) -> Response[T]:
        request = self._versioned(request)
        redact = Redactor((*self._settings.protected_values(), *protect)) if protect else self._redact
        started = time.monotonic()
        attempt = 0
        may_have_arrived = False
        while True:
            attempt += 1
            try:
                return self.parsed(await self._carry(request, redact), parse, request, redact)
            except APIError as error:
                if isinstance(error, APIConnectionError):
                    # What an earlier attempt has sent is not undone by one that has reached nothing.
                    error.sent = error.sent or may_have_arrived
                may_have_arrived = may_have_arrived or not never_reached_the_service(error)
                if isinstance(error, BadRequestError) or not may_resend(error):
                    raise
                delay = (backoff or self._backoff).delay(attempt, time.monotonic() - started, error)
                if delay is None:
                    raise
                logger.debug(
                    "event=resend method=%s path=%s attempt=%d delay=%.3f", request.method, request.path, attempt, delay
                )
            await asyncio.sleep(delay)

    @staticmethod
    def parsed(
        raw: RawResponse, parse: Callable[[RawResponse], Response[T]], request: Request, redact: Redactor
    ) -> Response[T]:
        try:
            return parse(raw)
        except client_errors.ApiError as error:
            # Raised outside of this block: the generated error holds the body, and a context would keep it.
            failure = error_of(error, request, redact)
        raise failure

    async def _carry(self, request: Request, redact: Redactor) -> RawResponse:
        """Send to the service in use, moving on to the next one when it cannot be reached."""
        tried = 0
        while True:
            index = self._memory.current
            try:
                return await self._carriers[index].send(request)
            except APIConnectionError as error:
                tried += 1
                self._move_on(index)
                if not error.sent and tried < len(self._carriers):
                    continue
                failure = self._lost(error, request, index, redact)
            raise failure

    def _move_on(self, index: int) -> None:
        # Another request may have moved on already.
        if self._memory.current == index:
            self._memory.current = (index + 1) % len(self._carriers)

    def _lost(self, error: APIConnectionError, request: Request, index: int, redact: Redactor) -> APIConnectionError:
        uri = self._settings.uris[index]
        where = f"{request.method} {request.path}"
        text = redact(Message("{}: no response from the state manager at {} ({})", where, uri, error))
        return type(error)(text, sent=error.sent)

    def _versioned(self, request: Request) -> Request:
        if self._settings.api_version == DEFAULT_API_VERSION or not request.path.startswith(_DEFAULT_PREFIX):
            return request
        path = f"/{self._settings.api_version}/{request.path.removeprefix(_DEFAULT_PREFIX)}"
        return dataclasses.replace(request, path=path)

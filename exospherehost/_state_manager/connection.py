"""What every face of the state manager stands on: settings, a pool of connections, known extensions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

from exospherehost._config import KEEPS_A_KEY, ConnectionSettings
from exospherehost._errors import APIStatusError, UnsupportedByServerError
from exospherehost._transport.dual_carrier import DualCarrier
from exospherehost._transport.extensions import ServiceMemory
from exospherehost._transport.manager_session import ManagerSession

if TYPE_CHECKING:
    from exospherehost_client import AuthenticatedClient

T = TypeVar("T")


class ServiceConnection:
    """Speaks to the service that the settings name."""

    def __init__(self, settings: ConnectionSettings) -> None:
        self._settings = settings
        self._memory = ServiceMemory()
        self._session: ManagerSession | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(namespace={self._settings.namespace!r})"

    @property
    def namespace(self) -> str:
        """The namespace that the calls are about."""
        return self._settings.namespace

    def __reduce__(self) -> NoReturn:
        raise TypeError(KEEPS_A_KEY.format(type(self).__name__))

    async def __aenter__(self) -> Self:
        if self._session is not None:
            raise RuntimeError("this object is open already; make another one, or leave the first block")
        self._session = self._new_session()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the pool of connections; calling it again changes nothing."""
        session, self._session = self._session, None
        if session is not None:
            await session.aclose()

    @property
    def raw_client(self) -> AuthenticatedClient:
        """The generated client, authenticated, for every endpoint that has no method here.

        It speaks httpx, over a pool of its own. Inside `async with`, that is closed with this object. Outside,
        use the client as a context manager.
        """
        session = self._session if self._session is not None else self._new_session()
        carrier = session.carrier
        assert isinstance(carrier, DualCarrier)  # noqa: S101 - what _new_session makes
        return carrier.client

    # ---- inside --------------------------------------------------------------------------------

    @asynccontextmanager
    async def _connected(self) -> AsyncGenerator[ManagerSession, None]:
        if self._session is not None:
            yield self._session
            return
        async with self._new_session() as session:
            yield session

    def _new_session(self) -> ManagerSession:
        return ManagerSession(self._settings, DualCarrier, self._memory)

    async def _with_extension(
        self, session: ManagerSession, extension: str, send: Callable[[], Coroutine[Any, Any, T]]
    ) -> T:
        """Send a request that needs an extension.

        Raises:
            UnsupportedByServerError: the service does not have it; nothing was sent.
        """
        if extension in await session.extensions():
            try:
                return await send()
            except APIStatusError as error:
                if error.status_code not in (404, 405):
                    raise
                # Either what was asked for is unknown, or the service has lost the extension since it was asked.
                session.forget_extensions()
                if extension in await session.extensions():
                    raise
        raise UnsupportedByServerError(
            f"this service does not have the extension {extension!r}, and nothing was done: use one that has it, such "
            f"as `exospherehost serve` without `--without {extension}`"
        )

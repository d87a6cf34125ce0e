"""Calls of a service from a command: the connection, and each error as one line with its exit status."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

import click
import httpx

from exospherehost._errors import (
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    AuthenticationError,
    ConfigurationError,
    ExosphereError,
    TriggerOutcomeUnknownError,
)
from exospherehost._state_manager.state_manager import StateManager
from exospherehost.cli.options.connection import Connection
from exospherehost_client import AuthenticatedClient
from exospherehost_client.api.nodes import list_namespaces
from exospherehost_client.errors import ApiError

FAILED = 1
"""The exit status if a run or a check failed."""

T = TypeVar("T")


class NotFoundFailure(click.ClickException):
    """What the command is about does not exist."""

    exit_code = 3


class RefusedFailure(click.ClickException):
    """The service refused the key or the request."""

    exit_code = 4


class UnreachableFailure(click.ClickException):
    """The service could not be reached, or failed."""

    exit_code = 5


def call(connection: Connection, work: Callable[[StateManager], Coroutine[Any, Any, T]]) -> T:
    """Do something with a state manager in the connection's namespace.

    Args:
        connection: The service. Without a namespace, the only one of the service is used.
        work: Gets the state manager, which is closed afterwards.

    Raises:
        click.ClickException: It failed; with the exit status of its kind.
    """
    with plain_service_errors(connection):
        return asyncio.run(_with_manager(connection, work))


def call_raw(connection: Connection, work: Callable[[AuthenticatedClient], T]) -> T:
    """Do something with the raw client, for operations that belong to no namespace.

    Raises:
        click.ClickException: It failed; with the exit status of its kind.
    """
    with plain_service_errors(connection), AuthenticatedClient(connection.uri, connection.key) as client:
        return work(client)


@contextmanager
def plain_service_errors(connection: Connection) -> Generator[None, None, None]:
    """Show errors of a service as one line, with the exit status of their kind."""
    try:
        yield
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error
    except AuthenticationError as error:
        raise RefusedFailure(f"{error} (the key comes from {connection.source})") from error
    except (APIConnectionError, TriggerOutcomeUnknownError, httpx.TransportError) as error:
        raise UnreachableFailure(f"{error} (the address comes from {connection.source})") from error
    except (ExosphereError, ApiError) as error:
        if isinstance(error, ApiError) and error.status_code in (401, 403):
            raise RefusedFailure(f"{error} (the key comes from {connection.source})") from error
        raise _kind_of(error)(str(error)) from error


def _kind_of(error: ExosphereError | ApiError) -> type[click.ClickException]:
    if isinstance(error, APIResponseError):
        return UnreachableFailure
    code = error.status_code if isinstance(error, APIStatusError | ApiError) else 0
    if code == 404:
        return NotFoundFailure
    return UnreachableFailure if code >= 500 else RefusedFailure


async def _with_manager(connection: Connection, work: Callable[[StateManager], Coroutine[Any, Any, T]]) -> T:
    # A namespace is needed to make one; it plays no part in listing them.
    namespace = connection.namespace or await _only_namespace(connection)
    async with StateManager(namespace, connection.uri, connection.key) as manager:
        return await work(manager)


async def _only_namespace(connection: Connection) -> str:
    async with AuthenticatedClient(connection.uri, connection.key) as client:
        names = sorted((await list_namespaces.asyncio(client=client)).namespaces)
    if len(names) == 1:
        return names[0]
    if not names:
        raise click.UsageError("the service has no namespace yet: register nodes or put a graph, or give --namespace")
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    raise click.UsageError(f"the service has several namespaces, so give --namespace: {shown}")

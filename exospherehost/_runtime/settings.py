"""The settings of a runtime, checked."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exospherehost._config import ConnectionSettings
from exospherehost._errors import ConfigurationError
from exospherehost._nodes.checks import check_nodes
from exospherehost._nodes.node import BaseNode
from exospherehost_client.limits import LEASE_MS_MAX, LEASE_MS_MIN

_SHORTEST_LEASE, _LONGEST_LEASE = LEASE_MS_MIN / 1_000, LEASE_MS_MAX / 1_000


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """The settings of a runtime; `Runtime` says what each means.

    Attributes:
        settings: where the service is.
        name: the runtime's name.
        nodes: the node classes by name.
        batch_size: the most states in one claim, and claimed ahead of the workers.
        workers: the most states executed at once.
        poll_interval: the longest wait between two claims when idle, seconds.
        grace_period: how long running states may go on after a stop, seconds.
        lease: the length of a lease, seconds; None to ask for none.
        lifespan: opens what nodes share.
        journal: the file that keeps claims and outcomes.
    """

    settings: ConnectionSettings
    name: str
    nodes: Mapping[str, type[BaseNode]]
    batch_size: int
    workers: int
    poll_interval: float
    grace_period: float
    lease: float | None
    lifespan: Callable[[], AbstractAsyncContextManager[Any]] | None
    journal: Path | None


def checked_settings(
    *,
    settings: ConnectionSettings,
    name: str,
    nodes: Sequence[type[BaseNode]],
    batch_size: int,
    workers: int,
    poll_interval: float,
    grace_period: float,
    lease: float | None,
    lifespan: Callable[[], AbstractAsyncContextManager[Any]] | None,
    journal: str | Path | None,
) -> RuntimeSettings:
    """Check the arguments of a runtime.

    Raises:
        ConfigurationError: One breaks a rule; the message names it, its value and the remedy.
    """
    if not isinstance(name, str) or not name.strip():
        raise ConfigurationError(f"name={name!r} is empty or no text; pass name= what the service's lists are to show")
    return RuntimeSettings(
        settings=settings,
        name=name,
        nodes={node.__name__: node for node in _nodes(nodes)},
        batch_size=_whole("batch_size", batch_size),
        workers=_whole("workers", workers),
        poll_interval=_seconds("poll_interval", poll_interval, above_zero=True),
        grace_period=_seconds("grace_period", grace_period, above_zero=False),
        lease=_lease(lease),
        lifespan=_lifespan(lifespan),
        journal=_path("journal", journal),
    )


def _nodes(nodes: Sequence[type[BaseNode]]) -> tuple[type[BaseNode], ...]:
    if not isinstance(nodes, Iterable):
        raise ConfigurationError(f"nodes={nodes!r} is not a list of node classes")
    found = tuple(nodes)
    if not found:
        raise ConfigurationError("nodes is empty: a runtime without nodes executes nothing; pass node classes")
    check_nodes(found)
    return found


def _lease(lease: float | None) -> float | None:
    if lease is None:
        return None
    if not _SHORTEST_LEASE <= _seconds("lease", lease, above_zero=True) <= _LONGEST_LEASE:
        raise ConfigurationError(
            f"lease={lease!r} is not between {_SHORTEST_LEASE:g} and {_LONGEST_LEASE:,.0f} seconds; "
            "None asks for no leases"
        )
    return float(lease)


def _lifespan(
    lifespan: Callable[[], AbstractAsyncContextManager[Any]] | None,
) -> Callable[[], AbstractAsyncContextManager[Any]] | None:
    if lifespan is not None and (not callable(lifespan) or inspect.isasyncgenfunction(lifespan)):
        raise ConfigurationError(
            f"lifespan={lifespan!r} is not a function that makes an async context manager; "
            "decorate an async generator with contextlib.asynccontextmanager"
        )
    return lifespan


def _path(name: str, value: str | Path | None) -> Path | None:
    if value is None:
        return None
    if not isinstance(value, str | Path) or not str(value).strip():
        raise ConfigurationError(f"{name}={value!r} is not the path of a file")
    return Path(value)


def _whole(name: str, value: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigurationError(f"{name}={value!r} is not a whole number of at least 1")
    return value


def _seconds(name: str, value: float, *, above_zero: bool) -> float:
    valid = isinstance(value, int | float) and (value > 0 if above_zero else value >= 0)
    if not valid:
        bound = "above zero" if above_zero else "of at least zero"
        raise ConfigurationError(f"{name}={value!r} is not a number of seconds {bound}")
    return float(value)

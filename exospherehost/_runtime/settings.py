"""What a runtime is to do: its checked settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exospherehost._config import ConnectionSettings
from exospherehost._nodes.node import BaseNode


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

"""Making and running runtimes in tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from exospherehost import BaseNode, Runtime
from tests._support.http_service import HttpService

KEY = "test-api-key-0123456789"


def make_runtime(service: HttpService | str, *nodes: type[BaseNode], **options: Any) -> Runtime:
    """A runtime that looks for work often and ends soon."""
    uri = service if isinstance(service, str) else service.uri
    arguments: dict[str, Any] = {"poll_interval": 0.05, "grace_period": 5, "key": KEY, **options}
    return Runtime("ns", "test-runtime", list(nodes), uri, **arguments)


@asynccontextmanager
async def running(runtime: Runtime) -> AsyncIterator[asyncio.Task[None]]:
    """Run a runtime beside the block, and stop it at its end."""
    task = asyncio.ensure_future(runtime.run())
    try:
        yield task
    finally:
        runtime.stop()
        await asyncio.wait_for(task, 20)

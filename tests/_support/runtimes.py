"""Making and running runtimes in tests."""

from __future__ import annotations

import asyncio
import threading
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


def threads_left() -> list[threading.Thread]:
    """The threads of runtimes and managers that go on; not those of a server, which other tests may have started."""
    others = ("exospherehost-server", "exospherehost-import-")
    threads = [each for each in threading.enumerate() if each.name.startswith("exospherehost-")]
    return [each for each in threads if not each.name.startswith(others)]

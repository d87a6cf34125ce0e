"""Calling an operation by each of its faces, without a network."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from exospherehost_client import AuthenticatedClient

KEY = "key-that-must-not-show"
Answer = Callable[[httpx.Request], httpx.Response]


class Caller:
    """Calls operations in one way, against answers that a test gives.

    Attributes:
        face: `sync`, `sync_detailed`, `asyncio` or `asyncio_detailed`.
        requests: What was sent.
    """

    def __init__(self, face: str) -> None:
        self.face = face
        self.requests: list[httpx.Request] = []

    def client(self, answer: httpx.Response | Answer, **options: Any) -> AuthenticatedClient:
        def handle(request: httpx.Request) -> httpx.Response:
            self.requests.append(request)
            return answer if isinstance(answer, httpx.Response) else answer(request)

        transport = httpx.MockTransport(handle)
        return AuthenticatedClient(
            options.pop("base_url", "http://service.test"),
            KEY,
            transport=transport,
            async_transport=transport,
            **options,
        )

    def __call__(self, operation: Any, *arguments: Any, client: AuthenticatedClient, **named: Any) -> Any:
        """Call, close the client, and give the parsed body."""
        function = getattr(operation, self.face)
        if self.face.startswith("asyncio"):

            async def call() -> Any:
                async with client:
                    return await function(*arguments, client=client, **named)

            result = asyncio.run(call())
        else:
            with client:
                result = function(*arguments, client=client, **named)
        return result.parsed if self.face.endswith("detailed") else result


@pytest.fixture(params=["sync", "sync_detailed", "asyncio", "asyncio_detailed"])
def call(request: pytest.FixtureRequest) -> Caller:
    return Caller(request.param)

"""Time-outs, headers, proxy, verification and client certificates reach the connection."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exospherehost import APIConnectionError, APITimeoutError, ConfigurationError, StateManager, Timeouts
from exospherehost._transport.httpx_carrier import MAX_CONNECTIONS
from exospherehost._transport.pyreqwest_carrier import MAX_CONNECTIONS as MOST_OF_PYREQWEST
from tests._support.certificates import Certificate, make_certificate
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager
from tests._support.graph_json import graph_answer, graph_node
from tests._support.http_service import Answer, Asked, HttpService
from tests._support.nodes import Echo
from tests._support.runtimes import KEY, make_runtime, running

GRAPH = graph_answer(graph_node("a"))

pytestmark = pytest.mark.usefixtures("carrier")


def _manager(uri: str, **options: Any) -> StateManager:
    return StateManager("ns", uri, KEY, **options)


async def test_headers_go_with_every_request_and_the_key_stays(service: FakeStateManager) -> None:
    service.graphs["g"] = GRAPH
    headers = {"x-tenant": "seven", "X-API-Key": "not this one"}

    await _manager(service.uri, headers=headers).get_graph("g")
    async with running(make_runtime(service, Echo, headers=headers)):
        await eventually(lambda: len(service.claims) > 1)

    sent = [{name.lower(): value for name, value in asked.headers.items()} for asked in service.asked]
    assert {one["x-tenant"] for one in sent} == {"seven"}
    assert {one["x-api-key"] for one in sent} == {KEY}
    assert all(one["user-agent"].startswith("exospherehost-python/") for one in sent)


async def test_read_timeout_ends_a_request(service: FakeStateManager) -> None:
    released = threading.Event()

    def late(_: Asked) -> Answer:
        released.wait(20)
        return Answer(200, GRAPH)

    service.before = late
    started = time.monotonic()
    try:
        with pytest.raises(APITimeoutError) as caught:
            await _manager(service.uri, timeouts=Timeouts(read=0.05)).get_graph("g")
    finally:
        released.set()

    assert isinstance(caught.value, TimeoutError)
    assert caught.value.sent
    assert time.monotonic() - started < 15


async def test_pool_timeout_ends_the_wait_for_a_connection(service: FakeStateManager, carrier: str) -> None:
    most = MAX_CONNECTIONS if carrier == "httpx" else MOST_OF_PYREQWEST
    released = threading.Event()

    def late(asked: Asked) -> Answer:
        if asked.path.endswith("/held"):
            released.wait(20)
        return Answer(200, GRAPH)

    service.before = late
    async with _manager(service.uri, timeouts=Timeouts(pool=0.05)) as manager:
        held = [asyncio.ensure_future(manager.get_graph("held")) for _ in range(most)]
        try:
            await eventually(lambda: len(service.asked) == most)
            with pytest.raises(APITimeoutError) as caught:
                await manager.get_graph("other")
        finally:
            released.set()
        await asyncio.gather(*held)

    assert not caught.value.sent
    assert not any(path.endswith("/other") for path in service.paths())


async def test_proxy_carries_the_requests(service: FakeStateManager) -> None:
    with HttpService(lambda _: Answer(200, GRAPH)) as proxy:
        graph = await _manager("http://somewhere.invalid:81", proxy=proxy.uri).get_graph("g")

    assert graph == GRAPH
    assert proxy.paths() == ["http://somewhere.invalid:81/v0/namespace/ns/graph/g"]
    assert service.paths() == []


async def test_unreachable_proxy_is_a_connection_error_without_its_password() -> None:
    with pytest.raises(APIConnectionError) as caught:
        await _manager("http://somewhere.invalid", proxy="http://user:pa55word@127.0.0.1:1").get_graph("g")

    assert not caught.value.sent
    assert "pa55word" not in str(caught.value)


@pytest.fixture
def server_certificate(tmp_path: Path) -> Certificate:
    return make_certificate(tmp_path, "server")


@pytest.fixture
def client_certificate(tmp_path: Path) -> Certificate:
    return make_certificate(tmp_path, "client")


@pytest.fixture
def https(server_certificate: Certificate) -> Iterator[FakeStateManager]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(server_certificate.certificate, server_certificate.key)
    with FakeStateManager(tls=context) as service:
        service.graphs["g"] = GRAPH
        yield service


@pytest.fixture
def https_asking_for_certificate(
    server_certificate: Certificate, client_certificate: Certificate
) -> Iterator[FakeStateManager]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=client_certificate.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(server_certificate.certificate, server_certificate.key)
    with FakeStateManager(tls=context) as service:
        service.graphs["g"] = GRAPH
        yield service


async def test_unknown_certificate_is_refused(https: FakeStateManager) -> None:
    with pytest.raises(APIConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        await _manager(https.uri).get_graph("g")

    assert https.paths() == []


async def test_verify_takes_a_file_of_authorities(https: FakeStateManager, server_certificate: Certificate) -> None:
    manager = _manager(https.uri, verify=str(server_certificate.certificate))

    assert await manager.get_graph("g") == GRAPH


async def test_verify_takes_a_context(https: FakeStateManager, server_certificate: Certificate) -> None:
    context = ssl.create_default_context(cafile=server_certificate.certificate)

    assert await _manager(https.uri, verify=context).get_graph("g") == GRAPH


async def test_verification_can_be_switched_off(https: FakeStateManager) -> None:
    assert await _manager(https.uri, verify=False).get_graph("g") == GRAPH


@pytest.mark.parametrize("form", ["one file", "two files"])
async def test_client_certificate_is_presented(
    https_asking_for_certificate: FakeStateManager,
    server_certificate: Certificate,
    client_certificate: Certificate,
    form: str,
) -> None:
    pair = (str(client_certificate.certificate), str(client_certificate.key))
    cert = str(client_certificate.both) if form == "one file" else pair
    manager = _manager(https_asking_for_certificate.uri, verify=str(server_certificate.certificate), cert=cert)

    assert await manager.get_graph("g") == GRAPH


async def test_service_that_asks_for_a_certificate_refuses_without(
    https_asking_for_certificate: FakeStateManager, server_certificate: Certificate
) -> None:
    with pytest.raises(APIConnectionError):
        await _manager(https_asking_for_certificate.uri, verify=str(server_certificate.certificate)).get_graph("g")

    assert https_asking_for_certificate.paths() == []


async def test_runtime_takes_the_same_options(https: FakeStateManager) -> None:
    runtime = make_runtime(https, Echo, verify=False)

    async with running(runtime):
        await eventually(lambda: https.claims)

    assert len(https.registrations) == 1


@pytest.mark.parametrize("option", ["verify", "cert"])
async def test_file_that_cannot_be_used_is_a_configuration_error(
    service: FakeStateManager, tmp_path: Path, option: str
) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("nothing")

    for path in (broken, tmp_path / "missing.pem"):
        with pytest.raises(ConfigurationError, match=f"{option}="):
            await _manager(service.uri, **{option: str(path)}).get_graph("g")
        with pytest.raises(ConfigurationError, match=f"{option}="):
            await make_runtime(service, Echo, **{option: str(path)}).run()

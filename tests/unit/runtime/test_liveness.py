"""The liveness endpoint: /live while the event loop turns, /ready while work gets done."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
from contextlib import closing
from typing import Any

import httpx
import pytest

from exospherehost import BaseNode, ConfigurationError, Runtime
from exospherehost._runtime import liveness
from exospherehost._runtime.liveness import Liveness, parse_address
from exospherehost._runtime.stats import RuntimeStats
from tests._support.eventually import eventually, eventually_sync
from tests._support.fake_state_manager import FakeStateManager
from tests._support.http_service import Answer
from tests._support.nodes import NeedsSecret
from tests._support.runtimes import KEY, make_runtime, running


class Empty(BaseNode):
    async def execute(self) -> None:
        return


class Waits(BaseNode):
    released = threading.Event()

    async def execute(self) -> None:
        await eventually(self.released.is_set)


class Blocks(BaseNode):
    released = threading.Event()

    async def execute(self) -> None:
        self.released.wait(10)


def ask(runtime: Runtime, path: str, method: str = "GET") -> httpx.Response:
    return httpx.request(method, f"http://{runtime.liveness_address}{path}", trust_env=False, timeout=30)


async def asked(runtime: Runtime, path: str, method: str = "GET") -> httpx.Response:
    return await asyncio.to_thread(ask, runtime, path, method)


async def readiness(runtime: Runtime) -> tuple[int, str | None]:
    answer = await asked(runtime, "/ready")
    return answer.status_code, answer.json().get("reason")


def observable(service: FakeStateManager, *nodes: type[BaseNode], **options: Any) -> Runtime:
    return make_runtime(service, *nodes, liveness="127.0.0.1:0", **options)


async def test_running_runtime_is_live_and_ready(service: FakeStateManager) -> None:
    service.put_state("Empty")
    runtime = observable(service, Empty)
    assert runtime.liveness_address is None
    async with running(runtime):
        await eventually(lambda: runtime.stats().succeeded == 1)
        live, ready = await asked(runtime, "/live"), await asked(runtime, "/ready?from=probe")

        assert (live.status_code, live.headers["content-type"]) == (200, "application/json")
        counts = live.json()
        assert {name: counts[name] for name in ("status", "claimed", "succeeded", "running")} == {
            "status": "ok",
            "claimed": 1,
            "succeeded": 1,
            "running": 0,
        }
        assert counts.keys() == {"status", *RuntimeStats.__dataclass_fields__}
        assert (ready.status_code, ready.json()) == (200, {"status": "ok"})
        assert live.headers["server"] == "exospherehost"
        assert live.headers["cache-control"] == "no-store"


async def test_endpoint_is_gone_with_the_run_and_there_again_with_the_next(service: FakeStateManager) -> None:
    runtime = observable(service, Empty)
    for _ in range(2):
        async with running(runtime):
            address = await eventually(lambda: runtime.liveness_address)
        assert runtime.liveness_address is None
        host, port = parse_address(address)
        with socket.socket() as probe:
            assert probe.connect_ex((host, port)) != 0


async def test_head_is_answered_without_a_body(service: FakeStateManager) -> None:
    runtime = observable(service, Empty)
    async with running(runtime):
        address = await eventually(lambda: runtime.liveness_address)
        # As bytes, because an HTTP client would not read a body.
        reader, writer = await asyncio.open_connection(*parse_address(address))
        writer.write(b"HEAD /live HTTP/1.1\r\nHost: here\r\n\r\n")
        answer = await reader.read()
        writer.close()

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0].split()[1] == b"200"
    assert b"Content-Length: " in head
    assert body == b""


@pytest.mark.parametrize("path", ["/", "/live/", "/LIVE", "/ready/now", "/metrics"])
async def test_any_other_path_is_404(path: str, service: FakeStateManager) -> None:
    runtime = observable(service, Empty)
    async with running(runtime):
        await eventually(lambda: runtime.liveness_address)
        assert (await asked(runtime, path)).status_code == 404


async def test_blocked_event_loop_is_neither_live_nor_ready(
    service: FakeStateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "BLOCKED_AFTER_SECONDS", 0.4)
    Blocks.released.clear()
    runtime = observable(service, Blocks)
    answers: dict[str, httpx.Response] = {}

    def probe() -> None:
        try:
            assert ask(runtime, "/live").status_code == 200
            service.put_state("Blocks")
            for path in ("/live", "/ready"):
                eventually_sync(lambda path=path: ask(runtime, path).status_code == 503)  # type: ignore[misc]
                answers[path] = ask(runtime, path)
        finally:
            Blocks.released.set()

    async with running(runtime):
        await eventually(lambda: runtime.liveness_address and runtime.stats().claims)
        await asyncio.to_thread(probe)
        await eventually(lambda: runtime.stats().succeeded == 1)
        recovered = await asked(runtime, "/live")

    for path, answer in answers.items():
        assert answer.json()["reason"].startswith("the event loop has been blocked for"), path
    assert answers["/live"].json()["running"] == 1
    assert recovered.status_code == 200


async def test_it_is_not_ready_before_its_nodes_are_registered(service: FakeStateManager) -> None:
    down = True
    service.before = lambda asked: Answer(503) if down and asked.path.endswith("/nodes/") else None
    runtime = observable(service, Empty)
    async with running(runtime):
        await eventually(lambda: runtime.liveness_address)
        assert await readiness(runtime) == (503, "starting")
        assert (await asked(runtime, "/live")).status_code == 200
        down = False
        await runtime.ready()
        assert await readiness(runtime) == (200, None)


async def test_it_is_not_ready_while_claims_fail(service: FakeStateManager) -> None:
    down = False
    service.before = lambda asked: Answer(503) if down and asked.path.endswith("/enqueue") else None
    runtime = observable(service, Empty)
    async with running(runtime):
        await runtime.ready()
        assert await readiness(runtime) == (200, None)
        down = True
        await eventually(lambda: runtime.stats().claims_failing)
        assert await readiness(runtime) == (503, "claims failing")
        assert (await asked(runtime, "/live")).status_code == 200
        down = False
        await eventually(lambda: not runtime.stats().claims_failing)
        assert await readiness(runtime) == (200, None)


async def test_it_is_live_and_not_ready_while_it_drains(service: FakeStateManager) -> None:
    service.put_state("Waits")
    Waits.released.clear()
    runtime = observable(service, Waits)
    async with running(runtime):
        await eventually(lambda: runtime.stats().running == 1)
        runtime.stop()
        assert await readiness(runtime) == (503, "stopping")
        assert (await asked(runtime, "/live")).json()["running"] == 1
        Waits.released.set()
        await eventually(lambda: runtime.stats().succeeded == 1)

    assert runtime.liveness_address is None


async def test_connection_that_asks_nothing_does_not_hold_the_end_up(
    service: FakeStateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness._Handler, "timeout", 3_600)
    runtime = observable(service, Empty)
    async with running(runtime):
        address = await eventually(lambda: runtime.liveness_address)
        silent = socket.create_connection(parse_address(address))
        # Connections are taken in turn, so the silent one has been.
        assert (await asked(runtime, "/live")).status_code == 200

    assert runtime.liveness_address is None
    silent.close()


async def test_no_answer_holds_a_secret(service: FakeStateManager) -> None:
    service.secrets = {"token": "a-secret-value-0123456789"}
    service.put_state("NeedsSecret")
    runtime = observable(service, NeedsSecret)
    async with running(runtime):
        await eventually(lambda: runtime.stats().succeeded == 1)
        texts = [(await asked(runtime, path)).text for path in ("/live", "/ready", "/else")]

    assert not any(value in text for text in texts for value in (KEY, service.secrets["token"]))


async def test_address_that_is_taken_is_refused_before_anything_is_registered(service: FakeStateManager) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        runtime = make_runtime(service, Empty, liveness=f"127.0.0.1:{port}")

        with pytest.raises(ConfigurationError) as caught:
            await runtime.run()

    assert f"liveness='127.0.0.1:{port}': cannot listen there" in str(caught.value)
    assert "give another host or port" in str(caught.value)
    assert service.asked == []
    assert runtime.liveness_address is None


async def test_host_that_is_not_there_is_refused(service: FakeStateManager) -> None:
    with pytest.raises(ConfigurationError, match="cannot listen there"):
        await make_runtime(service, Empty, liveness="no..host:0").run()


async def test_it_listens_on_ipv6() -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    async with Liveness(parse_address("[::1]:0"), RuntimeStats, lambda: False) as liveness:
        answer = await asyncio.to_thread(httpx.get, f"http://{liveness.address}/live", trust_env=False)

    assert liveness.address.startswith("[::1]:")
    assert json.loads(answer.content)["status"] == "ok"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "8080",
        ":8080",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:http",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:８０",  # noqa: RUF001 - digits, and none of a port
        "::1:80",
        "http://127.0.0.1:80",
        "a host:80",
        "user@host:80",
        8080,
        ("127.0.0.1", 80),
        True,
    ],
)
def test_what_is_no_address_is_refused_at_once(value: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_runtime("http://127.0.0.1:1", Empty, liveness=value)

    assert f"liveness={value!r} is not HOST:PORT; pass for instance 127.0.0.1:8080" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:8080", ("127.0.0.1", 8080)), ("[::]:1", ("::", 1)), ("pod-7.local:65535", ("pod-7.local", 65_535))],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


def test_http_server_is_loaded_only_where_it_is_wanted() -> None:
    program = (
        "import sys; from exospherehost import BaseNode, Runtime\n"
        "class Empty(BaseNode):\n    async def execute(self): pass\n"
        "Runtime('ns', 'r', [Empty], 'http://127.0.0.1:1', 'k')\n"
        "print('http.server' in sys.modules)\n"
        "Runtime('ns', 'r', [Empty], 'http://127.0.0.1:1', 'k', liveness='127.0.0.1:0')\n"
        "print('http.server' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "True"]

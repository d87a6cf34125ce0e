"""A minimal state manager in memory that is faster than its clients, so that a client is what limits a measurement.

Run as a module it prints its URL, then serves until it is killed. It speaks the operations that a runtime calls, keeps
for each state whether it was reported, and tells at `/counts` what it handed out and what came back. States are there
for ever (`--states endless`), are a fixed number, or are made due by a `POST /arrivals`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import socket
import time
from typing import Any

import httptools

from benchmarks.memory_states import LEASE_EXPIRES_AT, NAMESPACE, REPORTS, Arrivals, Supply

_LONGEST_WAIT = 30.0
_STATE_IDS = re.compile(rb'"state_id":\s*"([0-9a-f]{24})"')


class Service:
    """Answers requests.

    Args:
        supply: the states.
        extensions: what it offers.
    """

    def __init__(self, supply: Supply, extensions: frozenset[str]) -> None:
        self.supply = supply
        self.requests = 0
        self._extensions = extensions
        self._document = json.dumps(
            {
                "openapi": "3.1.0",
                "info": {"title": "memory", "version": "0"},
                "paths": {f"/{name}": {"x-exosphere-extension": name} for name in sorted(extensions)},
            }
        ).encode()
        self._waiting: dict[Connection, tuple[str, int, bool, asyncio.TimerHandle]] = {}
        supply.became_due = self._serve_waiting

    def answer(self, connection: Connection, path: str, body: bytes, wait: float | None) -> None:
        """Answer a request, now or when a state is due."""
        if path.startswith("/v0/"):
            self.requests += 1
            last = path.rpartition("/")[2]
            if last == "enqueue":
                self._claim(connection, json.loads(body), wait)
                return
            answer = self._answer_about_states(path, last, body)
        else:
            answer = self._answer_who_measures(path, body)
        connection.send(404 if answer is None else 200, answer or b'{"detail":"Not Found"}')

    def _answer_about_states(self, path: str, last: str, body: bytes) -> bytes | None:
        if last in REPORTS:
            self._reported(path.split("/")[-2], last, body)
            return REPORTS[last]
        if last == "report" and "batch-report" in self._extensions:
            return self._reported_together(body)
        if last == "secrets":
            return b'{"secrets":{"token":"a secret of a usual length"}}'
        if path.endswith("/nodes/"):
            return b'{"runtime_name":"bench","registered_nodes":[]}'
        if last == "renew" and "lease" in self._extensions:
            held = [{"state_id": each, "lease_expires_at": LEASE_EXPIRES_AT} for each in json.loads(body)["state_ids"]]
            return json.dumps({"held": held}).encode()
        return None

    def _answer_who_measures(self, path: str, body: bytes) -> bytes | None:
        if path == "/openapi.json":
            return self._document
        if path == "/counts":
            return self._counts()
        if path == "/arrivals":
            Arrivals(self.supply, json.loads(body))
            return b"{}"
        return None

    def forget(self, connection: Connection) -> None:
        """A connection was lost: it waits for nothing any more."""
        if (waiting := self._waiting.pop(connection, None)) is not None:
            waiting[3].cancel()

    def _claim(self, connection: Connection, asked: dict[str, Any], wait: float | None) -> None:
        node, count, leased = asked["nodes"][0], asked["batch_size"], "lease_ms" in asked
        answer = self.supply.take(node, count, leased=leased)
        if answer is None and wait is not None and "wait" in self._extensions:
            timer = asyncio.get_running_loop().call_later(min(wait, _LONGEST_WAIT), self._give_up, connection)
            self._waiting[connection] = (node, count, leased, timer)
            return
        connection.send(200, answer or self._nothing())

    def _serve_waiting(self) -> None:
        while self._waiting and self.supply.due:
            connection = next(iter(self._waiting))
            node, count, leased, timer = self._waiting.pop(connection)
            timer.cancel()
            connection.send(200, self.supply.take(node, count, leased=leased) or self._nothing())

    def _give_up(self, connection: Connection) -> None:
        del self._waiting[connection]
        connection.send(200, self._nothing())

    def _nothing(self) -> bytes:
        return f'{{"count":0,"namespace":"{NAMESPACE}","status":"QUEUED","states":[]}}'.encode()

    def _reported(self, state_id: str, kind: str, body: bytes) -> None:
        self.supply.report(state_id, kind)
        if self.supply.steps and kind == "executed":
            self._go_on(json.loads(body))

    def _reported_together(self, body: bytes) -> bytes:
        if self.supply.steps:
            reports = json.loads(body)["reports"]
            for report in reports:
                self.supply.report(report["state_id"], "executed" if "executed" in report else "re-enqueue-after")
            for report in reports:
                if "executed" in report:
                    self._go_on(report["executed"])
            ids = [report["state_id"].encode() for report in reports]
        else:
            ids = _STATE_IDS.findall(body)
            # Nodes of the benchmarks that always have work do nothing but succeed; a stop hands back.
            kind = "re-enqueue-after" if b'"requeue"' in body else "executed"
            for state_id in ids:
                self.supply.report(state_id, kind)
        return b'{"results":[' + b",".join([b'{"state_id":"%s","status":200}' % each for each in ids]) + b"]}"

    def _go_on(self, executed: dict[str, Any]) -> None:
        for output in executed["outputs"]:
            self.supply.go_on(output["step"], output["text"])

    def _counts(self) -> bytes:
        now = {"at": time.perf_counter(), "requests": self.requests, "claimed_at": self.supply.claimed_at}
        return json.dumps({**now, **self.supply.counts}).encode()


class Connection(asyncio.Protocol):
    """One connection; requests on it come one after the other."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._parser = httptools.HttpRequestParser(self)
        self._path = ""
        self._body: list[bytes] = []
        self._wait: float | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what answers are written to."""
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - as asyncio calls it
        """Nobody is there any more."""
        self._service.forget(self)

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_url(self, url: bytes) -> None:
        """Begin a request."""
        self._path = url.decode()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Look for the one header that matters."""
        if len(name) == 6 and name.lower() == b"prefer" and value.startswith(b"wait="):
            self._wait = float(value[5:])

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Answer."""
        body, self._body = b"".join(self._body), []
        wait, self._wait = self._wait, None
        self._service.answer(self, self._path, body, wait)

    def send(self, status: int, body: bytes) -> None:
        """Write an answer."""
        head = b"HTTP/1.1 %d -\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (status, len(body))
        self._transport.write(head + body)
        if not self._parser.should_keep_alive():
            self._transport.close()


async def serve(service: Service) -> None:
    """Serve for ever, on a free port."""
    # With the protocol spelled out, asyncio switches off Nagle's algorithm on what it accepts.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        server = await asyncio.get_running_loop().create_server(
            lambda: Connection(service), sock=listener, backlog=2048
        )
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)  # noqa: T201 - read by who started it
        await server.serve_forever()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--states", default="0", help="how many are due from the start, or 'endless'")
    parser.add_argument("--payload", type=int, default=20, help="bytes of inputs of each state")
    parser.add_argument("--extensions", default="", help="names, separated by commas")
    options = parser.parse_args()
    extensions = frozenset(filter(None, options.extensions.split(",")))
    endless = options.states == "endless"
    supply = Supply(
        endless=endless, states=0 if endless else int(options.states), payload=options.payload, extensions=extensions
    )
    try:
        import uvloop  # noqa: PLC0415 - it is not there on every platform
    except ImportError:
        runner = asyncio.Runner()
    else:
        runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    with runner, contextlib.suppress(KeyboardInterrupt):
        runner.run(serve(Service(supply, extensions)))


if __name__ == "__main__":
    main()

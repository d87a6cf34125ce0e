from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from exospherehost.server import ServerThread
from exospherehost.testing.clock import ManualClock
from tests._support.databases import Database
from tests._support.eventually import eventually_sync
from tests._support.run_events import COMMENT, Event, all_events, follow, replay
from tests._support.service import Api, Json, connect, good, registration
from tests.contract.server.test_crash import KEY, answers, free_port, process

StartServer = Callable[..., ServerThread]
START = 1_800_000_000_000
# Schedules, leases and alarms; each stream that waits adds itself.
OTHERS_WAITING = 3


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def timed_server(start_server: StartServer, clock: ManualClock) -> ServerThread:
    return start_server(clock=clock)


@pytest.fixture
def timed(timed_server: ServerThread) -> Iterator[Api]:
    with connect(timed_server) as http:
        yield Api(http)


def joined(api: Api, **sections: Any) -> None:
    """Put a graph that fans out at ``b`` and joins at ``c``."""
    api.steps()
    api.graph(
        "g", api.node("a", {}, ["b"]), api.node("b", {}, ["d"]), api.node("d", {}, ["c"]),
        api.node("c", unites="a", strategy="ALL_DONE"), **sections,
    )  # fmt: skip


def finished(api: Api, width: int = 3) -> str:
    """Return a run that has fanned out, joined and ended."""
    joined(api)
    run = api.trigger("g")
    api.executed(api.claim_one())
    api.executed(api.claim_one(), *({"y": str(number)} for number in range(width)))
    api.work_off()
    return run


def steps(events: list[Event]) -> list[tuple[str | None, str]]:
    return [event.step for event in events]


def test_every_transition_comes_in_order_and_then_the_end(api: Api) -> None:
    joined(api)
    run = api.trigger("g")
    before = datetime.now(UTC)
    api.executed(api.claim_one())
    api.executed(api.claim_one(), {"y": "1"}, {"y": "2"})
    api.work_off()
    events = all_events(api, run)
    first = [("a", "CREATED"), ("a", "QUEUED"), ("a", "SUCCESS"), ("b", "CREATED"), ("b", "QUEUED")]
    fan_out = [("b", "SUCCESS")] * 2 + [("d", "CREATED")] * 2
    assert steps(events[:9]) == first + fan_out
    assert sorted(steps(events[9:13])) == [("d", "QUEUED")] * 2 + [("d", "SUCCESS")] * 2
    assert steps(events[13:]) == [("c", "CREATED"), ("c", "QUEUED"), ("c", "SUCCESS"), (None, "SUCCESS")]
    assert [event.kind for event in events] == ["state"] * (len(events) - 1) + ["end"]
    assert len({event.id for event in events}) == len(events)
    assert replay(events) == api.statuses(run)
    nodes = {state["id"]: state["node_name"] for state in api.states(run)}
    for event in events[:-1]:
        assert event.data is not None
        assert nodes[str(event.data.state_id)] == event.data.node_name
    times = [event.data.occurred_at for event in events if event.data is not None]
    assert times == sorted(times)
    assert abs((times[0] - before).total_seconds()) < 60
    assert times[-1] == times[-2]


def test_the_data_is_one_line_with_just_the_documented_fields(api: Api) -> None:
    api.register(registration("Kno\n\u2028ten ä", outputs=["y"]))
    api.graph("g", api.node("é \r\nx", node="Kno\n\u2028ten ä"))
    run = api.trigger("g")
    api.executed(api.claim_one("Kno\n\u2028ten ä"))
    with follow(api, run) as events:
        text = events.response.read().decode("ascii")
    blocks = text.split("\n\n")
    assert blocks.pop() == ""
    assert len(blocks) == 4
    for block in blocks:
        name, kind, data = block.split("\n")
        fields = json.loads(data.removeprefix("data: "))
        assert name == f"id: {fields['event_id']}"
        shared = {"event_id", "status", "occurred_at"}
        if kind == "event: state":
            assert fields.keys() == shared | {"state_id", "identifier", "node_name"}
            assert (fields["identifier"], fields["node_name"]) == ("é \r\nx", "Kno\n\u2028ten ä")
        else:
            assert (kind, fields.keys()) == ("event: end", shared)
        assert fields["occurred_at"].endswith("Z")


def test_events_come_while_the_run_goes_on(api: Api) -> None:
    joined(api)
    run = api.trigger("g")
    with follow(api, run) as events:
        assert events.take(1) == [("a", "CREATED")]
        state = api.claim_one()
        assert events.take(1) == [("a", "QUEUED")]
        api.executed(state)
        assert events.take(2) == [("a", "SUCCESS"), ("b", "CREATED")]
        api.prune(api.claim_one())
        assert events.take(3) == [("b", "QUEUED"), ("b", "PRUNED"), ("c", "CREATED")]
        api.work_off()
        assert events.take(2) == [("c", "QUEUED"), ("c", "SUCCESS")]
        end = events.next()
        assert (end.kind, end.step) == ("end", (None, "SUCCESS"))
        assert list(events) == []


def test_retries_signals_and_ended_leases_are_told(timed: Api, clock: ManualClock) -> None:
    joined(timed, retry_policy={"max_retries": 2, "strategy": "FIXED", "backoff_factor": 1_000})
    run = timed.trigger("g")
    timed.errored(timed.claim_one())
    clock.advance_to(START + 1_000)
    good(timed.report(timed.claim_one()["state_id"], "re-enqueue-after", {"enqueue_after": 500}))
    clock.advance_to(START + 1_500)
    good(timed.post("/states/enqueue", {"nodes": ["Step"], "batch_size": 1, "lease_ms": 2_000}))
    clock.advance_to(START + 3_500)
    eventually_sync(lambda: timed.run(run)["retried_count"] == 2)
    clock.advance_to(START + 4_500)
    timed.errored(timed.claim_one())
    ended = all_events(timed, run)
    attempt = ["CREATED", "QUEUED"]
    second = [*attempt, "CREATED", "QUEUED", "RETRY_CREATED"]
    assert [status for _a, status in steps(ended)] == [
        *attempt, "RETRY_CREATED", *second, *attempt, "ERRORED", "FAILED",
    ]  # fmt: skip
    assert [event.data.occurred_at.timestamp() * 1_000 - START for event in ended if event.data] == [
        0, 0, 0, 0, 1_000, 1_000, 1_500, 3_500, 3_500, 4_500, 4_500, 4_500,
    ]  # fmt: skip


def test_what_was_undone_is_not_told(api: Api) -> None:
    api.register(registration("Step", outputs=["y"]), registration("Needs", ["x"]))
    api.graph(
        "g",
        api.node("a", {}, ["b"]),
        api.node("b", {}, ["c"]),
        api.node("c", {"x": "${{a.outputs.y}}"}, node="Needs", unites="a"),
    )
    run = api.trigger("g")
    api.executed(api.claim_one(), {"other": "1"})
    # The join is completed by this report and cannot be resolved, after all else has been written.
    api.executed(api.claim_one(), {"y": "1"}, {"y": "2"})
    assert api.statuses(run) == [("a", "SUCCESS")] + [("b", "NEXT_CREATED_ERROR")] * 2
    events = all_events(api, run)
    assert replay(events) == api.statuses(run)
    expected = [("a", "CREATED"), ("a", "QUEUED"), ("a", "SUCCESS"), ("b", "CREATED"), ("b", "QUEUED")]
    assert steps(events) == [*expected, *[("b", "NEXT_CREATED_ERROR")] * 2, (None, "FAILED")]
    # A report that is refused leaves no trace either.
    assert api.report(api.states(run)[0]["id"], "executed", {"outputs": []}).status_code == 400
    assert all_events(api, run) == events


def test_from_each_event_on_a_stream_goes_on_with_the_next(api: Api) -> None:
    run = finished(api, width=5)
    events = all_events(api, run)
    for number, event in enumerate(events[:-1]):
        assert all_events(api, run, after=event.id) == events[number + 1 :]
    # Who has seen the end is told once more that it has come.
    assert all_events(api, run, after=events[-1].id) == events[-1:]


def test_a_cancelled_run_ends_its_streams(api: Api) -> None:
    joined(api)
    run = api.trigger("g")
    api.executed(api.claim_one())
    api.executed(api.claim_one(), {}, {}, {})
    api.claim(size=1)
    with follow(api, run) as events:
        events.take(12)
        answer = good(api.call("POST", f"/runs/{run}/cancel"))
        assert events.take(3) == [("d", "PRUNED")] * 3
        end = events.next()
        assert (end.kind, end.step, end.data and end.data.occurred_at) == (
            "end",
            (None, "FAILED"),
            datetime.fromisoformat(answer["cancelled_at"]),
        )
        assert list(events) == []


def test_a_deleted_graph_ends_the_streams_of_its_runs(api: Api) -> None:
    joined(api)
    run = api.trigger("g")
    with follow(api, run) as events:
        events.take(1)
        good(api.call("DELETE", "/graph/g"))
        assert steps(list(events)) == [("a", "PRUNED"), (None, "FAILED")]


def test_a_run_that_a_manual_retry_revives_ends_once_more(api: Api) -> None:
    run = finished(api)
    events = all_events(api, run)
    last = next(state for state in reversed(api.states(run)) if state["identifier"] == "c")
    good(api.report(last["id"], "manual-retry", {"fanout_id": "f"}))
    with follow(api, run, after=events[-1].id) as more:
        assert more.take(2) == [("c", "RETRY_CREATED"), ("c", "CREATED")]
        api.work_off()
        assert steps(list(more)) == [("c", "QUEUED"), ("c", "SUCCESS"), (None, "SUCCESS")]
    again = all_events(api, run)
    assert again[: len(events) - 1] == events[:-1]
    assert [event.kind for event in again].count("end") == 1


def test_many_readers_are_told_the_same_whenever_they_come(api: Api) -> None:
    joined(api)
    run = api.trigger("g")
    with ThreadPoolExecutor(12) as pool:
        readers = [pool.submit(all_events, api, run) for _ in range(5)]
        api.executed(api.claim_one())
        api.executed(api.claim_one(), *({"y": str(number)} for number in range(120)))
        readers += [pool.submit(all_events, api, run) for _ in range(3)]

        def work() -> None:
            while states := api.claim(size=3):
                for state in states:
                    api.executed(state, {"y": "1"})

        for worker in [pool.submit(work) for _ in range(3)]:
            worker.result(60)
        api.work_off()
        told = [reader.result(60) for reader in readers]
    expected = all_events(api, run)
    assert [events == expected for events in told] == [True] * 8
    assert replay(expected) == api.statuses(run)
    # Each state is told each of its statuses once: 122 were claimed and done, and 120 were born done but one.
    assert len(expected) == 3 * 123 + 119 + 1
    assert len({event.id for event in expected}) == len(expected)


def test_a_wide_fan_out_takes_few_rows_and_is_told_whole(start_server: StartServer, database: Database) -> None:
    server = start_server()
    with connect(server) as http:
        api = Api(http)
        joined(api)
        run = api.trigger("g")
        api.executed(api.claim_one())
        api.executed(api.claim_one(), *({} for _ in range(3_000)))
        (sizes,) = database.query("SELECT count(*), max(length(transitions)) FROM run_events")
        good(api.call("POST", f"/runs/{run}/cancel"))
        events = all_events(api, run)
        assert len(events) == 5 + 3_000 + 3_000 + 3_000 + 1
        assert replay(events) == api.statuses(run)
        for at in (4, 5, 203, 204, 205, 4_001, 9_004):
            assert all_events(api, run, after=events[at].id) == events[at + 1 :]
    assert sizes[0] == 4 + 30
    assert sizes[1] < 200 * 30 + 1_000


def test_nothing_said_for_fifteen_seconds_is_a_comment(timed: Api, clock: ManualClock) -> None:
    joined(timed)
    run = timed.trigger("g")
    with follow(timed, run) as events:
        assert events.take(1) == [("a", "CREATED")]
        eventually_sync(lambda: len(clock._sleepers) == OTHERS_WAITING + 1)
        clock.advance_to(START + 14_999)
        clock.advance_to(START + 15_000)
        assert events.next().kind == COMMENT
        eventually_sync(lambda: len(clock._sleepers) == OTHERS_WAITING + 1)
        clock.advance_to(START + 30_000)
        assert events.next().kind == COMMENT
        timed.claim_one()
        assert events.take(1) == [("a", "QUEUED")]


def test_a_client_that_goes_away_is_forgotten(timed_server: ServerThread, timed: Api, clock: ManualClock) -> None:
    joined(timed)
    run = timed.trigger("g")
    with ExitStack() as stack:
        streams = [stack.enter_context(follow(timed, run)) for _ in range(3)]
        assert [stream.take(1) for stream in streams] == [[("a", "CREATED")]] * 3
        eventually_sync(lambda: len(clock._sleepers) == OTHERS_WAITING + 3)
    eventually_sync(lambda: len(clock._sleepers) == OTHERS_WAITING)
    # Abruptly, too.
    address = urlsplit(timed_server.url)
    with closing(socket.create_connection((address.hostname, address.port or 0))) as client:
        path = f"/v0/namespace/{timed.namespace}/runs/{run}/events"
        client.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {timed_server.api_key}\r\n\r\n".encode())
        eventually_sync(lambda: len(clock._sleepers) == OTHERS_WAITING + 1)
    eventually_sync(lambda: len(clock._sleepers) == OTHERS_WAITING)


def test_at_shutdown_streams_end_without_an_end_and_go_on_after_the_restart(start_server: StartServer) -> None:
    first = start_server()
    with connect(first) as http:
        api = Api(http)
        joined(api)
        run = api.trigger("g")
        with follow(api, run) as events:
            told = [events.next()]
            began = time.monotonic()
            first.stop()
            assert time.monotonic() - began < 8
            assert list(events) == []
    with connect(start_server()) as http:
        again = Api(http, api.namespace)
        with follow(again, run, after=told[-1].id) as events:
            again.executed(again.claim_one())
            again.prune(again.claim_one())
            again.work_off()
            told += list(events)
        assert told == all_events(again, run)
        assert replay(told) == again.statuses(run)


def test_a_killed_server_has_lost_no_event(database: Database) -> None:
    port = free_port()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"x-api-key": KEY}) as http:
        api = Api(http)
        with process(database, port) as first:
            eventually_sync(lambda: answers(http), 30)
            joined(api)
            run = api.trigger("g")
            told: list[Event] = []
            with follow(api, run) as events:
                told += [events.next()]
                state = api.claim_one()
                told += [events.next()]
                api.executed(state)
                first.send_signal(signal.SIGKILL)
                first.wait()
                # What was on its way may come or not.
                with pytest.raises(httpx.TransportError):
                    told += iter(events)  # type: ignore[arg-type]
        with process(database, port):
            eventually_sync(lambda: answers(http), 30)
            with follow(api, run, after=told[-1].id) as events:
                api.work_off()
                told += list(events)
            assert told == all_events(api, run)
            assert replay(told) == api.statuses(run)
            assert told[-1].kind == "end"


def test_one_who_does_not_read_holds_up_nobody_and_loses_nothing(start_server: StartServer) -> None:
    server = start_server()
    address = urlsplit(server.url)
    with connect(server) as http, closing(socket.socket()) as client:
        api = Api(http)
        joined(api)
        run = api.trigger("g")
        api.executed(api.claim_one())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.connect((address.hostname, address.port))
        path = f"/v0/namespace/{api.namespace}/runs/{run}/events"
        head = f"GET {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {server.api_key}\r\nconnection: close\r\n\r\n"
        client.sendall(head.encode())
        # Some 4 MB of events, which no buffer between them takes.
        api.executed(api.claim_one(), *({} for _ in range(10_000)))
        good(api.call("POST", f"/runs/{run}/cancel"))
        expected = len(all_events(api, run))
        client.settimeout(60)
        received = b"".join(iter(lambda: client.recv(65_536), b""))
        assert received.count(b"event: state") + received.count(b"event: end") == expected == 30_006


@pytest.mark.parametrize(
    ("run", "status"), [("00000000-0000-4000-8000-000000000000", 404), ("no-uuid", 422), ("7", 422)]
)
def test_an_unknown_run_is_404_and_a_malformed_id_422(api: Api, run: str, status: int) -> None:
    assert api.get(f"/runs/{run}/events").status_code == status


def test_a_run_of_another_namespace_is_404_and_without_the_key_401(api: Api) -> None:
    run = finished(api)
    assert api.in_namespace("elsewhere").get(f"/runs/{run}/events").status_code == 404
    assert api.call("GET", f"/runs/{run}/events", headers={"x-api-key": "wrong"}).status_code == 401
    assert api.call("POST", f"/runs/{run}/events").status_code == 405


@pytest.mark.parametrize(
    "name",
    ["7", "x", "0.1", "0.1.x", "-1.0.0", "0.1.0.0", "0..0", "9223372036854775808.0.0", "٣.1.0", "0.1.-1"],
)
def test_an_id_that_no_event_has_is_422(api: Api, name: str) -> None:
    run = finished(api)
    answer = api.call("GET", f"/runs/{run}/events", headers=[(b"Last-Event-ID", name.encode())])
    assert answer.status_code == 422
    (issue,) = answer.json()["detail"]
    assert (issue["type"], issue["loc"]) == ("last_event_id_invalid", ["header", "Last-Event-ID"])


def test_two_ids_are_422_and_an_empty_one_is_none(api: Api) -> None:
    run = finished(api)
    two = [("Last-Event-ID", "0.1.0"), ("Last-Event-ID", "0.2.0")]
    assert api.call("GET", f"/runs/{run}/events", headers=two).status_code == 422
    assert all_events(api, run, after="") == all_events(api, run)


def test_an_id_beyond_all_events_leaves_just_the_end(api: Api) -> None:
    run = finished(api)
    biggest = 2**63 - 1
    (end,) = all_events(api, run, after=f"{biggest}.{biggest}.999999999")
    assert end == all_events(api, run)[-1]


@pytest.mark.parametrize("settings", [{"without": frozenset({"events"})}, {"strict": True}])
def test_without_it_there_is_no_such_operation_and_no_log(
    start_server: StartServer, database: Database, settings: Json
) -> None:
    with connect(start_server(**settings)) as http:
        api = Api(http)
        run = finished(api)
        answer = api.get(f"/runs/{run}/events")
        assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})
        assert database.query("SELECT count(*) FROM run_events") == [(0,)]


def test_of_what_happened_while_it_was_switched_off_only_the_end_is_told(start_server: StartServer) -> None:
    off = start_server(without=frozenset({"events"}))
    with connect(off) as http:
        api = Api(http)
        ended = finished(api)
        going = api.trigger("g")
    off.stop()
    with connect(start_server()) as http:
        again = Api(http, api.namespace)
        (end,) = all_events(again, ended)
        assert (end.kind, end.step) == ("end", (None, "SUCCESS"))
        assert end.data is not None
        assert end.data.occurred_at == datetime.fromisoformat(again.run(ended)["created_at"])
        again.executed(again.claim_one())
        again.prune(again.claim_one())
        again.work_off()
        assert steps(all_events(again, going))[:2] == [("a", "QUEUED"), ("a", "SUCCESS")]

"""What /metrics shows, read as Prometheus reads it."""

from __future__ import annotations

import threading
from collections.abc import Callable

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from exospherehost.server import ServerThread
from exospherehost.server.service.leases import SPARED_AFTER_START_MS
from exospherehost.testing.clock import ManualClock
from tests._support.databases import Database
from tests._support.eventually import eventually_sync
from tests._support.service import Api, connect, registration
from tests.contract.server.conftest import KEY

StartServer = Callable[..., ServerThread]
NOON_MS = 1_795_435_200_000


class Scrape:
    """One reading of all metrics."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        """One sample; a trailing underscore of a label keeps it from being a word of Python."""
        wanted = frozenset((label.rstrip("_"), value) for label, value in labels.items())
        return self._samples.get((name, wanted))

    def labels(self, name: str) -> list[dict[str, str]]:
        return [dict(labels) for found, labels in self._samples if found == name]


@pytest.fixture
def server(start_server: StartServer) -> ServerThread:
    """A server of its own, since it counts for everybody."""
    return start_server(metrics_port=0)


def scrape(server: ServerThread) -> Scrape:
    answer = httpx.get(server.metrics_url)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return Scrape(answer.text)


def test_on_the_servers_port_they_are_shown_for_the_key_alone(server: ServerThread) -> None:
    page = f"{server.url}/metrics"
    assert httpx.get(page).status_code == 401
    for wrong in ({"x-api-key": "wrong"}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {KEY}"}):
        assert httpx.get(page, headers=wrong).status_code == 401, wrong
    for right in ({"x-api-key": KEY}, {"authorization": f"Bearer {KEY}"}, {"authorization": f"bearer {KEY}"}):
        assert "exosphere_build_info{" in httpx.get(page, headers=right).text, right
    assert httpx.post(page, headers={"x-api-key": KEY}).status_code == 405


def test_on_their_own_port_they_need_no_key_and_nothing_else_is_there(server: ServerThread) -> None:
    assert scrape(server).value("exosphere_backlog_up") == 1
    base = server.metrics_url.removesuffix("/metrics")
    for path in ("/health", "/openapi.json", "/v0/namespaces", "/v0/namespace/a/nodes/"):
        assert httpx.get(f"{base}{path}", headers={"x-api-key": KEY}).status_code == 404, path


def test_without_a_port_for_them_there_is_none(start_server: StartServer) -> None:
    with pytest.raises(RuntimeError, match="no port for metrics"):
        _ = start_server().metrics_url


def test_the_openmetrics_format_is_given_to_who_asks_for_it(server: ServerThread) -> None:
    answer = httpx.get(server.metrics_url, headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


def test_requests_are_told_by_the_template_of_their_path(server: ServerThread) -> None:
    with connect(server) as http:
        for namespace in ("red", "green"):
            assert http.get(f"/v0/namespace/{namespace}/graph/none").status_code == 404
        assert http.get("/nowhere/at/all").status_code == 404
        assert http.request("PROPFIND", "/health").status_code == 405
    seen = scrape(server)
    template = "/v0/namespace/{namespace_name}/graph/{graph_name}"
    count = "exosphere_http_requests_total"
    assert seen.value(count, method="GET", route=template, status="404") == 2
    assert seen.value("exosphere_http_request_duration_seconds_count", method="GET", route=template) == 2
    assert seen.value(count, method="GET", route="unmatched", status="404") == 1
    assert seen.value(count, method="_other", route="/health", status="405") == 1
    assert "red" not in {part for labels in seen.labels(count) for part in labels["route"].split("/")}
    assert "nowhere" not in seen.text


def test_a_key_that_is_not_valid_is_counted(server: ServerThread) -> None:
    before = scrape(server).value("exosphere_authentication_failures_total")
    httpx.get(f"{server.url}/v0/namespaces")
    httpx.get(f"{server.url}/v0/namespaces", headers={"x-api-key": "guess"})
    assert before == 0
    assert scrape(server).value("exosphere_authentication_failures_total") == 2


def test_transitions_are_counted_once_each_and_refused_ones_not(server: ServerThread) -> None:
    with connect(server) as http:
        api = Api(http)
        api.steps()
        api.graph(
            "two",
            api.node("first", next_nodes=["second"]),
            api.node("second"),
            retry_policy={"max_retries": 1, "strategy": "FIXED", "backoff_factor": 1, "exponent": 1},
        )
        api.trigger("two")
        first = api.claim_one()
        api.executed(first, {"y": "1"})
        assert api.report(first["state_id"], "executed", {"outputs": []}).status_code == 400
        second = api.claim_one()
        assert api.errored(second)["retry_created"]
    seen = scrape(server)

    def transitions(before: str, after: str) -> float | None:
        return seen.value("exosphere_state_transitions_total", from_=before, to=after)

    assert transitions("", "CREATED") == 3
    assert transitions("CREATED", "QUEUED") == 2
    assert transitions("QUEUED", "SUCCESS") == 1
    assert transitions("QUEUED", "RETRY_CREATED") == 1
    assert len(seen.labels("exosphere_state_transitions_total")) == 4


def test_what_is_due_is_counted_by_namespace_and_node(start_server: StartServer) -> None:
    clock = ManualClock(NOON_MS)
    server = start_server(clock=clock, metrics_port=0)
    with connect(server) as http:
        api = Api(http, "shop")
        api.register(registration("Step", outputs=["y"]), registration("Idle"))
        api.graph("one", api.node("only"))
        for _ in range(3):
            api.trigger("one")
        api.trigger("one", start_delay=60_000)
        clock.advance_to(NOON_MS + 5_000)
        claimed = good_claim(api)
    assert len(claimed) == 1
    seen = scrape(server)
    assert seen.value("exosphere_states_due", exosphere_namespace="shop", exosphere_node="Step") == 2
    assert seen.value("exosphere_states_due_oldest_seconds", exosphere_namespace="shop", exosphere_node="Step") == 5
    assert seen.value("exosphere_states_leased", exosphere_namespace="shop", exosphere_node="Step") == 1
    # An autoscaler must see that there is nothing, rather than see nothing.
    assert seen.value("exosphere_states_due", exosphere_namespace="shop", exosphere_node="Idle") == 0
    assert seen.value("exosphere_states_due_oldest_seconds", exosphere_namespace="shop", exosphere_node="Idle") is None


def good_claim(api: Api) -> list[object]:
    answer = api.post("/states/enqueue", {"nodes": ["Step"], "batch_size": 1, "lease_ms": 600_000})
    assert answer.status_code == 200
    return list(answer.json()["states"])


def test_leases_that_run_out_and_schedules_that_fire_are_counted(start_server: StartServer) -> None:
    clock = ManualClock(NOON_MS)
    server = start_server(clock=clock, metrics_port=0)
    with connect(server) as http:
        api = Api(http)
        api.steps()
        api.graph("hourly", api.node("only"), triggers=[{"type": "CRON", "value": {"expression": "0 * * * *"}}])
        api.trigger("hourly")
        assert len(good_claim(api)) == 1
        before = scrape(server)
        clock.advance_to(NOON_MS + 3_600_000 + SPARED_AFTER_START_MS)
        after = eventually_sync(lambda: ended(server))
    for name in ("exosphere_leases_expired_total", "exosphere_crons_fired_total"):
        assert before.value(name) == 0, name
        assert after.value(name) == 1, name
    assert after.value("exosphere_crons_failed_total") == 0


def ended(server: ServerThread) -> Scrape | None:
    seen = scrape(server)
    names = ("exosphere_leases_expired_total", "exosphere_crons_fired_total")
    return seen if all(seen.value(name) for name in names) else None


def test_claims_that_wait_are_counted_while_they_do(server: ServerThread) -> None:
    with connect(server) as http:
        api = Api(http)
        api.steps()
        api.graph("one", api.node("only"))
        assert scrape(server).value("exosphere_claims_waiting") == 0
        answers: list[httpx.Response] = []

        def wait() -> None:
            body = {"nodes": ["Step"], "batch_size": 1}
            answers.append(api.call("POST", "/states/enqueue", json=body, headers={"prefer": "wait=30"}))

        waiting = threading.Thread(target=wait)
        waiting.start()
        eventually_sync(lambda: scrape(server).value("exosphere_claims_waiting") == 1)
        with connect(server) as other:
            Api(other, api.namespace).trigger("one")
        waiting.join(30)
    assert len(answers[0].json()["states"]) == 1
    assert scrape(server).value("exosphere_claims_waiting") == 0


def test_transactions_commits_and_reads_are_timed(server: ServerThread) -> None:
    with connect(server) as http:
        Api(http).steps()
        before, after = scrape(server), None
        Api(http).steps()
        after = scrape(server)
    for name in ("write_transaction_seconds", "write_commit_seconds", "write_batch_units"):
        first, second = (each.value(f"exosphere_{name}_count") for each in (before, after))
        assert first is not None
        assert second is not None
        assert second > first, name
    assert after.value("exosphere_write_failures_total") == 0
    assert (after.value("exosphere_read_seconds_count") or 0) > 0


def test_process_and_build_are_shown(server: ServerThread, database: Database) -> None:
    seen = scrape(server)
    (build,) = seen.labels("exosphere_build_info")
    assert build.keys() == {"version", "python", "database"}
    assert build["database"] == ("sqlite" if database.is_file else "postgresql")
    assert (seen.value("process_resident_memory_bytes") or 0) > 0
    eventually_sync(lambda: scrape(server).value("exosphere_event_loop_lag_seconds_count"))

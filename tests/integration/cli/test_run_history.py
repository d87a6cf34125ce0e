"""The runs that `dev` shows: those of its script and no others, however many there are."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO

import httpx
import pytest
from rich.console import Console

from exospherehost.cli.console.run_history import MOST_RUNS, History, earlier_runs, read_history
from exospherehost.cli.console.run_table import show_history
from exospherehost.server import ServerSettings, ServerThread
from exospherehost_client import AuthenticatedClient
from tests._support.service import Api, connect, registration

PAGE = 3


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    database = tmp_path_factory.mktemp("history") / "runs.db"
    with ServerThread(ServerSettings(api_key="the-key", database=database, port=0)) as running:
        yield running


@pytest.fixture
def http(server: ServerThread) -> Iterator[httpx.Client]:
    with connect(server) as connection:
        yield connection


@pytest.fixture
def client(server: ServerThread) -> Iterator[AuthenticatedClient]:
    with AuthenticatedClient(server.url, server.api_key) as raw:
        yield raw


def prepared(http: httpx.Client, namespace: str) -> Api:
    api = Api(http, namespace)
    api.register(registration("Step", outputs=["y"]))
    api.graph("steps", api.node("only"), retry_policy={"max_retries": 0})
    return api


def end_all(api: Api, *, fails: bool = False) -> None:
    api.work_off(api.errored if fails else lambda state: api.executed(state, {"y": "done"}))  # type: ignore[arg-type]


def ids(history: History) -> list[str]:
    return [run.run_id for run in history.runs]


def shown(history: History) -> str:
    output = StringIO()
    show_history(Console(file=output, width=100), history)
    return output.getvalue()


@pytest.mark.parametrize("before", range(2 * PAGE + 2))
@pytest.mark.parametrize("new", [0, 1, PAGE, 2 * PAGE + 1])
def test_runs_that_ended_before_are_not_the_scripts(
    http: httpx.Client, client: AuthenticatedClient, before: int, new: int
) -> None:
    api = prepared(http, "ns")
    for _ in range(before):
        api.trigger("steps")
    end_all(api, fails=True)
    earlier = earlier_runs(client, page_size=PAGE)
    mine = [api.trigger("steps") for _ in range(new)]
    end_all(api)

    history = read_history(client, earlier, page_size=PAGE)

    assert sorted(ids(history)) == sorted(mine)
    assert history.failed == 0


def test_runs_that_were_pending_before_are_the_scripts_too(http: httpx.Client, client: AuthenticatedClient) -> None:
    api = prepared(http, "ns")
    pending = [api.trigger("steps") for _ in range(PAGE)]
    earlier = earlier_runs(client, page_size=PAGE)
    new = [api.trigger("steps") for _ in range(PAGE + 1)]
    end_all(api, fails=True)

    history = read_history(client, earlier, page_size=PAGE)

    assert sorted(ids(history)) == sorted([*pending, *new])
    assert history.failed == 2 * PAGE + 1


def test_runs_of_all_namespaces_are_counted_and_the_newest_shown(
    http: httpx.Client, client: AuthenticatedClient
) -> None:
    earlier = earlier_runs(client, page_size=PAGE)
    failing, succeeding = prepared(http, "failing"), prepared(http, "succeeding")
    failing.trigger("steps")
    end_all(failing, fails=True)
    for _ in range(MOST_RUNS):
        succeeding.trigger("steps")
    end_all(succeeding)

    history = read_history(client, earlier, page_size=PAGE)

    assert {run.namespace for run in history.runs} == {"succeeding"}
    assert (len(history.runs), history.left_out, history.failed) == (MOST_RUNS, 1, 1)
    assert "1 older run is not shown." in shown(history)


def test_several_runs_that_are_left_out_are_spelled_in_the_plural(
    http: httpx.Client, client: AuthenticatedClient
) -> None:
    api = prepared(http, "ns")
    earlier = earlier_runs(client, page_size=PAGE)
    for _ in range(MOST_RUNS + 2):
        api.trigger("steps")

    assert "2 older runs are not shown." in shown(read_history(client, earlier, page_size=PAGE))

"""Reading, retrying and cancelling runs; listing and deleting."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest
from rich.pretty import pretty_repr

from exospherehost import (
    APIConnectionError,
    APIResponseError,
    ConfigurationError,
    ConflictError,
    NotFoundError,
    Run,
    RunFailedError,
    StateManager,
    Transition,
    UnsupportedByServerError,
)
from exospherehost_client.models import RunStatus, RunSummary
from tests._support.fake_runs import RUN, FakeRuns, line, run_graph, state
from tests._support.graph_json import graph_answer
from tests._support.http_service import DROP, Answer, Asked
from tests._support.runtimes import KEY

CANCELLED = {"run_id": RUN, "status": "FAILED", "cancelled_at": "2025-01-02T03:04:05Z", "pruned_count": 2}
STATE = {
    **state(1, "SUCCESS"),
    "graph_name": "g",
    "run_id": RUN,
    "inputs": {"a": "b"},
    "outputs": {"c": "d"},
    "parents": {},
    "created_at": "2025-01-02T03:04:05",
    "updated_at": "2025-01-02T03:04:05",
}
CANCEL = ("POST", f"/runs/{RUN}/cancel")
DELETE = ("DELETE", "/graph/g")
RETRY = ("POST", f"/state/{1:024x}/manual-retry")


async def listed(manager: StateManager, limit: int | None = None) -> list[RunSummary]:
    return [run async for run in manager.list_runs(limit=limit)]


# ---- one run -----------------------------------------------------------------------------------------

STANDINGS = {
    "created": (["SUCCESS", "CREATED"], RunStatus.PENDING),
    "queued": (["ERRORED", "QUEUED"], RunStatus.PENDING),
    "executed": (["EXECUTED"], RunStatus.PENDING),
    "errored": (["SUCCESS", "ERRORED"], RunStatus.FAILED),
    "no next states": (["NEXT_CREATED_ERROR"], RunStatus.FAILED),
    "retried": (["RETRY_CREATED", "SUCCESS"], RunStatus.SUCCESS),
    "pruned": (["PRUNED"], RunStatus.SUCCESS),
}


@pytest.mark.parametrize(("statuses", "expected"), STANDINGS.values(), ids=STANDINGS)
async def test_status_is_told_from_the_states(
    runs: FakeRuns, manager: StateManager, statuses: list[str], expected: RunStatus
) -> None:
    runs.looks = [run_graph(*(state(number, status) for number, status in enumerate(statuses)))]

    run = await manager.get_run(RUN)

    assert isinstance(run, Run)
    assert run.status is expected
    assert run.is_finished is (expected is not RunStatus.PENDING)
    assert (run.run_id, run.graph_name, run.cancelled_at) == (RUN, "g", None)
    assert [node.status for node in run.nodes] == statuses
    assert runs.listed() == []


async def test_run_survives_a_round_through_json(runs: FakeRuns, manager: StateManager) -> None:
    runs.looks = [run_graph(state(1, "ERRORED", error="boom"))]
    run = await manager.get_run(RUN)

    assert Run.model_validate_json(run.model_dump_json()) == run


async def test_cancelled_run_whose_states_are_all_pruned_has_failed(runs: FakeRuns, manager: StateManager) -> None:
    runs.extensions = ("cancel",)
    runs.looks = [run_graph(state(1, "PRUNED")) | {"cancelled_at": "2025-01-02T03:04:05Z"}]

    run = await manager.get_run(RUN)

    assert run.status == "FAILED"
    assert run.cancelled_at is not None
    assert runs.paths() == [f"/v0/namespace/ns/states/run/{RUN}/graph"]
    with pytest.raises(RunFailedError, match="was cancelled") as caught:
        run.raise_for_status()
    assert caught.value.is_cancelled


async def test_pruned_run_that_was_not_cancelled_has_succeeded(runs: FakeRuns, manager: StateManager) -> None:
    runs.extensions = ("cancel",)
    runs.looks = [run_graph(state(1, "PRUNED")) | {"cancelled_at": None}]

    assert (await manager.get_run(RUN)).status == "SUCCESS"
    assert runs.paths() == [f"/v0/namespace/ns/states/run/{RUN}/graph"]


async def test_unknown_run_is_not_found_on_both_services(runs: FakeRuns, manager: StateManager) -> None:
    runs.looks = [run_graph()]
    with pytest.raises(NotFoundError):
        await manager.get_run(RUN)

    runs.before = lambda asked: Answer(404, {"detail": "no run"}) if asked.path.endswith("/graph") else None
    with pytest.raises(NotFoundError):
        await manager.get_run(RUN)


async def test_state_is_read_in_full(runs: FakeRuns, manager: StateManager) -> None:
    runs.others["GET", f"/graph/g/run/{RUN}/node/{1:024x}"] = Answer(200, STATE)

    found = await manager.get_state(f"{1:024x}", run_id=RUN, graph_name="g")

    assert (found.inputs, found.outputs, found.graph_name) == ({"a": "b"}, {"c": "d"}, "g")


# ---- lists -------------------------------------------------------------------------------------------


async def test_runs_are_read_page_by_page(runs: FakeRuns, manager: StateManager) -> None:
    runs.lines = [line(f"run-{number}") for number in range(250)]

    found = await listed(manager)

    assert [run.run_id for run in found] == [f"run-{number}" for number in range(250)]
    assert runs.listed() == ["1/100", "2/100", "3/100"]


@pytest.mark.parametrize(
    ("limit", "number", "pages"),
    [(0, 0, []), (1, 1, ["1/1"]), (30, 30, ["1/30"]), (150, 150, ["1/100", "2/100"]), (999, 250, 3)],
)
async def test_no_more_is_read_than_asked_for(
    runs: FakeRuns, manager: StateManager, limit: int, number: int, pages: list[str] | int
) -> None:
    runs.lines = [line(f"run-{number}") for number in range(250)]

    assert len(await listed(manager, limit)) == number
    assert (runs.listed() if isinstance(pages, list) else len(runs.listed())) == pages


async def test_run_that_begins_meanwhile_makes_none_come_twice(runs: FakeRuns, manager: StateManager) -> None:
    runs.lines = [line(f"run-{number}") for number in range(150)]
    found: list[str] = []
    async with aclosing(manager.list_runs()) as lines:
        async for run in lines:
            if not found:
                runs.lines.insert(0, line("new"))
            found.append(run.run_id)

    assert found == [f"run-{number}" for number in range(150)]


async def test_no_runs_are_no_runs(manager: StateManager) -> None:
    assert await listed(manager) == []


@pytest.mark.parametrize("limit", [-1, "5", 2.5])
async def test_limit_that_is_none_is_refused(runs: FakeRuns, manager: StateManager, limit: int) -> None:
    with pytest.raises(ConfigurationError, match="limit="):
        await listed(manager, limit)
    assert runs.paths() == []


async def test_graphs_are_listed_without_a_secret_in_their_text(runs: FakeRuns, manager: StateManager) -> None:
    template = {**graph_answer(), "_id": "1", "name": "g", "namespace": "ns", "secrets": {"token": "ciphertext"}}
    runs.others["GET", "/graphs/"] = Answer(200, {"namespace": "ns", "count": 1, "templates": [template]})

    (graph,) = await manager.list_graphs()

    assert (graph.name, graph.validation_status) == ("g", "VALID")
    assert "ciphertext" not in repr(graph)


async def test_nodes_are_listed(runs: FakeRuns, manager: StateManager) -> None:
    node = {
        "_id": "1",
        "created_at": "2025-01-02T03:04:05",
        "updated_at": "2025-01-02T03:04:05",
        "name": "Node",
        "namespace": "ns",
        "runtime_name": "r",
        "runtime_namespace": "ns",
        "inputs_schema": {},
        "outputs_schema": {},
        "secrets": [],
    }
    runs.others["GET", "/nodes/"] = Answer(200, {"namespace": "ns", "count": 1, "nodes": [node]})

    assert [node.name for node in await manager.list_nodes()] == ["Node"]


# ---- changing ----------------------------------------------------------------------------------------


async def test_retry_names_itself_anew_each_time(runs: FakeRuns, manager: StateManager) -> None:
    runs.others[RETRY] = Answer(200, {"id": f"{2:024x}", "status": "CREATED"})

    first = await manager.retry(f"{1:024x}")
    await manager.retry(f"{1:024x}")
    await manager.retry(f"{1:024x}", fanout_id="mine")
    await manager.retry(f"{1:024x}", fanout_id="")

    assert (first.id, first.status) == (f"{2:024x}", "CREATED")
    sent = [asked.json["fanout_id"] for asked in runs.asked]
    assert sent[2:] == ["mine", ""]
    assert len({sent[0], sent[1]}) == 2
    assert all(sent[:2])


async def test_retry_of_the_same_name_is_refused(runs: FakeRuns, manager: StateManager) -> None:
    runs.others[RETRY] = Answer(409, {"detail": "Duplicate retry state detected"})

    with pytest.raises(ConflictError):
        await manager.retry(f"{1:024x}", fanout_id="mine")


async def test_cancel_and_delete_are_typed(runs: FakeRuns, manager: StateManager) -> None:
    runs.extensions = ("cancel", "delete-graph")
    runs.others[CANCEL] = Answer(200, CANCELLED)
    runs.others[DELETE] = Answer(200, {"name": "g", "cancelled_runs": 3})

    cancelled = await manager.cancel(RUN)
    deleted = await manager.delete_graph("g")

    assert (cancelled.status, cancelled.pruned_count) == (RunStatus.FAILED, 2)
    assert (deleted.name, deleted.cancelled_runs) == ("g", 3)


Call = Callable[[StateManager], Awaitable[Any]]
NEEDING: dict[str, Call] = {
    "cancel": lambda manager: manager.cancel(RUN),
    "delete-graph": lambda manager: manager.delete_graph("g"),
}


@pytest.mark.parametrize("offered", [(), None, ("events", "wait")])
@pytest.mark.parametrize("extension", NEEDING)
async def test_what_the_service_lacks_is_refused_before_it_is_sent(
    runs: FakeRuns, manager: StateManager, extension: str, offered: tuple[str, ...] | None
) -> None:
    runs.extensions = offered

    with pytest.raises(UnsupportedByServerError, match=f"'{extension}'.*exospherehost serve") as caught:
        await NEEDING[extension](manager)

    assert runs.paths() == ["/openapi.json"]
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("status", [404, 405])
@pytest.mark.parametrize("extension", NEEDING)
async def test_extension_that_is_gone_is_asked_for_again(
    runs: FakeRuns, manager: StateManager, extension: str, status: int
) -> None:
    runs.extensions = (extension,)

    def before(asked: Asked) -> Answer | None:
        if asked.method in ("POST", "DELETE"):
            runs.extensions = ()
            return Answer(status, {"detail": "Not Found"})
        return None

    runs.before = before

    with pytest.raises(UnsupportedByServerError):
        await NEEDING[extension](manager)
    assert runs.paths("GET") == ["/openapi.json"] * 2


@pytest.mark.parametrize("extension", NEEDING)
async def test_what_is_unknown_is_not_found(runs: FakeRuns, manager: StateManager, extension: str) -> None:
    runs.extensions = (extension,)
    runs.before = lambda asked: Answer(404, {"detail": "unknown"}) if asked.method != "GET" else None

    with pytest.raises(NotFoundError, match="unknown"):
        await NEEDING[extension](manager)


RESENDING: dict[str, tuple[Call, int]] = {
    "cancel": (NEEDING["cancel"], 2),
    "delete-graph": (NEEDING["delete-graph"], 1),
    "retry": (lambda manager: manager.retry(f"{1:024x}"), 1),
}


@pytest.mark.parametrize("name", RESENDING)
async def test_only_what_may_be_done_twice_is_sent_again(runs: FakeRuns, manager: StateManager, name: str) -> None:
    call, sendings = RESENDING[name]
    runs.extensions = ("cancel", "delete-graph")
    runs.others[CANCEL] = Answer(200, CANCELLED)
    sent = 0

    def before(asked: Asked) -> Answer | None:
        nonlocal sent
        sent += asked.method != "GET"
        return DROP if asked.method != "GET" and sent == 1 else None

    runs.before = before

    if sendings > 1:
        await call(manager)
    else:
        with pytest.raises(APIConnectionError) as caught:
            await call(manager)
        assert caught.value.sent
    assert sent == sendings


async def watched(manager: StateManager, run_id: str) -> list[Transition]:
    return [transition async for transition in manager.watch(run_id)]


OF_ONE_RUN: dict[str, Callable[[StateManager, str], Awaitable[Any]]] = {
    "get_run": lambda manager, run_id: manager.get_run(run_id),
    "wait": lambda manager, run_id: manager.wait(run_id),
    "watch": watched,
    "cancel": lambda manager, run_id: manager.cancel(run_id),
    "get_state": lambda manager, run_id: manager.get_state(f"{1:024x}", run_id=run_id, graph_name="g"),
}
OF_ONE_STATE: dict[str, Callable[[StateManager, str], Awaitable[Any]]] = {
    "get_state": lambda manager, state_id: manager.get_state(state_id, run_id=RUN, graph_name="g"),
    "retry": lambda manager, state_id: manager.retry(state_id),
}


@pytest.mark.parametrize("run_id", ["latest", f"{1:024x}", RUN[:-1], f"{RUN}0", f" {RUN}", RUN.replace("-", "")])
@pytest.mark.parametrize("name", OF_ONE_RUN)
async def test_what_is_no_runs_id_is_refused_before_a_request(runs: FakeRuns, name: str, run_id: str) -> None:
    with pytest.raises(ConfigurationError, match=r"run_id='.*' is no id, .* `trigger` returns it") as caught:
        await OF_ONE_RUN[name](StateManager("ns", runs.uri, KEY), run_id)

    assert repr(run_id) in str(caught.value)
    assert runs.paths() == []


@pytest.mark.parametrize("state_id", ["only", f"{1:023x}", f"{1:025x}", f"{1:023x}g", RUN])
@pytest.mark.parametrize("name", OF_ONE_STATE)
async def test_what_is_no_states_id_is_refused_before_a_request(runs: FakeRuns, name: str, state_id: str) -> None:
    with pytest.raises(ConfigurationError, match=r"state_id='.*' is no id, .* `get_run` lists it"):
        await OF_ONE_STATE[name](StateManager("ns", runs.uri, KEY), state_id)

    assert runs.paths() == []


async def test_run_shows_how_it_stands_and_not_each_state(runs: FakeRuns, manager: StateManager) -> None:
    runs.looks = [run_graph(state(1, "SUCCESS"), state(2, "SUCCESS"), state(3, "ERRORED", error="with-a-secret"))]
    run = await manager.get_run(RUN)

    shown = f"run_id='{RUN}', graph_name='g', status='FAILED', states={{'ERRORED': 1, 'SUCCESS': 2}}"
    assert repr(run) == f"Run({shown})"
    assert str(run) == shown.replace("', ", "' ")
    assert pretty_repr(run, max_width=200) == f"Run({shown})"


async def test_cancelled_run_shows_when(runs: FakeRuns, manager: StateManager) -> None:
    runs.extensions = ("cancel",)
    runs.looks = [run_graph(state(1, "PRUNED")) | {"cancelled_at": "2025-01-02T03:04:05Z"}]

    assert "status='FAILED', cancelled_at='2025-01-02T03:04:05+00:00'" in repr(await manager.get_run(RUN))


@pytest.mark.parametrize("name", OF_ONE_RUN)
async def test_ids_are_taken_in_capitals_too(runs: FakeRuns, manager: StateManager, name: str) -> None:
    runs.looks = [run_graph(state(1, "SUCCESS"))]
    runs.extensions = ("cancel",)

    with contextlib.suppress(NotFoundError):
        await OF_ONE_RUN[name](manager, RUN.upper())

    assert any(RUN.upper() in path for path in runs.paths())


UNREADABLE: dict[str, Call] = {
    "get_run": lambda manager: manager.get_run(RUN),
    "get_state": lambda manager: manager.get_state(f"{1:024x}", run_id=RUN, graph_name="g"),
    "list_runs": listed,
    "list_nodes": lambda manager: manager.list_nodes(),
    "list_graphs": lambda manager: manager.list_graphs(),
    "retry": lambda manager: manager.retry(f"{1:024x}"),
    **NEEDING,
}


@pytest.mark.parametrize("name", UNREADABLE)
async def test_page_in_place_of_an_answer_is_told_of(runs: FakeRuns, manager: StateManager, name: str) -> None:
    runs.extensions = ("cancel", "delete-graph")
    page = Answer(200, b"<html>hello</html>", content_type="text/html")
    runs.before = lambda asked: page if asked.path != "/openapi.json" else None

    with pytest.raises(APIResponseError, match="text/html"):
        await UNREADABLE[name](manager)


ODD: dict[str, Call] = {
    "run": lambda manager: manager.get_run("a/b"),
    "empty run": lambda manager: manager.cancel(""),
    "waiting": lambda manager: manager.wait("a/b"),
    "state": lambda manager: manager.retry("../x"),
    "state's graph": lambda manager: manager.get_state("1", run_id=RUN, graph_name="a/b"),
    "graph": lambda manager: manager.delete_graph(""),
}


@pytest.mark.parametrize("call", ODD.values(), ids=ODD)
async def test_name_that_cannot_stand_in_a_path_is_refused(runs: FakeRuns, manager: StateManager, call: Call) -> None:
    with pytest.raises(ConfigurationError):
        await call(manager)
    assert runs.paths() == []


@pytest.mark.parametrize("call", ["wait", "get_run", "cancel"])
async def test_whole_answer_in_place_of_its_run_id_is_refused_with_the_remedy(manager: StateManager, call: str) -> None:
    answer: Any = {"status": "CREATED", "run_id": RUN}

    with pytest.raises(ConfigurationError, match=r"pass its 'run_id', as in result\['run_id'\]"):
        await getattr(manager, call)(answer)


async def test_one_unreadable_run_hides_no_other(
    manager: StateManager, runs: FakeRuns, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [line(f"{number:08x}-0000-4000-8000-000000000000") for number in range(4)]
    unreadable = {**line(RUN), "created_at": None}
    runs.before = lambda _: Answer(200, {"total": 6, "runs": [lines[0], unreadable, None, *lines[1:]]})

    found = [run.run_id async for run in manager.list_runs()]

    assert found == [each["run_id"] for each in lines]
    assert "event=unreadable_item_skipped type=dict reason='RunSummary is not valid: created_at: " in caplog.text


async def test_what_reading_a_run_does_not_need_may_be_missing(manager: StateManager, runs: FakeRuns) -> None:
    answer = run_graph({**state(1, "SUCCESS"), "error": 7}, state(2, "SUCCESS"))
    del answer["edges"], answer["edge_count"], answer["root_states"]
    runs.before = lambda asked: Answer(200, answer) if asked.path.endswith("/graph") else None

    run = await manager.get_run(RUN)

    assert (run.status, len(run.nodes), run.edges) == (RunStatus.SUCCESS, 2, [])


@pytest.mark.parametrize("body", [{"message": "hello"}, [], "x", {"runs": None, "total": 1}])
async def test_an_answer_without_what_is_needed_is_an_error(manager: StateManager, runs: FakeRuns, body: Any) -> None:
    runs.before = lambda _: Answer(200, body)

    with pytest.raises(APIResponseError):
        _ = [run async for run in manager.list_runs()]

"""The synchronous face: the async one's methods for any thread, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import re
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from exospherehost import (
    ConfigurationError,
    GraphNodeModel,
    NotFoundError,
    StateManager,
    SyncStateManager,
    TriggerState,
    WaitTimeoutError,
)
from exospherehost_client.api.nodes import list_nodes
from tests._support.eventually import eventually_sync
from tests._support.fake_runs import RUN, FakeRuns, event, line, run_graph, state, stream
from tests._support.fake_state_manager import FakeStateManager, offering
from tests._support.graph_json import graph_answer
from tests._support.http_service import Answer
from tests._support.runtimes import KEY

RUNNING = run_graph(state(1, "QUEUED"))
ENDED = run_graph(state(1, "SUCCESS"))
# What only an event loop needs, and what Python's own protocols call.
OF_ASYNC, OF_SYNC = {"aclose", "__aenter__", "__aexit__"}, {"close", "__enter__", "__exit__"}


@pytest.fixture
def runs(runs: FakeRuns) -> FakeRuns:
    runs.looks = [ENDED]
    return runs


@pytest.fixture
def manager(runs: FakeRuns, carrier: str) -> Iterator[SyncStateManager]:  # noqa: ARG001 - chosen before it is made
    with SyncStateManager("ns", runs.uri, KEY) as opened:
        yield opened


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("exospherehost-state-manager")]


def public(cls: type) -> dict[str, Any]:
    return {name: value for name, value in inspect.getmembers(cls) if not name.startswith("_")}


# ---- the same face -----------------------------------------------------------------------------------


def test_both_have_the_same_public_names() -> None:
    assert public(StateManager).keys() - OF_ASYNC == public(SyncStateManager).keys() - OF_SYNC
    assert set(dir(SyncStateManager)) >= OF_SYNC


@pytest.mark.parametrize(
    "name", ["__init__", *sorted(public(StateManager).keys() - OF_ASYNC - {"raw_client", "namespace"})]
)
def test_both_take_the_same_arguments(name: str) -> None:
    of_async = inspect.signature(getattr(StateManager, name)).parameters
    of_sync = inspect.signature(getattr(SyncStateManager, name)).parameters

    def shape(parameters: Any) -> list[tuple[Any, ...]]:
        # `trigger` also takes the fourth positional argument of 0.0.3, which is on its way out.
        plain = [each for each in parameters.values() if each.kind != inspect.Parameter.VAR_POSITIONAL]
        return [(each.name, each.kind, each.default) for each in plain]

    assert shape(of_sync) == shape(of_async)
    if name != "trigger":  # the async one also takes the positional form of 0.0.3, which is on its way out
        assert [each.annotation for each in of_sync.values()] == [each.annotation for each in of_async.values()]


def returned(method: Callable[..., Any]) -> str:
    text: str = inspect.signature(method).return_annotation
    return re.sub(r"TaskIterator\[(.+)\]", r"Generator[\1, None, None]", text)


@pytest.mark.parametrize("name", sorted(public(StateManager).keys() - OF_ASYNC - {"raw_client", "namespace"}))
def test_both_return_the_same(name: str) -> None:
    expected = returned(getattr(StateManager, name))
    found: str = inspect.signature(getattr(SyncStateManager, name)).return_annotation

    assert found == expected


def test_docstrings_name_the_methods_that_say_more() -> None:
    for name, method in public(SyncStateManager).items():
        if name not in ("close", "raw_client", "namespace"):
            assert f"`StateManager.{name}`" in (method.__doc__ or ""), name


# ---- every method ------------------------------------------------------------------------------------


def test_methods_pass_everything_on() -> None:
    with FakeStateManager() as service, SyncStateManager("ns", service.uri, KEY) as manager:
        service.document = offering("trigger-states")
        service.graphs["g"] = graph_answer()
        node = GraphNodeModel(node_name="N", namespace="ns", identifier="a")

        assert manager.get_graph("g")["validation_status"] == "VALID"
        assert manager.upsert_graph("g", [node], {})["validation_status"] == "VALID"
        manager.trigger("g", inputs={"a": "b"}, store={"c": "d"}, start_delay=5)
        manager.trigger("g", state=TriggerState(identifier="a", inputs={"a": "b"}))
        with pytest.raises(NotFoundError):
            manager.get_graph("other")

    assert service.triggers == [
        {"store": {"c": "d"}, "start_delay": 5, "inputs": {"a": "b"}},
        {"store": {}, "start_delay": 0, "states": [{"identifier": "a", "inputs": {"a": "b"}}]},
    ]
    # One pool for all of them.
    assert service.connections == 1


def test_runs_are_read_and_followed(runs: FakeRuns, manager: SyncStateManager) -> None:
    runs.extensions = ("events", "cancel", "delete-graph")
    runs.looks = [ENDED, RUNNING, ENDED]
    runs.lines = [line(f"run-{number}") for number in range(120)]
    runs.streams = [
        lambda _: stream([event("0.1.0", 1, "QUEUED"), event("0.2.0", 1, "SUCCESS"), event("0.9.0", None, "SUCCESS")])
    ]
    runs.others["POST", f"/state/{1:024x}/manual-retry"] = Answer(200, {"id": "2", "status": "CREATED"})
    runs.others["DELETE", "/graph/g"] = Answer(200, {"name": "g", "cancelled_runs": 1})

    assert manager.get_run(RUN).status == "SUCCESS"
    assert [transition.status for transition in manager.watch(RUN)] == ["QUEUED", "SUCCESS"]
    assert [transition.status for transition in manager.watch(RUN, last_event_id="x")] == ["QUEUED", "SUCCESS"]
    assert manager.wait(RUN, timeout=60).raise_for_status().is_finished
    assert len(list(manager.list_runs())) == 120
    assert [run.run_id for run in manager.list_runs(limit=2)] == ["run-0", "run-1"]
    assert manager.retry(f"{1:024x}", fanout_id="x").id == "2"
    assert manager.delete_graph("g").cancelled_runs == 1
    assert runs.last_event_ids == [None, "x", None]


def test_raw_client_is_usable_without_a_loop(runs: FakeRuns, manager: SyncStateManager) -> None:
    runs.others["GET", "/nodes/"] = Answer(200, {"namespace": "ns", "count": 0, "nodes": []})

    assert list_nodes.sync("ns", client=manager.raw_client).nodes == []


def test_bad_argument_is_refused_by_the_constructor_without_a_thread() -> None:
    with pytest.raises(ConfigurationError):
        SyncStateManager("", "http://127.0.0.1:9", KEY)
    manager = SyncStateManager("ns", "http://127.0.0.1:9", KEY)

    assert threads() == []
    assert repr(manager) == "SyncStateManager(namespace='ns')"


# ---- where it is called ------------------------------------------------------------------------------


async def test_it_works_where_a_loop_is_running(manager: SyncStateManager) -> None:
    assert asyncio.get_running_loop().is_running()
    assert manager.get_run(RUN).status == "SUCCESS"
    assert [transition.status for transition in manager.watch(RUN)] == ["SUCCESS"]


def test_many_threads_share_one(runs: FakeRuns, manager: SyncStateManager) -> None:
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: manager.get_run(RUN).status, range(200)))

    assert found == ["SUCCESS"] * 200
    assert len(threads()) == 1
    # One pool for all of them: without it there would be one connection for each call.
    assert runs.connections < 100


def test_first_calls_of_many_threads_start_one_thread(runs: FakeRuns) -> None:
    with SyncStateManager("ns", runs.uri, KEY) as manager, ThreadPoolExecutor(16) as pool:
        barrier = threading.Barrier(16)

        def call(_: int) -> str:
            barrier.wait(30)
            return manager.get_run(RUN).run_id

        assert list(pool.map(call, range(16))) == [RUN] * 16
        assert len(threads()) == 1


# ---- its end -----------------------------------------------------------------------------------------


def test_closing_ends_the_thread_and_the_connections(runs: FakeRuns) -> None:
    manager = SyncStateManager("ns", runs.uri, KEY)
    manager.get_run(RUN)
    assert len(threads()) == 1
    manager.close()
    manager.close()

    assert threads() == []
    eventually_sync(lambda: runs.open_connections == 0)
    with pytest.raises(RuntimeError, match="make another one"):
        manager.get_run(RUN)


def test_closing_without_any_call_starts_nothing(runs: FakeRuns) -> None:
    with SyncStateManager("ns", runs.uri, KEY) as manager:
        assert threads() == []

    with pytest.raises(RuntimeError, match="closed"):
        list(manager.watch(RUN))


def test_waiting_call_ends_when_another_thread_closes(runs: FakeRuns) -> None:
    runs.looks = [RUNNING]
    manager = SyncStateManager("ns", runs.uri, KEY)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(manager.wait, RUN)
        eventually_sync(runs.looked)
        manager.close()

        with pytest.raises(RuntimeError, match="closed while the call was waiting"):
            waiting.result(30)
    assert threads() == []


def test_what_nobody_holds_any_more_is_closed(runs: FakeRuns) -> None:
    manager = SyncStateManager("ns", runs.uri, KEY)
    manager.get_run(RUN)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del manager
        gc.collect()

        eventually_sync(lambda: threads() == [] and runs.open_connections == 0)


def test_iterator_holds_what_it_iterates_over(runs: FakeRuns) -> None:
    runs.lines = [line(f"run-{number}") for number in range(150)]
    found = SyncStateManager("ns", runs.uri, KEY).list_runs()
    gc.collect()

    assert len(list(found)) == 150


def test_loop_that_is_left_early_gives_the_connection_back(runs: FakeRuns, manager: SyncStateManager) -> None:
    def parts() -> Iterator[bytes]:
        yield event("0.1.0", 1, "QUEUED")
        while True:
            yield b":\n\n"

    runs.extensions = ("events",)
    runs.streams = [lambda _: stream(parts())]
    for _ in manager.watch(RUN):
        break
    gc.collect()

    # The one of the document stays in the pool for a few seconds.
    eventually_sync(lambda: runs.open_connections <= 1, within=20)


def test_time_out_ends_a_wait(runs: FakeRuns, manager: SyncStateManager) -> None:
    runs.looks = [RUNNING]

    with pytest.raises(WaitTimeoutError):
        manager.wait(RUN, timeout=0.2)


# ---- programs ----------------------------------------------------------------------------------------

BEGIN = """
import sys
from exospherehost import SyncStateManager
manager = SyncStateManager("ns", sys.argv[1], sys.argv[2])
"""


def program(runs: FakeRuns, text: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", BEGIN + text, runs.uri, KEY],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, out, err


LEFT_OPEN = {
    "after a call": f"print(manager.get_run('{RUN}').status)",
    "in mid watch": f"found = manager.watch('{RUN}'); print(next(found).status)",
    "in a cycle": f"manager.itself = manager; print(manager.get_run('{RUN}').status)",
    "in mid wait of another thread": (
        "import contextlib, threading\n"
        "def wait():\n"
        f"    with contextlib.suppress(RuntimeError): manager.wait('{RUN}')\n"
        "threading.Thread(target=wait, daemon=True).start()\n"
        f"print(manager.get_run('{RUN}').status)"
    ),
}


@pytest.mark.parametrize("text", LEFT_OPEN.values(), ids=LEFT_OPEN)
def test_program_that_closes_nothing_ends_without_a_word(runs: FakeRuns, text: str) -> None:
    # Registered first, this runs last: the thread has ended by then, and was not killed with the program.
    # The thread that pyreqwest was loaded in lasts as long as the process.
    left = "[thread.name for thread in threading.enumerate() if thread.name.startswith('exosphere')"
    left += " and not thread.name.startswith('exospherehost-import')]"
    last = f"import atexit, threading\natexit.register(lambda: print({left}))\n"

    assert ended(program(runs, last + text)) == (0, "SUCCESS\n[]\n", "")


def test_ctrl_c_cancels_the_call_and_the_object_stays_usable(runs: FakeRuns) -> None:
    runs.looks = [RUNNING]
    process = program(
        runs,
        f"try:\n    manager.wait('{RUN}')\n"
        f"except KeyboardInterrupt:\n    print('stopped', manager.get_run('{RUN}').status)\n"
        # What was cancelled ends, and the thread's own task is left.
        "import asyncio, time\n"
        "deadline = time.monotonic() + 30\n"
        "while len(asyncio.all_tasks(manager._thread._loop.result())) > 1 and time.monotonic() < deadline:\n"
        "    time.sleep(0.01)\n"
        "print(len(asyncio.all_tasks(manager._thread._loop.result())))\n",
    )
    eventually_sync(lambda: runs.looked() >= 2, within=60)
    process.send_signal(signal.SIGINT)

    assert ended(process) == (0, "stopped PENDING\n1\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_child_of_a_fork_is_told_to_make_its_own(runs: FakeRuns) -> None:
    code, out, err = ended(
        program(
            runs,
            "import os, warnings\n"
            "warnings.simplefilter('ignore', DeprecationWarning)\n"
            f"manager.get_run('{RUN}')\n"
            "child = os.fork()\n"
            "if child == 0:\n"
            f"    try: manager.get_run('{RUN}')\n"
            "    except RuntimeError as error: print(error, flush=True)\n"
            f"    print(SyncStateManager('ns', sys.argv[1], sys.argv[2]).get_run('{RUN}').status, flush=True)\n"
            "else:\n"
            "    os.waitpid(child, 0)\n"
            f"    print(manager.get_run('{RUN}').status)\n",
        )
    )

    assert code == 0, err
    assert err == ""
    assert out.splitlines() == [
        "the object was used before the process forked: make one in each process",
        "SUCCESS",
        "SUCCESS",
    ]

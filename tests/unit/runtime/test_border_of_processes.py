"""Only JSON crosses the border between a runtime and the processes of its nodes; stopping is the runtime's."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests._support.command import Command
from tests._support.eventually import eventually, eventually_sync
from tests._support.fake_state_manager import FakeStateManager
from tests._support.process_nodes import Adverse, TakesUnsendable
from tests._support.runtimes import KEY, make_runtime, running

EXPECTED: dict[str, tuple[str, Any]] = {
    "named_prune": ("prune", {"data": {"reason": "not wanted", "code": 7}}),
    "group_of_one": ("re-enqueue-after", {"enqueue_after": 2_000}),
    "prune_with_objects": ("errored", "Adverse pruned its state with data that is not JSON"),
    "unpicklable": ("errored", "Adverse.execute returned a function; return Adverse.Outputs"),
    "raises_when_read": ("errored", "Adverse.execute returned a RaisesWhenRead; return Adverse.Outputs"),
    "exception_that_raises_when_read": ("errored", "ValueError: <tests._support.process_nodes.RaisesWhenRead"),
    "well": ("executed", {"outputs": [{"text": "well"}]}),
}


async def test_nothing_that_a_node_lets_out_breaks_the_pool_or_a_neighbour(service: FakeStateManager) -> None:
    # Each beside one that ends well, before and after it.
    order = [how for name in EXPECTED for how in ("well", name)]
    states = [(how, service.put_state("Adverse", {"how": how})) for how in order]

    async with running(make_runtime(service, Adverse, workers=2)):
        await eventually(lambda: all(service.report_of(state_id) for _, state_id in states), within=60)

    for how, state_id in states:
        report = service.report_of(state_id)
        assert report is not None
        action, body = EXPECTED[how]
        assert report.action == action, (how, report)
        if action == "errored":
            assert report.body["error"].startswith(body)
        else:
            assert report.body == body


async def test_models_are_made_in_the_process_that_uses_them(service: FakeStateManager) -> None:
    service.secrets = {"token": "12345678"}
    fits = service.put_state("TakesUnsendable", {"text": "sent"})
    refused = service.put_state("TakesUnsendable", {"text": "refused"})
    missing = service.put_state("TakesUnsendable", {})

    async with running(make_runtime(service, TakesUnsendable)):
        await eventually(lambda: all(map(service.report_of, (fits, refused, missing))), within=60)

    assert service.report_of(fits).body == {"outputs": [{"text": f"sent True 8 {fits}"}]}  # type: ignore[union-attr]
    error = "TakesUnsendable.Inputs is not valid: text: "
    assert service.report_of(refused).body["error"].startswith(f"{error}Value error, is refused")  # type: ignore[union-attr]
    assert service.report_of(missing).body["error"].startswith(f"{error}Field required")  # type: ignore[union-attr]


PROGRAM = """
from exospherehost import Runtime
from tests._support.process_nodes import Lasts

if __name__ == "__main__":
    Runtime("ns", "rt", [Lasts], poll_interval=0.02, grace_period=60).start()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no process groups of this kind")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_leaves_running_nodes_to_the_runtime(
    service: FakeStateManager, tmp_path: Path, number: signal.Signals
) -> None:
    root = Path(__file__).parents[3]
    state_id = service.put_state("Lasts", {"path": str(tmp_path)})
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = {
        "EXOSPHERE_STATE_MANAGER_URI": service.uri,
        "EXOSPHERE_API_KEY": KEY,
        "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]),
    }
    with Command(folder=tmp_path, environment=environment, command=(sys.executable, "program.py")) as command:
        eventually_sync((tmp_path / "begun").exists, 60)
        os.killpg(command.process.pid, number)
        command.wait_for("event=stopping")
        (tmp_path / "may-end").touch()
        assert command.wait() == 0

    report = service.report_of(state_id)
    assert report is not None
    assert (report.action, report.body) == ("executed", {"outputs": [{"text": "ended well"}]})

"""The log line of a failed state is enough to mend the bug."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from pydantic import BaseModel

from exospherehost import BaseNode
from tests._support import process_nodes
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager, offering
from tests._support.http_service import Answer, Asked
from tests._support.runtimes import make_runtime, running

RETRY = "retry='by the retry policy of the graph; by default 3 times, after 2 s, 4 s and 8 s'"


class Fails(BaseNode):
    class Inputs(BaseModel):
        text: str

    async def execute(self) -> None:
        # The innermost frame is in the standard library; this line is the user's.
        json.loads(self.inputs.text)


class FailsInThread(Fails):
    def execute(self) -> None:  # type: ignore[override]
        raise ExceptionGroup("both", [made_error(), OSError("b")])


def made_error() -> ValueError:
    try:
        int("a")
    except ValueError as error:
        return error
    raise AssertionError


def line_of(function: Any, offset: int) -> str:
    return f"{__file__}:{function.__code__.co_firstlineno + offset}"


@pytest.mark.parametrize(
    ("node", "inputs", "place"),
    [
        (Fails, {"text": "{no"}, line_of(Fails.execute, 2)),
        # Inputs that do not fit come from no line of the user's.
        (Fails, {}, line_of(Fails.execute, 0)),
        (FailsInThread, {"text": ""}, line_of(made_error, 2)),
    ],
)
async def test_the_line_has_place_attempt_run_and_retry(
    service: FakeStateManager, caplog: pytest.LogCaptureFixture, node: type[BaseNode], inputs: Any, place: str
) -> None:
    state_id = service.put_state(node.__name__, inputs, graph_name="g", run_id="run-7", attempt=2)

    with caplog.at_level(logging.DEBUG, "exospherehost"):
        async with running(make_runtime(service, node)):
            await eventually(lambda: service.report_of(state_id))

    assert f"state_id={state_id} run_id=run-7 attempt=2 at='{place}' {RETRY} error=" in caplog.text
    assert f"event=state_traceback state_id={state_id} text=\n" in caplog.text


async def test_a_process_tells_its_line_too(service: FakeStateManager, caplog: pytest.LogCaptureFixture) -> None:
    service.secrets = {"API-TOKEN": "12345678"}
    state_id = service.put_state("Does", {"to-do": "value_error"})

    async with running(make_runtime(service, process_nodes.Does)):
        await eventually(lambda: service.report_of(state_id), within=60)

    place = f"{process_nodes.__file__}:{process_nodes.Does.value_error.__code__.co_firstlineno + 1}"
    assert (
        f"run_id=unknown attempt=unknown at='{place}' {RETRY} error=ValueError: no such customer: [redacted]"
        in caplog.text
    )


@pytest.mark.parametrize("document", [None, offering("batch-report")])
@pytest.mark.parametrize(("is_retried", "name"), [(True, "state_is_retried"), (False, "state_failed_for_good")])
async def test_what_the_service_says_of_a_retry_is_told(
    service: FakeStateManager, caplog: pytest.LogCaptureFixture, document: Any, is_retried: bool, name: str
) -> None:
    def before(asked: Asked) -> Answer | None:
        if not asked.path.endswith("/errored"):
            return None
        return Answer(200, {"status": "ERRORED", "retry_created": is_retried})

    service.document = document
    service.before = before
    service.judge = lambda report: {"state_id": report["state_id"], "status": 200, "retry_created": is_retried}
    state_id = service.put_state("Fails", {"text": "{no"})

    with caplog.at_level(logging.INFO, "exospherehost"):
        async with running(make_runtime(service, Fails)):
            await eventually(lambda: f"event={name} state_id={state_id}" in caplog.text)

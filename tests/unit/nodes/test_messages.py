"""An error about a node's models names node, field, the value's type, rule and remedy, and never a value."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from exospherehost import BaseNode, ConfigurationError, PruneSignal
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager
from tests._support.process_nodes import Adverse
from tests._support.runtimes import make_runtime, running

SECRET = "hunter2-and-more"


async def error_of(service: FakeStateManager, node: type[BaseNode], inputs: dict[str, Any] | None = None) -> str:
    state_id = service.put_state(node.__name__, inputs)
    async with running(make_runtime(service, node)):
        said = await eventually(lambda: service.report_of(state_id))
    assert said.action == "errored"
    return str(said.body["error"])


class Shorten(BaseNode):
    class Inputs(BaseModel):
        text: str
        size: str = "80"

    class Outputs(BaseModel):
        short: str

    class Secrets(BaseModel):
        token: str

        @field_validator("token")
        @classmethod
        def check(cls, value: str) -> str:
            if not value.startswith("sk-"):
                raise ValueError(f"{value} does not begin with sk-")
            return value

    async def execute(self) -> Outputs:
        return self.Outputs(short=len(self.inputs.text))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("inputs", "secrets", "text"),
    [
        (
            {},
            {"token": "sk-1"},
            "Shorten.Inputs is not valid: text: Field required (add it to this node's inputs in the graph",
        ),
        (
            {"text": 5},
            {"token": "sk-1"},
            "Shorten.Inputs is not valid: text: Input should be a valid string, got int (pass text, for instance str(",
        ),
        (
            {"text": "x"},
            {},
            "Shorten.Secrets is not valid: token: Field required (put the graph again with it among its secrets",
        ),
        (
            {"text": "x"},
            {"token": SECRET},
            "Shorten.Secrets is not valid: token: Value error, [redacted] does not begin with sk-, got str",
        ),
        (
            {"text": "x"},
            {"token": "sk-1"},
            "ValidationError: Shorten.Outputs is not valid: short: Input should be a valid string, got int (pass text",
        ),
    ],
)
async def test_what_is_wrong_with_a_model(
    service: FakeStateManager, inputs: dict[str, Any], secrets: dict[str, str], text: str
) -> None:
    service.secrets = secrets

    error = await error_of(service, Shorten, inputs)

    assert error.startswith(text)
    assert SECRET not in error


async def test_a_short_secret_does_not_rewrite_our_own_words(service: FakeStateManager) -> None:
    service.secrets = {"token": "valid"}

    error = await error_of(service, Shorten, {"text": "x"})

    assert error == "Shorten.Secrets is not valid: token: Value error, [redacted] does not begin with sk-, got str"


@pytest.mark.parametrize("data", ["text", ["text"], 7, "", b"x"])
def test_a_prune_signal_takes_a_mapping(data: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"PruneSignal takes a mapping as data, and got \w+; pass for"
    ) as caught:
        PruneSignal(data)

    assert f"got {type(data).__name__};" in str(caught.value)


async def test_a_wrong_prune_signal_fails_its_state_with_the_remedy(service: FakeStateManager) -> None:
    class Prunes(BaseNode):
        async def execute(self) -> None:
            raise PruneSignal("duplicate")  # type: ignore[arg-type]

    error = await error_of(service, Prunes)

    assert error.startswith("ConfigurationError: PruneSignal takes a mapping as data, and got str")


async def test_what_a_process_says_of_a_model_names_the_node_too(service: FakeStateManager) -> None:
    error = await error_of(service, Adverse, {"how": "wrong_outputs"})

    assert error.startswith(
        "ValidationError: Adverse.Outputs is not valid: text: Input should be a valid string, got int"
    )

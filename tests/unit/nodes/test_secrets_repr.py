"""A node that shows its secrets, by mistake, shows their names."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from exospherehost import BaseNode
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager
from tests._support.runtimes import make_runtime, running

SECRET = "hunter2-and-more"


class Shows(BaseNode):
    class Outputs(BaseModel):
        shown: str
        used: str

    class Secrets(BaseModel):
        token: str

    async def execute(self) -> Outputs:
        return self.Outputs(shown=f"{self.secrets} {self.secrets!r}", used=str(len(self.secrets.token)))


class Inherits(Shows):
    pass


@pytest.mark.parametrize("node", [Shows, Inherits])
async def test_repr_and_str_name_the_fields_only(service: FakeStateManager, node: type[BaseNode]) -> None:
    service.secrets = {"token": SECRET}
    state_id = service.put_state(node.__name__)

    async with running(make_runtime(service, node)):
        said = await eventually(lambda: service.report_of(state_id))

    (outputs,) = said.body["outputs"]
    assert SECRET not in outputs["shown"]
    assert "token=" in outputs["shown"]
    assert outputs["used"] == str(len(SECRET))

"""Nodes that several tests use."""

from __future__ import annotations

from pydantic import BaseModel

from exospherehost import BaseNode


class Echo(BaseNode):
    """Gives back its text."""

    class Inputs(BaseModel):
        text: str

    class Outputs(BaseModel):
        text: str

    async def execute(self) -> Outputs:
        return self.Outputs(text=self.inputs.text)


class NeedsSecret(BaseNode):
    """Declares one secret."""

    class Inputs(BaseModel):
        text: str = ""

    class Outputs(BaseModel):
        length: str

    class Secrets(BaseModel):
        token: str

    async def execute(self) -> Outputs:
        return self.Outputs(length=str(len(self.secrets.token)))

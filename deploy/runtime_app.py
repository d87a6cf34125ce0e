"""The runtime of the example deployment: two nodes, and an endpoint for probes.

Run it with ``exospherehost run runtime_app:runtime``; service and key are in the variables
EXOSPHERE_STATE_MANAGER_URI and EXOSPHERE_API_KEY.
"""

from __future__ import annotations

import asyncio

from pydantic import BaseModel

from exospherehost import BaseNode, Execution, Runtime

GRACE_SECONDS = 30


class Split(BaseNode):
    """One output, and so one state of the next node, for each word."""

    class Inputs(BaseModel):
        """A text."""

        text: str

    class Outputs(BaseModel):
        """One of its words."""

        word: str

    async def execute(self) -> list[Outputs]:
        """Split the text."""
        return [self.Outputs(word=word) for word in self.inputs.text.split()]


class Measure(BaseNode):
    """Stands for work that waits for something outside."""

    execution = Execution(timeout=20, concurrency=8)

    class Inputs(BaseModel):
        """A word."""

        word: str

    class Outputs(BaseModel):
        """How many letters it has."""

        letters: str

    async def execute(self) -> Outputs:
        """Count the letters, slowly."""
        await asyncio.sleep(0.5)
        return self.Outputs(letters=str(len(self.inputs.word)))


def runtime() -> Runtime:
    """Make the runtime; nothing is read from the environment before."""
    return Runtime(
        namespace="demo",
        name="example",
        nodes=[Split, Measure],
        workers=16,
        grace_period=GRACE_SECONDS,
        liveness="0.0.0.0:8080",
    )

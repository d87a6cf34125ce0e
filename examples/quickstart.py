"""A node and a runtime that waits for work, as in the reference's Quick Start.

Run it with:  exospherehost dev examples/quickstart.py

It goes on until Ctrl-C. To give it work, paste the two `export` lines that `dev` shows into another
terminal and run there:  python examples/quickstart_trigger.py
"""

from pydantic import BaseModel

from exospherehost import BaseNode, Runtime


class Greet(BaseNode):
    """Greets whom it is told to."""

    class Inputs(BaseModel):
        """In v1 every field is text."""

        name: str

    class Outputs(BaseModel):
        """What the next nodes could use."""

        greeting: str

    async def execute(self) -> Outputs:
        """Make the greeting."""
        greeting = f"Hello, {self.inputs.name}!"
        print(greeting, flush=True)
        return self.Outputs(greeting=greeting)


if __name__ == "__main__":
    Runtime(namespace="quickstart", name="greeter", nodes=[Greet]).start()

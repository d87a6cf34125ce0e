"""Splits one input into many states, works on each, and joins when all of them have succeeded.

Run it with:  exospherehost dev examples/fan_out_and_join.py 360 97 1001
"""

import asyncio
import sys

from pydantic import BaseModel
from support import details, finished, running

from exospherehost import BaseNode, GraphNodeModel, StateManager, UnitesModel, UnitesStrategyEnum

NAMESPACE = "arithmetic"


class Begin(BaseNode):
    """Holds the input: what is joined is everything below one state, so that one comes before the split."""

    class Inputs(BaseModel):
        """Numbers, separated by blanks."""

        numbers: str

    class Outputs(BaseModel):
        """The same, and how many there are."""

        numbers: str
        count: str

    async def execute(self) -> Outputs:
        """Count them."""
        return self.Outputs(numbers=self.inputs.numbers, count=str(len(self.inputs.numbers.split())))


class Split(BaseNode):
    """Fans out: for each output in the list, what follows runs once."""

    class Inputs(BaseModel):
        """Numbers, separated by blanks."""

        numbers: str

    class Outputs(BaseModel):
        """One number."""

        number: str

    async def execute(self) -> list[Outputs]:
        """Give one output for each number."""
        return [self.Outputs(number=number) for number in self.inputs.numbers.split()]


class Factorise(BaseNode):
    """Works on one number; a plain function, so it runs in a thread and holds up nothing else."""

    class Inputs(BaseModel):
        """One number."""

        number: str

    class Outputs(BaseModel):
        """Its prime factors."""

        factors: str

    def execute(self) -> Outputs:
        """Divide by ever larger numbers."""
        rest, divisor, factors = int(self.inputs.number), 2, list[int]()
        while divisor * divisor <= rest:
            while rest % divisor == 0:
                factors.append(divisor)
                rest //= divisor
            divisor += 1
        return self.Outputs(factors=" * ".join(map(str, [*factors, rest] if rest > 1 else factors)))


class Announce(BaseNode):
    """Joins: it runs once, when every state below `begin` has succeeded."""

    class Inputs(BaseModel):
        """From the joined node or from above it; a join does not see its branches' outputs."""

        count: str

    class Outputs(BaseModel):
        """What to print."""

        text: str

    async def execute(self) -> Outputs:
        """Say that all is done."""
        return self.Outputs(text=f"all {self.inputs.count} numbers are factorised")


def node(identifier: str, kind: type[BaseNode], **fields: object) -> GraphNodeModel:
    """Place a node of ours in the graph."""
    return GraphNodeModel.model_validate(
        {"node_name": kind.__name__, "namespace": NAMESPACE, "identifier": identifier, **fields}
    )


GRAPH = [
    node("begin", Begin, inputs={"numbers": ""}, next_nodes=["split"]),
    node("split", Split, inputs={"numbers": "${{begin.outputs.numbers}}"}, next_nodes=["factorise"]),
    node("factorise", Factorise, inputs={"number": "${{split.outputs.number}}"}, next_nodes=["announce"]),
    node(
        "announce",
        Announce,
        inputs={"count": "${{begin.outputs.count}}"},
        unites=UnitesModel(identifier="begin", strategy=UnitesStrategyEnum.ALL_SUCCESS),
    ),
]


async def work(manager: StateManager, numbers: list[str]) -> None:
    """Run the graph once and print what came of it."""
    client = manager.raw_client
    await manager.upsert_graph("factors", GRAPH, secrets={})
    run_id = (await manager.trigger("factors", inputs={"numbers": " ".join(numbers)}))["run_id"]
    run = await finished(client, NAMESPACE, run_id)
    # The branches' results are kept with their states.
    for state in await details(client, NAMESPACE, run_id, run, "factorise"):
        print(f"{state.inputs['number']} = {state.outputs['factors']}")
    for state in await details(client, NAMESPACE, run_id, run, "announce"):
        print(state.outputs["text"])


async def main(numbers: list[str]) -> None:
    """Run the nodes and the graph in one process."""
    async with running(NAMESPACE, [Begin, Split, Factorise, Announce]) as manager:
        await work(manager, numbers)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or ["360", "97", "1001"]))

"""Gives work to examples/quickstart.py, which must be running: a graph of one node, triggered once."""

import asyncio
import sys

from exospherehost import GraphNodeModel, StateManager, TriggerState


async def main(name: str) -> None:
    """Store the graph and begin a run of it."""
    async with StateManager("quickstart") as manager:
        node = GraphNodeModel(node_name="Greet", namespace="quickstart", identifier="greet", inputs={"name": "world"})
        await manager.upsert_graph("greeting", [node], secrets={})
        answer = await manager.trigger("greeting", state=TriggerState(identifier="greet", inputs={"name": name}))
    print(f"run {answer['run_id']} has begun; the runtime's terminal shows the greeting")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "reader"))

"""Shows the three ways in which a state ends without an output: an error, a prune, a re-queue.

Run it with:  exospherehost dev examples/retries_and_signals.py
"""

import asyncio
from collections import Counter
from datetime import timedelta

from pydantic import BaseModel
from support import finished, running

from exospherehost import (
    BaseNode,
    GraphNodeModel,
    PruneSignal,
    ReQueueAfterSignal,
    RetryPolicyModel,
    RetryStrategyEnum,
    TriggerState,
)

NAMESPACE = "mail"

attempts: Counter[str] = Counter()
"""How often each letter was tried, in this process."""


class Deliver(BaseNode):
    """Delivers a letter, as far as the address lets it."""

    class Inputs(BaseModel):
        """Whom to."""

        address: str

    async def execute(self) -> None:
        """Try once."""
        address = self.inputs.address
        attempts[address] += 1
        if address == "nobody":
            # Ends this state: nothing follows, and the run is none the worse.
            raise PruneSignal({"reason": "no such address"})
        if address == "closed" and attempts[address] == 1:
            # The same state becomes due again; this is no failure and uses up no retry.
            raise ReQueueAfterSignal(timedelta(milliseconds=100))
        if address == "far away" and attempts[address] < 3:
            # Anything else that is raised is a failure, and the graph's retry policy decides.
            raise ConnectionError("the road is blocked")
        print(f"delivered to {address!r} at attempt {attempts[address]}")


RETRY_POLICY = RetryPolicyModel(max_retries=3, strategy=RetryStrategyEnum.FIXED, backoff_factor=100)
"""At most three more attempts, each 100 milliseconds after the last."""


async def main() -> None:
    """Begin one run with four states, one for each letter."""
    letter = GraphNodeModel(
        node_name="Deliver", namespace=NAMESPACE, identifier="letter", inputs={"address": "next door"}
    )
    async with running(NAMESPACE, [Deliver]) as manager:
        await manager.upsert_graph("letters", [letter], secrets={}, retry_policy=RETRY_POLICY)
        answer = await manager.trigger(
            "letters",
            states=[
                TriggerState(identifier="letter", inputs={"address": address})
                for address in ("next door", "nobody", "closed", "far away")
            ],
        )
        run = await finished(manager.raw_client, NAMESPACE, answer["run_id"])
    for status, count in sorted(Counter(str(state.status) for state in run.nodes).items()):
        print(f"{count} {status}")


if __name__ == "__main__":
    asyncio.run(main())

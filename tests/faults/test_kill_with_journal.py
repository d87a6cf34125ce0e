"""kill -9 of a runtime with a journal: the next one delivers what was finished and hands back what was not."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests._support.eventually import eventually
from tests._support.fault_ledger import check_children, recorded
from tests._support.fault_nodes import PAUSE_VARIABLE
from tests._support.fault_place import Place
from tests._support.fault_proxy import HTML_FAILURE, REPORTS, DropResponse, on


async def test_kill_with_journal(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PAUSE_VARIABLE, "0.1")
    journal = tmp_path / "journal"
    await place.trigger(single=30, chain=10, fan=6)

    with place.program(journal=str(journal), batch_size=8) as first:
        await eventually(lambda: len(place.executions()) >= 10, 30)
        # From here on outcomes stay with the runtime: the service has some of them, and some it has not.
        faults = [
            place.proxy.add(HTML_FAILURE, on(*REPORTS), every=2),
            place.proxy.add(DropResponse(), on(*REPORTS)),
        ]
        before = len(place.executions())
        await eventually(lambda: all(rule.hits >= 2 for rule in faults) and len(place.executions()) >= before + 6)
        first.process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(first.process.wait)
    for rule in faults:
        rule.active = False
    killed_at = asyncio.get_running_loop().time()

    def unrecorded() -> set[str]:
        """The states of the claim that was under way at the kill; its answer may come after that."""
        brought = [set(each.claimed) for each in place.proxy.exchanges if each.came_at < killed_at and each.claimed]
        return brought[-1] - set(left)

    left = recorded(journal)
    finished = {state_id for state_id, outcome in left.items() if outcome is not None}
    assert finished

    with place.program(journal=str(journal)) as second:
        if place.is_exact:
            await place.ends_exactly_once("kill -9 with journal")
        else:
            # What a claim under way brought was never written down; at most one is under way.
            states = await place.ended(unrecorded)
            stranded = unrecorded() & {state.state_id for state in states if state.status == "QUEUED"}
            assert {state.status for state in states if state.state_id not in stranded} == {"SUCCESS"}
            assert not stranded & set(place.executions())
            check_children(states)
            place.record(
                "kill -9 with journal",
                f"at least once; the {len(stranded)} QUEUED are of the claim under way at the kill",
            )
        second.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(second.wait) == 0, second.errors
        assert "event=journal_recovered" in second.errors

    times = Counter(place.executions())
    assert {times[state_id] for state_id in finished} == {1}, "a finished state was executed again"
    assert recorded(journal) == {}

"""A journal that cannot be written for a while: nothing is executed unrecorded, nothing is lost, and it goes on."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests._support.eventually import eventually
from tests._support.fault_ledger import recorded
from tests._support.fault_nodes import PAUSE_VARIABLE
from tests._support.fault_place import Place


async def test_disk_full_for_the_journal(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PAUSE_VARIABLE, "0.1")
    journal = tmp_path / "journal"
    await place.trigger(single=30, chain=10, fan=6)

    with place.program(journal=str(journal), full_disk=f"{journal}-wal") as program:
        await eventually(lambda: len(place.executions()) >= 10, 30)
        program.process.send_signal(signal.SIGUSR1)
        await eventually(lambda: "event=journal_failing" in program.errors, 30)
        # What ran is delivered, what was claimed goes back, and nothing is claimed any more.
        await eventually(lambda: not place.ledger.ids("QUEUED"), 30)
        assert place.ledger.ids("CREATED")
        # One line, and not one for each claim.
        assert program.errors.count("event=journal_failing") == 1
        assert "event=claim_recovered" not in program.errors
        program.process.send_signal(signal.SIGUSR2)
        await place.ends_exactly_once("disk full for the journal, for a while")
        program.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(program.wait) == 0, program.errors

    assert recorded(journal) == {}

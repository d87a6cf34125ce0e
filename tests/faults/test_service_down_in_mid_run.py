"""A service that goes away in mid-run, for longer than a lease: what was claimed and executed is not lost.

Scaled down: what counts is that several claims and reports have failed and, where there are leases, that some have
run out, not that it took 30 seconds.
"""

from __future__ import annotations

import logging

import pytest

from tests._support.eventually import eventually
from tests._support.fault_nodes import PAUSE_VARIABLE
from tests._support.fault_place import Place
from tests._support.runtimes import running


async def test_service_down_in_mid_run(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(PAUSE_VARIABLE, "0.2")
    caplog.set_level(logging.INFO, "exospherehost")
    await place.trigger(single=30, chain=10, fan=6, secret=6)
    runtime = place.runtime()

    async with running(runtime):
        await eventually(lambda: len(place.executions()) >= 10 and runtime.stats().running >= 3)
        await place.proxy.refuse()
        await eventually(lambda: runtime.stats().claim_failures >= 3 and runtime.stats().report_retries >= 3)
        if place.is_exact:
            await eventually(lambda: place.ledger.by_status()["RETRY_CREATED"] >= 2)
        await place.proxy.accept()
        if place.is_exact:
            await place.ends_exactly_once("service down in mid-run (until a lease has run out)")
        else:
            await place.ends_but_for_lost_claims("service down in mid-run (until 3 claims and 3 reports have failed)")

    for event in ("claim_failing", "claim_recovered", "reports_failing", "reports_recovered"):
        assert caplog.text.count(f"event={event}") <= 1, event
    assert "event=claim_recovered" in caplog.text

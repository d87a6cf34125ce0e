"""Nodes that quote their secret in an exception: it is in no stored error, no line of the log and no request."""

from __future__ import annotations

import logging

import pytest

from tests._support.fault_nodes import LEAKING, NODES, SECRET
from tests._support.fault_place import Place
from tests._support.runtimes import KEY, running


async def test_node_leaks_its_secret(
    place: Place, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    place.put_graphs(*LEAKING, secrets={"token": SECRET})
    await place.trigger(single=2, **{node.__name__: 3 for node in LEAKING})

    async with running(place.runtime(*NODES, *LEAKING)):
        states = await place.ended()

    failed = [state for state in states if state.graph != "single"]
    assert {state.status for state in failed} == {"ERRORED"}
    out, err = capfd.readouterr()
    seen = {
        "stored": "".join(str(state.error) for state in states),
        "log": caplog.text,
        "printed": out + err,
        "sent": b"".join(exchange.content for exchange in place.proxy.exchanges).decode(),
    }
    for where, text in seen.items():
        # A part of it is a leak as well.
        assert SECRET[:12] not in text, where
        assert KEY not in text, where
    for state in failed:
        assert state.error is not None
        assert state.error.startswith("ValueError: cannot log in with '[redacted]'")
        assert "in leak" in state.error
    assert "event=state_errored" in caplog.text
    assert len(place.executions()) == len(states)
    place.record("node that leaks its secret in an exception (loop, thread, process)", "exactly once, secret nowhere")

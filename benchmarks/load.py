"""Measures a client while it works: states a second, processor time for each, and that every state ended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from benchmarks.arms import Program
from benchmarks.measure import Reading
from benchmarks.processes import Client, MeasurementError, Server, memory_server

PATIENCE_SECONDS = 300.0
_LOOK_SECONDS = 0.02


def under_endless_load(
    program: Program,
    *,
    extensions: Sequence[str] = (),
    warm_up: float = 1.0,
    seconds: float = 3.0,
    by_claims: bool = False,
    payload: int = 20,
) -> Reading:
    """Measure a client on an in-memory server that always has work.

    Args:
        program: the client.
        extensions: what the server offers.
        warm_up: seconds of work before the measurement.
        seconds: how long to measure.
        by_claims: from one claim to another, for a client that claims seldom: else the figure would depend
            on how many claims happen to fall into the time.
        payload: bytes of inputs of a state; the outputs have as many.
    """
    with memory_server("endless", extensions=extensions, payload=payload) as server, program.on(server.url) as client:
        _wait_for(server, client, "reported", 1)
        time.sleep(warm_up)
        before, sample_before = _look(server, client, by_claims=by_claims)
        time.sleep(seconds)
        after, sample_after = _look(server, client, by_claims=by_claims)
        counted, at = ("claimed", "claimed_at") if by_claims else ("reported", "at")
        states = after[counted] - before[counted]
        if states <= 0:
            raise MeasurementError(f"{program.file} reported nothing in {seconds} s")
        if program.is_orderly:
            client.stop()
            check(server.counts())
        return {
            "states/s": states / (after[at] - before[at]),
            "CPU µs/state": (sample_after["cpu"] - sample_before["cpu"]) / states * 1e6,
            "requests/state": (after["requests"] - before["requests"]) / states,
        }


def working_off(program: Program, states: int, *, extensions: Sequence[str] = (), payload: int = 20) -> Reading:
    """Measure a client on an in-memory server that has a number of states, from the first claim to the last report."""
    with memory_server(states, extensions=extensions, payload=payload) as server, program.on(server.url) as client:
        _wait_for(server, client, "claims", 1)
        before, sample_before = server.counts(), client.sample()
        tenth = _wait_for(server, client, "reported", max(1, states // 10))
        rss_at_tenth = client.sample()["rss"]
        last = _wait_for(server, client, "reported", states)
        sample = client.sample()
        if program.is_orderly:
            client.stop()
            last = {**server.counts(), "at": last["at"]}
        check(last)
        if last["reported"] != states:
            raise MeasurementError(f"{states} states went in and {last['reported']} were reported")
        measured = states - before["reported"]
        return {
            "states": states,
            "reported": last["reported"],
            "states/s": measured / (last["at"] - before["at"]),
            "CPU µs/state": (sample["cpu"] - sample_before["cpu"]) / measured * 1e6,
            "RSS MiB at 10 %": rss_at_tenth / 2**20,
            "RSS MiB at 100 %": sample["rss"] / 2**20,
            "states at 10 %": tenth["reported"],
        }


def check(counts: dict[str, Any]) -> None:
    """See that each state that was handed out ended, or was handed back, once.

    Raises:
        MeasurementError: one did not.
    """
    left = counts["claimed"] - counts["reported"] - counts["re-enqueue-after"]
    if left or counts["duplicates"] or counts["unknown"]:
        raise MeasurementError(f"the counts disagree, so the figures mean nothing: {counts}")


def _look(server: Server, client: Client, *, by_claims: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    if by_claims:
        # The next claim from now on.
        _wait_for(server, client, "claims", server.counts()["claims"] + 1)
    return server.counts(), client.sample()


def _wait_for(server: Server, client: Client, count: str, at_least: int) -> dict[str, Any]:
    """Wait until the server has counted so much."""
    limit = time.monotonic() + PATIENCE_SECONDS
    while (counts := server.counts())[count] < at_least:
        if time.monotonic() > limit:
            raise MeasurementError(f"{count} stays at {counts[count]}, below {at_least}; the client: {client.about}")
        client.must_run()
        time.sleep(_LOOK_SECONDS)
    return counts

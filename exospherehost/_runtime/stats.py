"""What a runtime counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RuntimeStats:
    """A snapshot of a runtime's counters since it was started; after its end, the final counts.

    Each claimed state is waiting, running or undelivered, or has succeeded, errored, been pruned, requeued or
    refused, or its lease was lost. What a journal's earlier run left undelivered counts without a claim of this one.

    Attributes:
        claims: claims that the service answered.
        claim_failures: claims that failed.
        claims_failing: whether the last claim failed, or could not be recorded in the journal.
        poll_latency: seconds that the last claim took, without what the service held it for; None before
            the first one of which this is known. On a service with the extension `wait` it is known of a claim
            that came back full right after a full one, and of one that was held in vain, less the hold.
        claimed: states claimed.
        waiting: states claimed and not started, now.
        running: states being executed, now.
        undelivered: outcomes not acknowledged, now.
        succeeded: outcomes acknowledged as executed.
        errored: outcomes acknowledged as errored.
        pruned: outcomes acknowledged as pruned.
        requeued: outcomes acknowledged as re-enqueued, states handed back included.
        refused: outcomes that the service did not take, for instance after a manual retry.
        lost_leases: states dropped because their lease was lost; nothing is reported of them.
        report_retries: reports that were sent again.
    """

    claims: int = 0
    claim_failures: int = 0
    claims_failing: bool = False
    poll_latency: float | None = None
    claimed: int = 0
    waiting: int = 0
    running: int = 0
    undelivered: int = 0
    succeeded: int = 0
    errored: int = 0
    pruned: int = 0
    requeued: int = 0
    refused: int = 0
    lost_leases: int = 0
    report_retries: int = 0


class Counters:
    """The counters behind a snapshot: changed on the event loop only, read from any thread."""

    __slots__ = tuple(RuntimeStats.__dataclass_fields__)

    claims: int
    claim_failures: int
    claims_failing: bool
    poll_latency: float | None
    claimed: int
    waiting: int
    running: int
    undelivered: int
    succeeded: int
    errored: int
    pruned: int
    requeued: int
    refused: int
    lost_leases: int
    report_retries: int

    def __init__(self) -> None:
        nothing = RuntimeStats()
        for name in self.__slots__:
            setattr(self, name, getattr(nothing, name))

    def snapshot(self) -> RuntimeStats:
        """Return what the counters say now."""
        return RuntimeStats(**{name: getattr(self, name) for name in self.__slots__})

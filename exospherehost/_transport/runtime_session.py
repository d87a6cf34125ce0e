"""What a runtime asks of the service: registrations, claims, renewals, secrets and reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exospherehost._errors import APIError, APIResponseError, AuthenticationError
from exospherehost._transport.retry import Backoff, is_transient
from exospherehost._transport.session import Session
from exospherehost._transport.tolerant_reading import Needed, OnUnreadable, tolerant
from exospherehost_client import models
from exospherehost_client.api.nodes import register_nodes
from exospherehost_client.api.states import (
    enqueue_states,
    get_state_secrets,
    prune_state,
    renew_leases,
    report_errored,
    report_executed,
    report_states,
    requeue_state,
)

if TYPE_CHECKING:
    from exospherehost_client import bodies

# Without leases a state that is given up stays QUEUED for ever, so the service's absence is sat out.
_FOR_A_CLAIMED_STATE = Backoff(attempts=1_000, max_elapsed=600.0)

# What each call needs of its answer; the rest may be missing, and one item that cannot be read hides no other.
_NEEDED_OF_CLAIM = Needed(("states",), "states", ("state_id", "node_name", "identifier", "inputs"))
_READ_REGISTRATION = tolerant(register_nodes.parse_response, models.RegisterNodesResponse, Needed())
_READ_RENEWAL = tolerant(
    renew_leases.parse_response, models.RenewLeasesResponse, Needed(("held",), "held", ("state_id",))
)


class RuntimeSession(Session):
    """A session with the operations of a runtime."""

    async def register_nodes(self, body: models.RegisterNodesRequest) -> models.RegisterNodesResponse:
        """Register nodes, once: who calls decides whether to send it again, since it is an upsert."""
        request = register_nodes.build_request(self._namespace, body=body)
        return (await self.send(request, _READ_REGISTRATION)).parsed

    async def claim(
        self,
        nodes: list[str],
        batch_size: int,
        *,
        lease_ms: int | None = None,
        wait: int | None = None,
        on_unreadable: OnUnreadable | None = None,
    ) -> list[models.ClaimedState]:
        """Claim due states, once: who calls decides when to claim again.

        Args:
            nodes: names of nodes.
            batch_size: the most states.
            lease_ms: with the extension `lease`, how long the claim holds, in milliseconds.
            wait: with the extension `wait`, how long the service may hold the request, in seconds.
            on_unreadable: called with each state that cannot be read. Default: it is skipped with a warning.
        """
        body = models.EnqueueStatesRequest(nodes=nodes, batch_size=batch_size)
        if lease_ms is not None:
            body.lease_ms = lease_ms
        prefer = None if wait is None else f"wait={wait}"
        request = enqueue_states.build_request(self._namespace, body=body, prefer=prefer)
        read = tolerant(enqueue_states.parse_response, models.EnqueueStatesResponse, _NEEDED_OF_CLAIM, on_unreadable)
        return (await self.send(request, read)).parsed.states

    async def renew(self, state_ids: list[str], lease_ms: int, claim_tokens: dict[str, str]) -> set[str]:
        """Renew leases, once; returns the ids of the states that are still held.

        Args:
            state_ids: the states.
            lease_ms: the new length of the leases, milliseconds.
            claim_tokens: the tokens of the claims that hold them, by the states' ids, where the service gives any.
        """
        body = models.RenewLeasesRequest(state_ids=state_ids, lease_ms=lease_ms)
        if claim_tokens:
            body.claim_tokens = claim_tokens
        request = renew_leases.build_request(self._namespace, body=body)
        return {lease.state_id for lease in (await self.send(request, _READ_RENEWAL)).parsed.held}

    async def get_secrets(self, state_id: str) -> dict[str, str]:
        """Read the secrets for executing a state."""
        request = get_state_secrets.build_request(self._namespace, state_id)
        response = await self.send(
            request, get_state_secrets.parse_response, may_resend=_may_pass, backoff=_FOR_A_CLAIMED_STATE
        )
        return response.parsed.secrets

    async def report(self, report: bodies.StateReport) -> bool | None:
        """Send one report, once: the caller decides whether to send it again.

        Returns:
            For an error, whether the service tries the state again; None where it does not say.
        """
        namespace, state_id = self._namespace, report["state_id"]
        if "executed" in report:
            request = report_executed.build_request(namespace, state_id, body=report["executed"])
            await self.send(request, report_executed.parse_response)
        elif "errored" in report:
            request = report_errored.build_request(namespace, state_id, body=report["errored"])
            return (await self.send(request, report_errored.parse_response)).parsed.retry_created
        elif "prune" in report:
            request = prune_state.build_request(namespace, state_id, body=report["prune"])
            await self.send(request, prune_state.parse_response)
        elif "requeue" in report:
            request = requeue_state.build_request(namespace, state_id, body=report["requeue"])
            await self.send(request, requeue_state.parse_response)
        else:
            raise ValueError(f"the report of state {state_id} has no outcome")
        return None

    async def report_together(self, reports: list[bodies.StateReport]) -> list[models.StateReportResult]:
        """Send reports in one request, once, on a service with `batch-report`; one result each, in order."""
        request = report_states.build_request(self._namespace, body={"reports": reports})
        results = (await self.send(request, report_states.parse_response)).parsed.results
        if len(results) != len(reports):
            raise APIResponseError(f"{len(reports)} reports were answered with {len(results)} results")
        return results


def _may_pass(error: APIError) -> bool:
    """Tell whether reading again may help: besides transient faults, a key may be put right, a proxy's page go."""
    return is_transient(error) or isinstance(error, APIResponseError | AuthenticationError)

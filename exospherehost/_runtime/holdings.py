"""The claims that hold states here: their leases and their tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from exospherehost_client.models import ClaimedState


class Holdings:
    """Keeps, for each state that is held here, the token of its claim and whether the claim has a lease.

    Attributes:
        tokens: the tokens by the states' ids, of a service that gives any.
    """

    def __init__(self) -> None:
        self._leases: dict[str, object] = {}
        self._tokens: dict[str, str] = {}

    @property
    def tokens(self) -> Mapping[str, str]:
        """The tokens of claims by the states' ids."""
        return self._tokens

    def note_claim(self, state: ClaimedState) -> None:
        """Note the token of the claim that holds a state."""
        if state.claim_token is not None:
            self._tokens[state.state_id] = state.claim_token

    def note_leases(self, states: Iterable[ClaimedState]) -> None:
        """Note that the claims of states have leases."""
        self._leases.update(dict.fromkeys([state.state_id for state in states], object()))

    def with_lease(self) -> dict[str, object]:
        """Return the states that are held under a lease, each with what stands for this holding of it."""
        return dict(self._leases)

    def end_lease(self, state_id: str, holding: object) -> bool:
        """Forget a lease that has run out, and return whether it was this holding's: a later claim has its own."""
        if self._leases.get(state_id) is not holding:
            return False
        del self._leases[state_id]
        return True

    def settle(self, state_ids: Sequence[str]) -> None:
        """Forget states whose outcomes have arrived."""
        for state_id in state_ids:
            self._leases.pop(state_id, None)
            self._tokens.pop(state_id, None)

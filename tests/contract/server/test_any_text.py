"""Text comes back as it was sent, whatever is in it, and on whichever database."""

from __future__ import annotations

import pytest

from tests._support.service import Api, good, registration

TEXTS = ["nul \0 in it", "\ufdd0", "\ufdd00", "a \ufdd0\0 b", "\U0001f600 ü"]


@pytest.mark.parametrize("text", TEXTS)
def test_errors_and_names_come_back_as_they_were(api: Api, text: str) -> None:
    api.register(registration(text, outputs=["y"]), runtime=text)
    api.graph(
        "g", api.node(text, node=text), retry_policy={"max_retries": 0}, store_config={"default_values": {text: text}}
    )
    run = api.trigger("g")
    (state,) = api.claim(text)
    assert (state["node_name"], state["identifier"]) == (text, text)
    api.errored(state, text)
    (seen,) = api.states(run)
    assert (seen["node_name"], seen["identifier"], seen["error"]) == (text, text, text)
    (node,) = good(api.get("/nodes/"))["nodes"]
    assert (node["name"], node["runtime_name"]) == (text, text)
    retried = good(api.post(f"/state/{state['state_id']}/manual-retry", {"fanout_id": text}))
    assert retried["status"] == "CREATED"
    api.claim_one(text)
    again = api.post(f"/state/{retried['id']}/manual-retry", {"fanout_id": text})
    assert again.status_code == 409


def test_a_page_far_behind_the_last_is_empty(api: Api) -> None:
    assert good(api.get(f"/runs/{2**31 - 1}/1000"))["runs"] == []

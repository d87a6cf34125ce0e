"""A whole scenario at DEBUG with marked values, after which everything that can be looked at is searched for them."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from tests._support.api_keys import command, id_of, make_key
from tests._support.command import Command
from tests._support.service import Api, good, registration

OWN_KEY = "own-key-Zq8vT2mNp4"
WRONG_KEY = "wrong-key-Hx3kW9rYb7"
SECRET = "secret-value-Jd6sL1cFg5"
TYPED_AMISS = "typed-amiss-Uo2wE8nQa9"
SEALING_KEY = base64.urlsafe_b64encode(b"sealing-key-Vt7yR4uMk3-padded-32").decode()


def spellings(value: str) -> set[bytes]:
    """Return how a value may be spelled where it leaks."""
    plain = value.encode()
    shifted = {base64.b64encode(b" " * shift + plain)[4:-4] for shift in range(3)}
    return {plain, plain.hex().encode(), quote(value, safe="").encode(), json.dumps(value)[1:-1].encode(), *shifted}


class Answers:
    """Everything that was answered, but for the one operation whose purpose is to tell secrets."""

    def __init__(self) -> None:
        self.all: list[bytes] = []
        self.statuses: set[int] = set()

    def add(self, answer: httpx.Response) -> None:
        self.statuses.add(answer.status_code)
        content = answer.read()
        if not (answer.is_success and answer.request.url.path.endswith("/secrets")):
            self.all += [content, repr(answer.headers.raw).encode()]


def play(http: httpx.Client, stored: str) -> None:
    """Use every operation, rightly and wrongly, with marked values wherever a sender may put them."""
    api = Api(http, "leaks")
    api.register(registration("Step", ["x"], ["y"], ["token"]))
    node = api.node("a", {"x": "1"}, ["b"])
    last = api.node("b", {"x": "2"})
    secrets = {"token": SECRET, "unused": SECRET}
    api.graph("g", node, last, secrets=secrets)
    run = api.trigger("g")
    state = api.claim_one()
    assert good(api.get(f"/state/{state['state_id']}/secrets")) == {"secrets": {"token": SECRET}}
    api.executed(state, {"y": "1"})
    for path in ("/graph/g", "/graphs/", "/nodes/", "/runs/1/10", f"/states/run/{run}/graph"):
        good(api.get(path))
    api.state("g", run, state["state_id"])
    kind = {"content-type": "application/json"}
    # An INVALID graph, and those that are refused for something in, beside or around the secrets.
    api.upsert("bad", api.node("a", node="Unknown"), secrets=secrets)
    for body in (
        {"secrets": {"token": [TYPED_AMISS]}, "nodes": [node, last]},
        {"secrets": {"token": {"nested": TYPED_AMISS}}, "nodes": [node, last]},
        {"secrets": TYPED_AMISS, "nodes": [node, last]},
        {"secrets": [TYPED_AMISS], "nodes": [node, last]},
        {"secrets": secrets},
        {"secrets": secrets, "nodes": "none"},
        {"secrets": secrets, "nodes": [node, node]},
        {"secrets": {**secrets, "": SECRET}, "nodes": [node, last]},
        {"secrets": {**secrets, "half": "\ud800"}, "nodes": [node, last]},
        {"secrets": secrets, "nodes": [node, last], "retry_policy": None},
    ):
        refused = api.call("PUT", "/graph/refused", content=json.dumps(body), headers=kind)
        assert refused.status_code in {400, 422}
    for content in (
        json.dumps({"secrets": secrets, "nodes": []}).encode()[:-3],
        json.dumps([secrets]).encode(),
        json.dumps({"secrets": {"token": 0}, "x": float("nan")}).replace("0", f'"{SECRET}"').encode(),
        f'{{"secrets":{{"token":"{SECRET}\xff"}}}}'.encode("latin-1"),
    ):
        assert api.call("PUT", "/graph/refused", content=content, headers=kind).status_code in {400, 422}
    text = api.call(
        "PUT", "/graph/refused", content=json.dumps({"secrets": secrets}), headers={"content-type": "text/x"}
    )
    assert text.status_code == 422
    api.report(state["state_id"], "errored", {"error": "late"})
    # Keys, right and wrong, in every place.
    for key in (WRONG_KEY, f"{stored}x", stored):
        http.get("/v0/namespaces", headers={"x-api-key": key})
        http.get("/v0/namespace/other/nodes/", headers={"x-api-key": key})
    http.get("/v0/namespaces", headers={"authorization": f"Bearer {OWN_KEY}", "x-api-key": ""})
    http.get("/openapi.json")
    http.get("/nowhere")


@pytest.mark.parametrize("rotated", [False, True])
def test_no_marked_value_is_anywhere_but_where_it_belongs(tmp_path: Path, rotated: bool) -> None:
    database = tmp_path / "exosphere.db"
    answers = Answers()
    environment = {
        "EXOSPHERE_API_KEY": OWN_KEY,
        "EXOSPHERE_LOG_LEVEL": "DEBUG",
        "EXOSPHERE_SECRETS_KEY": SEALING_KEY,
        "PYTHONASYNCIODEBUG": "1",
    }
    with Command("serve", "--port", "0", folder=tmp_path, environment=environment) as server:
        uri = server.exports()["EXOSPHERE_STATE_MANAGER_URI"]
        stored = make_key(database, "--namespace", "leaks")
        with httpx.Client(
            base_url=uri, headers={"x-api-key": OWN_KEY}, timeout=40, event_hooks={"response": [answers.add]}
        ) as http:
            play(http, stored)
        listed = command("keys", "list", "--database", database).output
        if rotated:
            other = base64.urlsafe_b64encode(os.urandom(32)).decode()
            with Command(
                "db",
                "rotate-secrets-key",
                folder=tmp_path,
                environment={**environment, "EXOSPHERE_SECRETS_KEY": f"{other},{SEALING_KEY}"},
            ) as rotation:
                assert rotation.wait() == 0, rotation.errors
                listed += rotation.output + rotation.errors
        running = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        server.interrupt()
        said = (server.output + server.errors).encode()
    ended = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    # The search finds what is there.
    assert answers.statuses >= {200, 201, 400, 401, 403, 404, 422}
    assert b"event=request" in said
    assert "exosphere.db-wal" in running
    assert id_of(stored).encode() in b"".join(running.values())
    places = {"answers": b"\n".join(answers.all), "log": said, "commands": listed.encode()}
    places |= {f"{name} while running": content for name, content in running.items()}
    places |= {f"{name} at the end": content for name, content in ended.items()}
    for mark in (OWN_KEY, WRONG_KEY, SECRET, TYPED_AMISS, SEALING_KEY, stored, stored.split("_", 2)[2]):
        for spelling in spellings(mark):
            assert [place for place, content in places.items() if spelling in content] == [], mark

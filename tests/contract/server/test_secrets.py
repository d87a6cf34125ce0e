from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from exospherehost.server import ServerThread, StartupError
from exospherehost.server.security.secret_box import SecretBox
from tests._support.databases import Database
from tests._support.service import Api, connect, good, registration


def test_a_claimed_state_is_given_the_secrets_that_its_node_declares(api: Api) -> None:
    api.register(registration("Step", [], ["y"], ["one", "absent-later", "one"]), registration("Plain", [], ["y"]))
    api.graph(
        "g",
        api.node("a", {}, ["b"]),
        api.node("b", node="Plain"),
        secrets={"one": "erste", "two": "zweite", "absent-later": "dritte"},
    )
    api.trigger("g")
    state = api.claim_one()
    expected = {"secrets": {"one": "erste", "absent-later": "dritte"}}
    assert good(api.get(f"/state/{state['state_id']}/secrets")) == expected
    api.executed(state)
    assert good(api.get(f"/state/{api.claim_one('Plain')['state_id']}/secrets")) == {"secrets": {}}


def test_only_a_claimed_state_is_given_secrets(api: Api) -> None:
    api.register(registration("Step", [], ["y"], ["token"]))
    api.graph("g", api.node("a"), secrets={"token": "v"}, retry_policy={"max_retries": 1})
    run = api.trigger("g")
    (waiting,) = api.states(run)
    refused = api.get(f"/state/{waiting['id']}/secrets")
    assert (refused.status_code, "CREATED" in refused.json()["detail"]) == (404, True)
    state_id = api.claim_one()["state_id"]
    good(api.report(state_id, "errored", {"error": "e"}))
    # Not after its end either, when a new value may have come meanwhile.
    api.graph("g", api.node("a"), secrets={"token": "new"})
    ended = api.get(f"/state/{state_id}/secrets")
    assert (ended.status_code, "RETRY_CREATED" in ended.json()["detail"]) == (404, True)
    assert "new" not in ended.text


def test_a_node_that_is_registered_anew_with_more_names_is_given_nothing_more(api: Api) -> None:
    other = api.in_namespace("other-tenant")
    other.register(registration("Step", [], ["y"], ["shared"]))
    node = {"node_name": "Step", "namespace": "other-tenant", "identifier": "a", "inputs": {}}
    api.graph("g", node, secrets={"shared": "s", "private": "p"})
    other.register(registration("Step", [], ["y"], ["shared", "private"]))
    api.trigger("g")
    state = other.claim_one()
    assert good(other.get(f"/state/{state['state_id']}/secrets")) == {"secrets": {"shared": "s"}}
    # Whoever puts the graph again has seen what the node declares now.
    api.graph("g", node, secrets={"shared": "s", "private": "p"})
    api.trigger("g")
    later = other.claim_one()
    assert good(other.get(f"/state/{later['state_id']}/secrets")) == {"secrets": {"shared": "s", "private": "p"}}
    # A node that declares less is given less.
    other.register(registration("Step", [], ["y"], ["private"]))
    assert good(other.get(f"/state/{later['state_id']}/secrets")) == {"secrets": {"private": "p"}}


def test_a_version_of_an_older_server_grants_what_its_nodes_declared_at_the_upgrade(
    start_server: Callable[..., ServerThread], database: Database
) -> None:
    server = start_server()
    node = {"node_name": "Step", "namespace": "other-tenant", "identifier": "a", "inputs": {}}
    with connect(server) as http:
        api = Api(http)
        api.in_namespace("other-tenant").register(registration("Step", [], ["y"], ["shared"]))
        for name in ("older", "newer", "late"):
            api.graph(name, node, secrets={"shared": "s", "private": "p"})
    server.stop()
    rows = database.query("SELECT v.id, g.name, v.document FROM graph_versions v JOIN graphs g ON g.key = v.graph_key")
    versions = {name: (version_id, json.loads(document)) for version_id, name, document in rows}

    def store(name: str, granted: list[object] | None) -> None:
        version_id, document = versions[name]
        document.pop("granted_secrets", None)
        text = json.dumps(document if granted is None else document | {"granted_secrets": granted})
        database.query(f"UPDATE graph_versions SET document = '{text}' WHERE id = '{version_id}'")  # noqa: S608

    database.downgrade("0008")
    store("older", None)
    # What a newer server has already stored is left as it is, even where it is empty.
    store("newer", [])
    start_server(migrate=True).stop()
    # An older server put this one after the upgrade.
    store("late", None)
    with connect(start_server()) as http:
        api = Api(http, api.namespace)
        other = api.in_namespace("other-tenant")
        other.register(registration("Step", [], ["y"], ["shared", "private"]))
        given = {}
        for name in versions:
            api.trigger(name)
            given[name] = good(other.get(f"/state/{other.claim_one()['state_id']}/secrets"))["secrets"]
    assert given == {"older": {"shared": "s"}, "newer": {}, "late": {}}


def test_a_secret_replaced_while_a_run_goes_on_is_given_anew(api: Api) -> None:
    api.register(registration("Step", [], ["y"], ["token"]))
    api.graph("g", api.node("a"), secrets={"token": "old"})
    api.trigger("g")
    state = api.claim_one()
    api.graph("g", api.node("a"), secrets={"token": "new"})
    assert good(api.get(f"/state/{state['state_id']}/secrets")) == {"secrets": {"token": "new"}}
    # An INVALID version is not used; and what the valid one dropped, the run still has.
    assert api.upsert("g", api.node("a"))["validation_status"] == "INVALID"
    assert good(api.get(f"/state/{state['state_id']}/secrets")) == {"secrets": {"token": "new"}}
    api.register(registration("Other", [], ["y"]))
    api.graph("g", api.node("a", node="Other"))
    assert good(api.get(f"/state/{state['state_id']}/secrets")) == {"secrets": {"token": "old"}}


def test_a_state_that_is_not_here_has_no_secrets(api: Api) -> None:
    api.register(registration("Step", [], ["y"], ["token"]))
    api.graph("g", api.node("a"), secrets={"token": "v"})
    api.trigger("g")
    state_id = api.claim_one()["state_id"]
    assert api.get(f"/state/{'0' * 24}/secrets").status_code == 404
    assert api.in_namespace("elsewhere").get(f"/state/{state_id}/secrets").status_code == 404
    assert api.get("/state/xyz/secrets").status_code == 422


@pytest.mark.sqlite
def test_secrets_are_encrypted_at_rest_and_files_are_private(
    start_server: Callable[..., ServerThread], tmp_path: Path
) -> None:
    server = start_server()
    with connect(server) as http:
        api = Api(http)
        api.register(registration("Step", [], ["y"], ["token"]))
        api.graph("g", api.node("a"), secrets={"token": "a-very-clear-text"})
        api.trigger("g")
        files = sorted(tmp_path.iterdir())
        assert {"exosphere.db", "exosphere.db-wal", "exosphere.db.secrets-key"} <= {file.name for file in files}
        for file in files:
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
            assert b"a-very-clear-text" not in file.read_bytes(), file


def test_under_another_key_secrets_are_404_and_all_else_goes_on(
    start_server: Callable[..., ServerThread], caplog: pytest.LogCaptureFixture
) -> None:
    first = start_server(secrets_key=os.urandom(32))
    with connect(first) as http:
        api = Api(http)
        api.register(registration("Step", [], ["y"], ["token"]))
        api.graph("g", api.node("a"), secrets={"token": "v"})
        api.trigger("g")
        state_id = api.claim_one()["state_id"]
    first.stop()
    assert "secrets_unreadable" not in caplog.text
    with connect(start_server(secrets_key=os.urandom(32))) as http:
        assert f"event=secrets_unreadable count=1 first={api.namespace}/g " in caplog.text
        api = Api(http, api.namespace)
        assert api.get(f"/state/{state_id}/secrets").status_code == 404
        api.graph("g", api.node("a"), secrets={"token": "again"})
        assert good(api.get(f"/state/{state_id}/secrets")) == {"secrets": {"token": "again"}}


def test_no_secret_is_opened_at_the_start_where_all_keys_are_known(
    start_server: Callable[..., ServerThread], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = os.urandom(32), os.urandom(32)
    space = ""
    for key in (old, new):
        server = start_server(secrets_key=key, older_secrets_keys=(old,))
        with connect(server) as http:
            api = Api(http, space or None)
            space = api.namespace
            api.register(registration("Step", [], ["y"], ["token"]))
            for number in range(3):
                api.graph(f"{key.hex()}-{number}", api.node("a"), secrets={"token": "v", "other": "w"})
        server.stop()
    opened: list[str] = []
    open_one = SecretBox.open

    def open_and_note(box: SecretBox, sealed: str) -> str:
        opened.append(sealed)
        return open_one(box, sealed)

    monkeypatch.setattr(SecretBox, "open", open_and_note)
    start_server(secrets_key=new, older_secrets_keys=(old,)).stop()
    assert not opened
    assert "secrets_unreadable" not in caplog.text
    # Only those are tried whose key is missing.
    start_server(secrets_key=new).stop()
    assert len(opened) == 3
    assert f"event=secrets_unreadable count=3 first={space}/{old.hex()}-" in caplog.text


def test_secrets_sealed_before_keys_had_ids_are_tried_at_the_start(
    start_server: Callable[..., ServerThread], database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    key = os.urandom(32)
    server = start_server(secrets_key=key)
    with connect(server) as http:
        api = Api(http)
        api.steps()
        api.graph("g", api.node("a"), secrets={"token": "v"})
    server.stop()
    ((stored,),) = database.query("SELECT secrets FROM graph_versions")
    without_id = json.dumps({"token": json.loads(stored)["token"].partition(".")[2]})
    database.query(f"UPDATE graph_versions SET secrets = '{without_id}', sealed_with = ''")  # noqa: S608 - base64
    start_server(secrets_key=key).stop()
    assert "secrets_unreadable" not in caplog.text
    start_server(secrets_key=os.urandom(32)).stop()
    assert f"event=secrets_unreadable count=1 first={api.namespace}/g " in caplog.text


@pytest.mark.sqlite
def test_the_key_beside_the_database_serves_the_next_start(start_server: Callable[..., ServerThread]) -> None:
    first = start_server()
    with connect(first) as http:
        api = Api(http)
        api.register(registration("Step", [], ["y"], ["token"]))
        api.graph("g", api.node("a"), secrets={"token": "v"})
        api.trigger("g")
        state_id = api.claim_one()["state_id"]
    first.stop()
    with connect(start_server()) as http:
        assert good(Api(http, api.namespace).get(f"/state/{state_id}/secrets")) == {"secrets": {"token": "v"}}


@pytest.mark.sqlite
@pytest.mark.parametrize("content", ["", "short", base64.urlsafe_b64encode(b"x" * 31).decode(), "é" * 44])
def test_a_bad_key_file_keeps_the_server_from_starting_and_is_named(
    start_server: Callable[..., ServerThread], tmp_path: Path, content: str
) -> None:
    (tmp_path / "exosphere.db.secrets-key").write_text(content, encoding="utf-8")
    with pytest.raises(StartupError, match="secrets-key"):
        start_server()

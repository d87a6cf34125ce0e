"""/ready tells whether requests can be served, and if not, why."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from exospherehost.server import ServerThread
from exospherehost.server.storage.migrations import revisions
from tests._support.databases import Database

StartServer = Callable[..., ServerThread]


def test_a_server_is_ready_once_it_answers(start_server: StartServer) -> None:
    answer = httpx.get(f"{start_server().url}/ready")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})
    assert "x-exosphere-request-id" in answer.headers


def test_it_needs_no_key_and_knows_one_method(start_server: StartServer) -> None:
    server = start_server(strict=True)
    assert httpx.get(f"{server.url}/ready").status_code == 200
    answer = httpx.post(f"{server.url}/ready")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


def test_a_database_that_cannot_be_read_makes_it_unready_and_leaves_it_alive(
    start_server: StartServer, database: Database
) -> None:
    server = start_server()
    database.query("ALTER TABLE alembic_version RENAME TO away")
    answer = httpx.get(f"{server.url}/ready")
    error = "OperationalError" if database.is_file else "UndefinedTable"
    assert (answer.status_code, answer.json()) == (503, {"status": "unready", "reason": f"database: {error}"})
    assert httpx.get(f"{server.url}/health").status_code == 200
    database.query("ALTER TABLE away RENAME TO alembic_version")
    assert httpx.get(f"{server.url}/ready").status_code == 200


@pytest.mark.parametrize(
    "statement", ["UPDATE alembic_version SET version_num = '0001'", "DELETE FROM alembic_version"]
)
def test_a_schema_that_is_too_old_makes_it_unready(
    start_server: StartServer, database: Database, statement: str
) -> None:
    server = start_server()
    database.query(statement)
    answer = httpx.get(f"{server.url}/ready")
    assert answer.status_code == 503
    found = "0001" if "0001" in statement else "none"
    assert answer.json()["reason"] == f"schema: at {found}, and this version needs {revisions()[0]}"


def test_the_schema_of_a_newer_server_leaves_it_ready_so_that_upgrades_can_roll(
    start_server: StartServer, database: Database
) -> None:
    server = start_server()
    database.query("UPDATE alembic_version SET version_num = '9999'")
    assert httpx.get(f"{server.url}/ready").status_code == 200


def test_the_document_holds_no_path_of_the_process(start_server: StartServer) -> None:
    paths = httpx.get(f"{start_server().url}/openapi.json").json()["paths"]
    assert "/health" in paths
    assert paths.keys().isdisjoint({"/ready", "/metrics"})

from __future__ import annotations

import signal
import socket
import stat
from pathlib import Path

import httpx
import pytest

from tests._support.command import Command
from tests._support.service import Api

KEY = "a-key-that-the-user-chose"
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - that it is guarded is what is tested


def serve(folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> Command:
    return Command("serve", "--port", "0", *arguments, folder=folder, environment=environment)


def trigger_fields(http: httpx.Client) -> set[str]:
    document = http.get("/openapi.json").json()
    return set(document["components"]["schemas"]["TriggerGraphRequest"]["properties"])


def test_the_printed_lines_are_enough_to_use_it(tmp_path: Path) -> None:
    with serve(tmp_path) as command, command.connect() as http:
        assert set(command.exports()) == {"EXOSPHERE_STATE_MANAGER_URI", "EXOSPHERE_API_KEY"}
        assert http.get("/v0/namespaces").json() == {"namespaces": [], "count": 0}
        assert "export" not in command.errors


def test_the_key_that_is_made_is_kept_beside_the_database_for_its_owner_only(tmp_path: Path) -> None:
    with serve(tmp_path) as command:
        first = command.exports()["EXOSPHERE_API_KEY"]
        command.interrupt()
    file = tmp_path / "exosphere.db.api-key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text(encoding="utf-8").strip() == first
    with serve(tmp_path) as command:
        assert command.exports()["EXOSPHERE_API_KEY"] == first


@pytest.mark.parametrize("by_variable", [True, False])
def test_a_key_that_the_user_chose_is_used_and_never_printed_or_kept(tmp_path: Path, by_variable: bool) -> None:
    arguments = [] if by_variable else ["--api-key", KEY]
    environment = {"EXOSPHERE_API_KEY": KEY if by_variable else "not this one"}
    with serve(tmp_path, *arguments, environment=environment) as command, command.connect(KEY) as http:
        assert http.get("/v0/namespaces").status_code == 200
        assert http.get("/v0/namespaces", headers={"x-api-key": "not this one"}).status_code == 401
        assert command.interrupt() == 0
        assert set(command.exports()) == {"EXOSPHERE_STATE_MANAGER_URI"}
        assert KEY not in command.output + command.errors
    assert not (tmp_path / "exosphere.db.api-key").exists()


@pytest.mark.parametrize("host", [EVERY_ADDRESS, "::"])
def test_an_address_that_others_reach_needs_an_explicit_key(tmp_path: Path, host: str) -> None:
    with serve(tmp_path, "--host", host) as command:
        assert command.wait() == 2
        assert f"Error: {host} can be reached from other machines" in command.errors
        assert "--api-key" in command.errors
        assert "EXOSPHERE_API_KEY" in command.errors
    assert list(tmp_path.iterdir()) == []


def test_with_an_explicit_key_it_listens_on_every_address(tmp_path: Path) -> None:
    with serve(tmp_path, "--host", EVERY_ADDRESS, "--api-key", KEY) as command, command.connect(KEY) as http:
        assert http.get("/health").status_code == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_signal_ends_it_with_status_0_and_no_trace(tmp_path: Path, number: signal.Signals) -> None:
    with serve(tmp_path) as command:
        with command.connect() as http:
            assert http.get("/health").status_code == 200
        command.process.send_signal(number)
        assert command.wait() == 0
        assert command.errors == ""


def test_a_port_in_use_is_one_line_of_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Command("serve", "--port", str(port), folder=tmp_path) as command:
            assert command.wait() == 1
            assert command.errors.startswith(f"Error: cannot listen on 127.0.0.1 port {port}: Address already in use")
            assert command.errors.count("\n") == 1


def test_a_database_that_cannot_be_opened_is_an_error_without_a_trace(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with serve(tmp_path, "--database", "taken") as command:
        assert command.wait() == 1
        assert "Error: cannot open the database taken: " in command.errors
        assert "Traceback" not in command.errors


def test_a_database_that_is_not_supported_is_one_line_of_error(tmp_path: Path) -> None:
    with serve(tmp_path, "--database", "oracle://host/name") as command:
        assert command.wait() == 1
        assert command.errors.startswith("Error: the database 'oracle' is not supported")
        assert command.errors.count("\n") == 1


def test_an_empty_key_file_is_one_line_of_error(tmp_path: Path) -> None:
    (tmp_path / "exosphere.db.api-key").touch()
    with serve(tmp_path) as command:
        assert command.wait() == 1
        assert command.errors.startswith("Error: the file exosphere.db.api-key holds no API key")
        assert command.errors.count("\n") == 1


def test_how_durable_a_commit_is_can_be_chosen_of_what_there_is(tmp_path: Path) -> None:
    with serve(tmp_path, "--synchronous", "normal") as command, command.connect() as http:
        assert http.get("/health").status_code == 200
    with serve(tmp_path, "--synchronous", "off") as command:
        assert command.wait() == 2
        assert "'off' is not one of 'full', 'normal'" in command.errors


def test_an_extension_can_be_left_out_of_what_is_served(tmp_path: Path) -> None:
    with serve(tmp_path) as command, command.connect() as http:
        assert "states" in trigger_fields(http)
    with serve(tmp_path, "--without", "trigger-states") as command, command.connect() as http:
        assert "states" not in trigger_fields(http)


def test_an_extension_that_there_is_not_cannot_be_left_out(tmp_path: Path) -> None:
    with serve(tmp_path, "--without", "telepathy, trigger-states") as command:
        assert command.wait() == 1
        assert command.errors.startswith("Error: no such extension: telepathy;")


def test_killed_with_9_and_started_again_it_goes_on_with_nothing_lost(tmp_path: Path) -> None:
    with serve(tmp_path) as command, command.connect() as http:
        api = Api(http, "survivors")
        api.steps()
        api.graph("two", api.node("first", next_nodes=["second"]), api.node("second"))
        run_id = api.trigger("two")
        claimed = api.claim_one()
        waiting = api.trigger("two")
        command.process.kill()
        assert command.wait() == -signal.SIGKILL
    with serve(tmp_path) as command, command.connect() as http:
        api = Api(http, "survivors")
        assert api.statuses(run_id) == [("first", "QUEUED")]
        api.executed(claimed, {"y": "done"})
        assert sorted(api.work_off()) == ["first", "second", "second"]
        for finished in (run_id, waiting):
            assert api.statuses(finished) == [("first", "SUCCESS"), ("second", "SUCCESS")]

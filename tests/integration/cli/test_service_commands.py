"""The commands that see and steer a service, against a real server."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from exospherehost.cli.app import LazyGroup, cli
from exospherehost.server import ServerThread
from tests._support.cli_service import GRAPH_FILE, SECRET, Shell, prepared, work_off
from tests._support.service import Api

ABOUT_SERVICES = ("doctor", "top", "graphs", "runs", "states", "nodes", "namespaces", "profiles")


# ---- graphs ------------------------------------------------------------------------------------------


def test_a_file_is_stored_and_read_back_without_loss(api: Api, shell: Shell) -> None:
    first = shell.run("graphs", "apply", "greetings.yaml")
    assert "Graph greetings is stored and VALID." in first.stdout
    assert "Graph greetings: nothing changes." in shell.run("graphs", "apply", "greetings.yaml").stdout
    exported = shell.run("graphs", "export", "greetings").stdout
    Path("exported.yaml").write_text(exported)
    assert shell.json("graphs", "diff", "exported.yaml") == {"graphs": [{"name": "greetings", "diff": []}]}
    assert SECRET not in exported + first.output
    assert [graph["name"] for graph in shell.json("graphs", "list")["graphs"]] == ["greetings"]
    assert api.get("/graph/greetings").json()["validation_status"] == "VALID"


def test_a_secret_reaches_the_node_and_never_the_terminal(api: Api, shell: Shell) -> None:
    shell.run("graphs", "apply", "greetings.yaml", "--secret", "token=given-in-place-of-it")
    shell.run("trigger", "greetings", "-i", "name=Ada")
    state = api.claim_one("Greet")
    assert api.get(f"/state/{state['state_id']}/secrets").json() == {"secrets": {"token": "given-in-place-of-it"}}


def test_a_missing_secret_is_refused_before_anything_is_stored(api: Api, shell: Shell) -> None:
    shell.environment.pop("EXOSPHERE_SECRET_TOKEN")
    done = shell.run("graphs", "apply", "greetings.yaml", exit_code=1)
    assert "the secret 'token' has no value" in done.stderr
    assert "EXOSPHERE_SECRET_TOKEN" in done.stderr
    assert api.get("/graph/greetings").status_code == 404


@pytest.mark.usefixtures("api")
def test_a_secret_that_no_file_names_is_refused(shell: Shell) -> None:
    done = shell.run("graphs", "apply", "greetings.yaml", "--secret", f"tokn={SECRET}", exit_code=2)
    assert "no file names the secret 'tokn'" in done.stderr
    assert SECRET not in done.output


@pytest.mark.parametrize(
    ("old", "new", "line", "problem"),
    [
        ("identifier: shout", "identifer: shout", 8, "did you mean 'identifier'?"),
        ("next_nodes: [shout]", "next_nodes: [shuot]", 3, "shuot"),
        ("greet.outputs.text", "greet.outputs.txet", 7, "refers to output 'txet'"),
        ("node_name: Shout", "node_name: Shuot", 7, "is not registered"),
        ("max_retries: 0", "max_retries: none", 11, "max_retries"),
        ("[token]", "[token", 11, "expected"),
        ("name: greetings\n", "", 1, "name"),
    ],
)
def test_a_mistake_in_a_file_is_shown_with_its_line(
    api: Api, shell: Shell, old: str, new: str, line: int, problem: str
) -> None:
    assert GRAPH_FILE.count(old) == 1
    Path("wrong.yaml").write_text(GRAPH_FILE.replace(old, new))
    done = shell.run("graphs", "apply", "wrong.yaml", exit_code=1)
    assert f"wrong.yaml:{line}: " in done.stderr
    assert problem in done.stderr
    assert api.get("/graphs/").json()["count"] == 0


def test_no_file_is_stored_when_another_is_wrong(api: Api, shell: Shell) -> None:
    Path("wrong.yaml").write_text(GRAPH_FILE.replace("node_name: Shout", "node_name: Other"))
    shell.run("graphs", "apply", "greetings.yaml", "wrong.yaml", exit_code=1)
    assert api.get("/graphs/").json()["count"] == 0


def test_a_dry_run_shows_what_changes_and_stores_nothing(api: Api, shell: Shell) -> None:
    shell.run("graphs", "apply", "greetings.yaml")
    Path("changed.yaml").write_text(GRAPH_FILE.replace("World", "Moon"))
    done = shell.run("graphs", "apply", "changed.yaml", "--dry-run")
    assert "-    name: World" in done.stdout
    assert "+    name: Moon" in done.stdout
    assert shell.run("graphs", "diff", "changed.yaml", exit_code=1).stdout == done.stdout
    assert api.get("/graph/greetings").json()["nodes"][0]["inputs"] == {"name": "World"}


def test_a_small_file_of_many_aliases_is_refused(shell: Shell) -> None:
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    Path("bomb.yaml").write_text("\n".join(["a0: &a0 [x]", *levels, ""]))
    assert "more than 1,000,000 values" in shell.run("graphs", "apply", "bomb.yaml", "-n", "a", exit_code=1).stderr


def test_a_graph_is_drawn_and_deleted(api: Api, shell: Shell) -> None:
    shell.run("graphs", "apply", "greetings.yaml")
    drawn = shell.run("graphs", "draw", "greetings").stdout
    assert drawn.index("greet") < drawn.index("shout")
    shell.run("graphs", "draw", "greetings", "--output", "a.mmd")
    assert "n0 --> n1" in Path("a.mmd").read_text()
    shell.run("graphs", "delete", "greetings", stdin="n\n", exit_code=1)
    assert api.get("/graph/greetings").status_code == 200
    shell.run("graphs", "delete", "greetings", stdin="y\n")
    shell.run("graphs", "delete", "greetings", "--yes", exit_code=3)
    assert api.get("/graph/greetings").status_code == 404


# ---- runs --------------------------------------------------------------------------------------------


def test_why_a_run_failed_is_seen_and_it_is_retried(api: Api, shell: Shell, failed_run: str) -> None:
    listed = shell.json("runs", "list", "--status", "failed")
    assert [(run["run_id"], run["status"]) for run in listed["runs"]] == [(failed_run, "FAILED")]
    beginning = failed_run[:8]
    shown = shell.run("runs", "show", beginning).stdout
    assert "ValueError: shout failed" in shown
    assert shown.index("greet") < shown.index("shout")
    errors = shell.run("runs", "errors", beginning).stdout
    assert 'File "app.py", line 7' in errors
    dry = shell.json("runs", "retry", beginning, "--dry-run")
    assert [state["identifier"] for state in dry["runs"][0]["states"]] == ["shout"]
    assert api.claim("Greet", "Shout") == []
    shell.run("runs", "retry", beginning)
    work_off(api)
    assert shell.json("runs", "wait", beginning)["status"] == "SUCCESS"
    assert "No run fits." in shell.run("runs", "list", "--status", "failed").stdout


def test_only_chosen_states_are_shown_and_retried(shell: Shell, failed_run: str) -> None:
    assert [node["identifier"] for node in shell.json("runs", "show", failed_run, "--failed")["nodes"]] == ["shout"]
    assert [node["identifier"] for node in shell.json("runs", "show", failed_run, "--node", "greet")["nodes"]] == [
        "greet"
    ]
    assert shell.json("runs", "errors", failed_run, "--node", "greet")["errors"] == []
    assert shell.json("runs", "retry", failed_run, "--node", "greet")["runs"][0]["states"] == []


def test_a_run_that_failed_is_waited_for_with_exit_status_1(shell: Shell, failed_run: str) -> None:
    assert shell.json("runs", "wait", failed_run, exit_code=1)["status"] == "FAILED"
    assert "shout failed" in shell.run("runs", "watch", failed_run, exit_code=1).stdout


def test_a_wait_that_is_over_says_that_the_run_goes_on(api: Api, shell: Shell) -> None:
    shell.run("graphs", "apply", "greetings.yaml")
    run_id = shell.json("trigger", "greetings", "-i", "name=Ada")["run_id"]
    done = shell.run("runs", "wait", run_id, "--timeout", "1s", exit_code=1)
    assert "goes on" in done.stderr
    assert api.run(run_id)["status"] == "PENDING"


def test_a_run_is_cancelled_once(api: Api, shell: Shell) -> None:
    shell.run("graphs", "apply", "greetings.yaml")
    run_id = shell.json("trigger", "greetings", "-i", "name=Ada", "--delay", "1h")["run_id"]
    assert not shell.json("runs", "cancel", run_id, "--dry-run")["runs"][0]["cancelled"]
    assert api.run(run_id)["status"] == "PENDING"
    assert shell.json("runs", "cancel", run_id)["runs"][0]["cancelled"]
    assert shell.json("runs", "cancel", run_id)["runs"] == []
    assert shell.json("runs", "list")["runs"][0]["status"] == "CANCELLED"
    assert "No run to retry" in shell.run("runs", "retry", run_id).stdout


def test_many_runs_are_cancelled_by_a_filter_after_a_question(api: Api, shell: Shell) -> None:
    shell.run("graphs", "apply", "greetings.yaml")
    runs = {shell.json("trigger", "greetings", "-i", "name=Ada", "--delay", "1h")["run_id"] for _ in range(3)}
    refused = shell.run("runs", "cancel", "--graph", "greetings", stdin="n\n")
    assert "Cancel 3 runs?" in refused.stderr
    assert all(api.run(run_id)["status"] == "PENDING" for run_id in runs)
    shell.run("runs", "cancel", "--graph", "other", "--yes")
    assert all(api.run(run_id)["status"] == "PENDING" for run_id in runs)
    done = shell.json("runs", "cancel", "--status", "pending", "--since", "1h", "--yes")
    assert {run["run_id"] for run in done["runs"]} == runs
    assert all(api.run(run_id)["cancelled_at"] for run_id in runs)


def test_filters_by_time_and_number(shell: Shell, failed_run: str) -> None:
    shell.run("trigger", "greetings", "-i", "name=Ada")
    assert shell.json("runs", "list", "--limit", "1")["has_more"]
    assert "There are more" in shell.run("runs", "list", "--limit", "1").stdout
    assert len(shell.json("runs", "list", "--since", "1h")["runs"]) == 2
    assert shell.json("runs", "list", "--until", "1h")["runs"] == []
    assert [run["run_id"] for run in shell.json("runs", "list")["runs"]][1] == failed_run


def test_ids_and_filters_exclude_each_other(shell: Shell, failed_run: str) -> None:
    for words in (["cancel"], ["retry"], ["cancel", failed_run, "--graph", "a"]):
        shell.run("runs", *words, exit_code=2)


# ---- states and nodes --------------------------------------------------------------------------------


def test_a_state_is_shown_and_retried(shell: Shell, failed_run: str) -> None:
    failed = shell.json("runs", "errors", failed_run)["errors"][0]["id"]
    shown = shell.run("states", "show", failed, "--run", failed_run[:8]).stdout
    assert '"text": "done"' in shown
    assert "ValueError: shout failed" in shown
    assert shell.json("states", "retry", failed)["status"] == "CREATED"
    shell.run("states", "retry", "0" * 24, exit_code=3)


def test_nodes_and_namespaces(api: Api, shell: Shell) -> None:
    assert [node["name"] for node in shell.json("nodes", "list")["nodes"]] == ["Greet", "Shout"]
    assert "token" in shell.run("nodes", "show", "Greet").stdout
    assert "did you mean 'Greet'?" in shell.run("nodes", "show", "Gret", exit_code=3).stderr
    assert shell.json("namespaces", "list") == {"namespaces": [api.namespace]}


def test_hostile_text_moves_no_cursor_and_is_no_markup(api: Api, shell: Shell, failed_run: str) -> None:
    shell.run("runs", "retry", failed_run)
    api.errored(api.claim_one("Shout"), "[bold]\x1b]0;title\x07\x1b[2J\r<script>")
    for words in (["runs", "show", failed_run], ["runs", "errors", failed_run]):
        output = shell.run(*words).stdout
        assert "[bold]" in output
        assert "\x1b" not in output
        assert "\x07" not in output
        assert "\r" not in output


# ---- where the service comes from --------------------------------------------------------------------


def test_without_a_namespace_the_only_one_is_used(api: Api, shell: Shell) -> None:
    assert shell.json("nodes", "list")["nodes"]
    prepared(api.in_namespace("other"))
    done = shell.run("nodes", "list", exit_code=2)
    assert "give --namespace: hello, other" in done.stderr
    assert shell.json("nodes", "list", "--namespace", "other")["nodes"][0]["namespace"] == "other"
    shell.environment["EXOSPHERE_NAMESPACE"] = "hello"
    assert shell.json("nodes", "list")["nodes"][0]["namespace"] == "hello"


@pytest.mark.usefixtures("api")
def test_exit_statuses_tell_the_kinds_of_failure_apart(shell: Shell) -> None:
    shell.run("runs", "show", "ffffffff", exit_code=3)
    shell.run("runs", "show", "ffffffff-0000-4000-8000-000000000000", exit_code=3)
    shell.run("graphs", "show", "unknown", exit_code=3)
    wrong = shell.run(
        "runs", "list", "--uri", shell.environment["EXOSPHERE_STATE_MANAGER_URI"], "--key", "x", exit_code=4
    )
    assert "the key comes from the options" in wrong.stderr
    away = shell.run("runs", "list", "--uri", "http://127.0.0.1:9", "--key", "x", "-n", "hello", exit_code=5)
    assert "the address comes from the options" in away.stderr
    shell.run("runs", "list", "--limit", "0", exit_code=2)


@pytest.mark.usefixtures("api")
def test_a_service_and_its_key_come_from_one_source(shell: Shell, server: ServerThread) -> None:
    shell.run("runs", "list", "--uri", "http://127.0.0.1:9", exit_code=2)
    shell.run("runs", "list", "--key", "x", exit_code=2)
    shell.environment.pop("EXOSPHERE_API_KEY")
    Path(".env").write_text("EXOSPHERE_API_KEY=from-the-file\n")
    assert "EXOSPHERE_API_KEY" in shell.run("runs", "list", exit_code=2).stderr
    shell.environment.pop("EXOSPHERE_STATE_MANAGER_URI")
    done = shell.run("runs", "list", exit_code=2)
    assert ".env has EXOSPHERE_API_KEY without EXOSPHERE_STATE_MANAGER_URI" in done.stderr
    Path(".env").write_text(f"EXOSPHERE_API_KEY={server.api_key}\nEXOSPHERE_STATE_MANAGER_URI={server.url}\n")
    assert shell.json("runs", "list")["runs"] == []
    # A profile's key never goes to an address that a folder's file names.
    Path(".env").write_text("EXOSPHERE_STATE_MANAGER_URI=http://127.0.0.1:9\n")
    shell.run("login", "--uri", server.url, "--key-stdin", stdin=f"{server.api_key}\n")
    assert ".env has EXOSPHERE_STATE_MANAGER_URI without" in shell.run("runs", "list", exit_code=2).stderr
    assert shell.json("runs", "list", "--profile", "default")["runs"] == []
    Path(".env").unlink()
    assert shell.json("runs", "list")["runs"] == []


@pytest.mark.usefixtures("api")
def test_a_profile_keeps_its_key_where_only_its_user_reads_it(shell: Shell, server: ServerThread) -> None:
    done = shell.run("login", "--uri", server.url, "--profile", "mine", stdin=f"{server.api_key}\n")
    assert server.api_key not in done.output
    path = Path("config/config.toml")
    assert path.stat().st_mode & 0o777 == 0o600
    assert server.api_key not in shell.run("profiles", "list").output
    assert shell.json("profiles", "list")["profiles"] == [
        {"name": "mine", "uri": server.url, "namespace": None, "current": True}
    ]
    shell.run("login", "--uri", server.url, "--key-stdin", "-n", "x", stdin=f"{server.api_key}\n")
    shell.run("profiles", "use", "mine")
    path.chmod(0o644)
    assert "chmod 600" in shell.run("profiles", "list", exit_code=1).stderr
    path.chmod(0o600)
    shell.run("profiles", "delete", "mine")
    shell.run("profiles", "use", "mine", exit_code=2)


def test_a_wrong_key_makes_no_profile(shell: Shell, server: ServerThread) -> None:
    done = shell.run("login", "--uri", server.url, "--key-stdin", stdin="wrong-key\n", exit_code=4)
    assert "wrong-key" not in done.output
    assert shell.json("profiles", "list")["profiles"] == []


# ---- examples ----------------------------------------------------------------------------------------


def examples() -> Iterator[tuple[str, str]]:
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        found = [command]
        if isinstance(command, LazyGroup):
            inner = click.Context(command)
            found = [each for each in (command.get_command(inner, one) for one in command.places) if each is not None]
        if name in (*ABOUT_SERVICES, "trigger", "login"):
            for each in found:
                assert each.epilog is not None
                yield name, each.epilog.removeprefix("Example: exospherehost ")


@pytest.mark.parametrize(("group", "example"), list(examples()))
def test_the_example_in_a_commands_help_runs(
    group: str, example: str, shell: Shell, server: ServerThread, failed_run: str
) -> None:
    Path("token.txt").write_text(SECRET)
    state_id = shell.json("runs", "errors", failed_run)["errors"][0]["id"]
    shell.run("login", "--uri", server.url, "--profile", "staging", "--key-stdin", stdin=f"{server.api_key}\n")
    words = [
        word.replace("0f3b2c4d", failed_run[:8])
        .replace("65f0c0ffee65f0c0ffee65f0", state_id)
        .replace("https://state-manager.example", server.url)
        for word in shlex.split(example.partition(" > ")[0])
        # No runtime would ever end that run.
        if word != "--wait"
    ]
    if words[0] == "top":
        words.append("--once")
    assert words[0] == group
    ends_with_the_run = words[:2] in (["runs", "watch"], ["runs", "wait"])
    shell.run(*words, stdin=f"{server.api_key}\n", exit_code=1 if ends_with_the_run else 0)

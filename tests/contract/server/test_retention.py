"""Runs that ended long ago are deleted, whole, while everything else goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from exospherehost.server import ServerSettings, ServerThread, StartupError
from exospherehost.server.service import retention
from exospherehost.server.storage.sql.store import SqlStore
from exospherehost.testing.clock import ManualClock
from tests._support.command import Command
from tests._support.databases import Database
from tests._support.eventually import eventually_sync
from tests._support.service import Api, connect, good

StartServer = Callable[..., ServerThread]
HOUR_MS = 3_600_000
BEGAN_MS = 1_800_000_000_000
KEEP = timedelta(hours=24)
TABLES = ("runs", "states", "joins", "join_firings")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(BEGAN_MS)


def rows(database: Database, table: str) -> int:
    return int(database.query(f"SELECT count(*) FROM {table}")[0][0])  # noqa: S608 - of this file


def put_fan(api: Api, name: str = "fan") -> None:
    api.steps()
    api.graph(
        name,
        api.node("a", {}, ["b"]),
        api.node("b", {}, ["c"]),
        api.node("c", unites="a"),
        retry_policy={"max_retries": 1, "strategy": "FIXED", "backoff_factor": 1},
    )


def run_fan(api: Api, *, width: int = 3, name: str = "fan") -> str:
    run = api.trigger(name)
    api.executed(api.claim_one(), {"y": "1"})
    api.executed(api.claim_one(), *({"y": str(number)} for number in range(width)))
    api.executed(api.claim_one(), {"y": "1"})
    assert api.run(run)["status"] == "SUCCESS"
    return run


def is_gone(api: Api, run: str) -> bool:
    return run not in {each["run_id"] for each in good(api.get("/runs/1/1000"))["runs"]}


@contextmanager
def opened(database: Database) -> Iterator[SqlStore]:
    store = database.open()
    try:
        yield store
    finally:
        store.close()


def test_a_server_deletes_runs_when_they_have_been_over_for_long_enough(
    start_server: StartServer, clock: ManualClock, database: Database
) -> None:
    with connect(start_server(clock=clock, keep_runs=KEEP)) as http:
        api = Api(http)
        put_fan(api)
        old = run_fan(api)
        state = api.states(old)[0]["id"]
        clock.advance_to(BEGAN_MS + 23 * HOUR_MS)
        young = run_fan(api)
        assert not is_gone(api, old)
        clock.advance_to(BEGAN_MS + 25 * HOUR_MS)
        eventually_sync(lambda: is_gone(api, old), 30)
        eventually_sync(lambda: rows(database, "runs") == 1, 30)
        assert api.states(old) == []
        assert api.get(f"/graph/fan/run/{old}/node/{state}").status_code == 404
        assert api.report(state, "manual-retry", {"fanout_id": "again"}).status_code == 404
        assert api.report(state, "executed", {"outputs": []}).status_code == 404
        assert [rows(database, table) for table in TABLES] == [1, 5, 1, 1]
        assert len(api.statuses(young)) == 5
        assert good(api.get("/runs/1/10"))["total"] == 1


def test_a_server_keeps_all_by_default(start_server: StartServer, clock: ManualClock) -> None:
    with connect(start_server(clock=clock)) as http:
        api = Api(http)
        put_fan(api)
        run = run_fan(api)
        clock.advance_to(BEGAN_MS + 100_000 * HOUR_MS)
        assert run_fan(api) != run
        assert not is_gone(api, run)


def test_what_has_not_ended_stays_and_so_does_what_was_retried_lately(
    start_server: StartServer, clock: ManualClock, database: Database
) -> None:
    with connect(start_server(clock=clock)) as http:
        api = Api(http)
        put_fan(api)
        pending, held, retried, ended = (api.trigger("fan", start_delay=delay) for delay in (10**9, 0, 0, 0))
        first, second, third = api.claim()
        assert first["run_id"] == held
        for state in (second, third):
            good(api.report(state["state_id"], "prune", {"data": {}}))
        clock.advance_to(BEGAN_MS + 30 * HOUR_MS)
        again = good(api.report(second["state_id"], "manual-retry", {"fanout_id": "later"}))["id"]
        assert api.claim_one()["state_id"] == again
        good(api.report(again, "prune", {"data": {}}))
        with opened(database) as store:
            counted = asyncio.run(retention.count_old_runs(store, clock, KEEP))
            assert asyncio.run(retention.delete_old_runs(store, clock, KEEP)) == counted == retention.DeletedRuns(1, 1)
        assert [is_gone(api, run) for run in (pending, held, retried, ended)] == [False, False, False, True]
        # What was held is held still.
        api.executed(first, {"y": "1"})


def test_counting_deletes_nothing(start_server: StartServer, clock: ManualClock, database: Database) -> None:
    with connect(start_server(clock=clock)) as http:
        api = Api(http)
        put_fan(api)
        runs = [run_fan(api, width=width) for width in (1, 2, 3)]
        clock.advance_to(BEGAN_MS + 25 * HOUR_MS)
        before = [rows(database, table) for table in TABLES]
        with opened(database) as store:
            assert asyncio.run(retention.count_old_runs(store, clock, KEEP)) == retention.DeletedRuns(3, 3 + 4 + 5)
        assert [rows(database, table) for table in TABLES] == before
        assert not any(is_gone(api, run) for run in runs)


def test_a_wide_run_is_gone_at_once_and_deleted_in_bounded_steps(
    start_server: StartServer, clock: ManualClock, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    real = SqlStore.write

    async def noting(store: SqlStore, work: Callable[..., object]) -> object:
        before = rows(database, "states")
        result = await real(store, work)
        sizes.append(before - rows(database, "states"))
        return result

    with connect(start_server(clock=clock)) as http:
        api = Api(http)
        put_fan(api)
        wide = run_fan(api, width=1_200)
        clock.advance_to(BEGAN_MS + 25 * HOUR_MS)
        with opened(database) as store:
            monkeypatch.setattr(SqlStore, "write", noting)
            assert asyncio.run(retention.delete_old_runs(store, clock, KEEP)) == retention.DeletedRuns(1, 1_202)
        assert is_gone(api, wide)
    assert sum(sizes) == 1_202
    assert max(sizes) <= 250
    assert rows(database, "states") == 0


def test_what_a_crash_left_half_deleted_is_completed(
    start_server: StartServer, clock: ManualClock, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect(start_server(clock=clock)) as http:
        api = Api(http)
        put_fan(api)
        run = run_fan(api, width=600)
        some = api.states(run)[-1]["id"]
        clock.advance_to(BEGAN_MS + 25 * HOUR_MS)
        calls = iter(range(3))
        real = retention._delete_some

        def crash(unit: object) -> object:
            if next(calls, None) is None:
                raise KeyboardInterrupt
            return real(unit)  # type: ignore[arg-type]

        with opened(database) as store:
            monkeypatch.setattr(retention, "_delete_some", crash)
            with pytest.raises(BaseException):  # noqa: B017, PT011 - whatever a crash looks like
                asyncio.run(retention.delete_old_runs(store, clock, KEEP))
            monkeypatch.undo()
        # Nobody sees the remainder, nor can bring it back to life.
        assert 0 < rows(database, "states") < 602
        assert is_gone(api, run)
        assert api.states(run) == []
        assert api.report(some, "manual-retry", {"fanout_id": "again"}).status_code == 404
        with opened(database) as store:
            asyncio.run(retention.delete_old_runs(store, clock, KEEP))
        assert [rows(database, table) for table in TABLES] == [0, 0, 0, 0]


def test_a_graph_version_goes_with_its_last_run_unless_it_is_the_graphs_own(
    start_server: StartServer, clock: ManualClock, database: Database
) -> None:
    with connect(start_server(clock=clock)) as http:
        api = Api(http)
        for _ in range(3):
            put_fan(api)
            run_fan(api)
        assert rows(database, "graph_versions") == 3
        clock.advance_to(BEGAN_MS + 25 * HOUR_MS)
        with opened(database) as store:
            asyncio.run(retention.delete_old_runs(store, clock, KEEP))
        assert rows(database, "graph_versions") == 1
        run_fan(api)


def test_expired_idempotency_keys_go_too(start_server: StartServer, clock: ManualClock, database: Database) -> None:
    with connect(start_server(clock=clock)) as http:
        api = Api(http)
        put_fan(api)
        answer = api.call("POST", "/graph/fan/trigger", json={}, headers={"idempotency-key": "one"})
        assert answer.status_code == 200
        api.prune({"state_id": api.claim_one()["state_id"]})
        clock.advance_to(BEGAN_MS + 2 * HOUR_MS)
        with opened(database) as store:
            assert asyncio.run(retention.delete_old_runs(store, clock, timedelta(hours=1))).runs == 1
            # The same answer, and no second run, for as long as that is promised.
            again = api.call("POST", "/graph/fan/trigger", json={}, headers={"idempotency-key": "one"})
            assert again.json() == answer.json()
            assert rows(database, "trigger_keys") == 1
            clock.advance_to(BEGAN_MS + 25 * HOUR_MS)
            asyncio.run(retention.delete_old_runs(store, clock, timedelta(hours=1)))
            assert rows(database, "trigger_keys") == 0


def test_claims_and_reports_go_on_meanwhile(start_server: StartServer, clock: ManualClock, database: Database) -> None:
    with connect(start_server(clock=clock)) as http:
        api = Api(http)
        put_fan(api)
        api.graph("one", api.node("only"))
        old = [run_fan(api, width=60, name="fan") for _ in range(20)]
        clock.advance_to(BEGAN_MS + 25 * HOUR_MS)
        failures: list[BaseException] = []

        def delete() -> None:
            try:
                with opened(database) as store:
                    asyncio.run(retention.delete_old_runs(store, clock, KEEP))
            except BaseException as error:  # noqa: BLE001 - told below
                failures.append(error)

        deleting = threading.Thread(target=delete)
        deleting.start()
        young: list[str] = []
        while deleting.is_alive() or len(young) < 10:
            young.append(api.trigger("one"))
            api.executed(api.claim_one(), {"y": "1"})
        deleting.join()
        assert failures == []
        assert all(is_gone(api, run) for run in old)
        assert {api.run(run)["status"] for run in young[:100]} == {"SUCCESS"}
        assert rows(database, "runs") == len(young)


@pytest.mark.parametrize("keep", [timedelta(0), timedelta(days=-1)])
def test_no_time_is_no_setting(keep: timedelta) -> None:
    with pytest.raises(StartupError, match="keep_runs"):
        ServerSettings(api_key="key", keep_runs=keep)


# ---- the command ---------------------------------------------------------------------------------


def command(folder: Path, *arguments: str | Path) -> tuple[int, str, str]:
    with Command("db", "prune", *arguments, folder=folder) as running:
        code = running.wait()
        return code, running.output.strip(), running.errors


def test_the_command_counts_and_deletes_beside_a_running_server(
    start_server: StartServer, database: Database, tmp_path: Path
) -> None:
    # Long ago by the clock of the command, which is the machine's.
    clock = ManualClock(1_500_000_000_000)
    with connect(start_server(clock=clock)) as http:
        api = Api(http)
        put_fan(api)
        run = run_fan(api)
        options = ("--database", database.setting, "--older-than", "30d")
        assert command(tmp_path, *options, "--dry-run") == (0, "Would delete 1 run with 5 states.", "")
        assert not is_gone(api, run)
        code, said, _log = command(tmp_path, *options)
        assert (code, said) == (0, "Deleted 1 run with 5 states.")
        assert is_gone(api, run)
        assert command(tmp_path, *options) == (0, "Deleted 0 runs with 0 states.", "")


@pytest.mark.parametrize("text", ["30", "0d", "-1d", "d", "1.5h", "999999999w", "3 d"])
def test_the_command_refuses_what_is_no_time(tmp_path: Path, text: str) -> None:
    code, _said, errors = command(tmp_path, "--older-than", text)
    assert code == 2
    assert "--older-than" in errors


def test_the_command_makes_no_database(tmp_path: Path) -> None:
    code, _said, errors = command(tmp_path, "--database", "nowhere.db", "--older-than", "30d")
    assert code == 1
    assert "nowhere.db" in errors
    assert list(tmp_path.iterdir()) == []


def test_serve_takes_the_time(tmp_path: Path) -> None:
    with Command("serve", "--port", "0", "--keep-runs", "12h", folder=tmp_path) as server:
        server.exports()
        assert server.interrupt() == 0

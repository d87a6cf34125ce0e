"""The journal keeps what is claimed and what is not delivered, for one runtime at a time, and survives a kill."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import sqlite3
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exospherehost import BaseNode, ConfigurationError
from exospherehost._runtime import journal
from exospherehost._runtime import outcomes as reports
from exospherehost._runtime.journal import Journal, JournalError
from exospherehost._runtime.outcomes import Outcome
from exospherehost._transport.retry import Backoff
from exospherehost_client import bodies
from tests._support.command import Command
from tests._support.eventually import eventually
from tests._support.fake_state_manager import FakeStateManager, offering
from tests._support.http_service import DROP, Answer, Asked
from tests._support.nodes import Echo
from tests._support.runtimes import KEY, make_runtime, running
from tests._support.stand_in import stand_in

NOT_QUEUED = Answer(400, {"detail": "State is not queued"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runtime.journal"


def rows(path: Path) -> list[tuple[str, str | None]]:
    """Read what is in a journal that nobody uses."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT state_id, outcome FROM states ORDER BY state_id").fetchall()
    finally:
        connection.close()


def crashed(path: Path) -> list[tuple[str, str | None]]:
    """Read what would be left of a journal if its runtime were killed now."""
    copy = path.with_name("copy.journal")
    for suffix in ("", "-wal"):
        copy.with_name(copy.name + suffix).unlink(missing_ok=True)
        if path.with_name(path.name + suffix).exists():
            shutil.copy(path.with_name(path.name + suffix), copy.with_name(copy.name + suffix))
    return rows(copy)


class Held:
    """A node that stays in its execution until the test lets it go on."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.started: list[str] = []

    def node(self) -> type[BaseNode]:
        held = self

        class Holds(BaseNode):
            async def execute(self) -> None:
                held.started.append(self.context.state_id)
                await held.go_on.wait()

        return Holds


async def left_by_a_crash(path: Path, service: FakeStateManager) -> tuple[str, str, str]:
    """Make a journal with an executed, an errored and an unfinished state; returns their ids."""
    ids = (service.put_state("Echo"), service.put_state("Echo"), service.put_state("Echo"))
    service._waiting.clear()
    async with Journal(path, "ns") as journal:
        await journal.claimed(ids)
        await journal.outcome(reports.executed(ids[0], [{"text": "kept"}], (), 0, {}))
        await journal.outcome(reports.errored(ids[1], "LookupError: nothing there"))
    return ids


# ---- the file --------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="files have other permissions there")
async def test_nobody_else_may_read_it(path: Path) -> None:
    before = os.umask(0)
    try:
        async with Journal(path, "ns") as journal:
            await journal.claimed(["a"])
            modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    finally:
        os.umask(before)

    assert modes[path.name] == 0o600
    assert set(modes.values()) == {0o600}


async def test_second_runtime_is_refused_and_the_first_goes_on(service: FakeStateManager, path: Path) -> None:
    async with running(make_runtime(service, Echo, journal=path)):
        await eventually(lambda: service.claims)
        with pytest.raises(ConfigurationError, match="used by another runtime; give each runtime a file of its own"):
            await asyncio.wait_for(make_runtime(service, Echo, journal=str(path)).run(), 10)
        assert len(service.registrations) == 1
        state_id = service.put_state("Echo", {"text": "x"})
        await eventually(lambda: service.report_of(state_id))

    async with running(make_runtime(service, Echo, journal=path)):
        await eventually(lambda: len(service.registrations) == 2)


def _text(path: Path) -> None:
    path.write_text("shopping list: " + "milk, " * 500)


def _short_text(path: Path) -> None:
    path.write_text("milk")


def _directory(path: Path) -> None:
    path.mkdir()


def _foreign(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE states (id INTEGER)")
    connection.commit()
    connection.close()


def _newer(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 3")
    connection.execute("CREATE TABLE states (state_id TEXT, outcome TEXT, more TEXT)")
    connection.commit()
    connection.close()


def _content(path: Path) -> dict[str, bytes | None]:
    """What is in a file's folder."""
    return {each.name: None if each.is_dir() else each.read_bytes() for each in path.parent.iterdir()}


UNUSABLE: dict[str, tuple[Callable[[Path], None], str]] = {
    "a text": (_text, "cannot be used as a journal"),
    "a short text": (_short_text, "cannot be used as a journal"),
    "a directory": (_directory, "cannot be opened"),
    "another program's database": (_foreign, "another program's database"),
    "a newer version": (_newer, "newer version of this package"),
}


@pytest.mark.parametrize(("make", "says"), UNUSABLE.values(), ids=UNUSABLE)
async def test_file_that_is_no_journal_is_refused_and_left_alone(
    service: FakeStateManager, path: Path, make: Callable[[Path], None], says: str
) -> None:
    make(path)
    before = _content(path)

    with pytest.raises(ConfigurationError, match=says) as caught:
        await asyncio.wait_for(make_runtime(service, Echo, journal=path).run(), 10)

    assert f"journal={str(path)!r}" in str(caught.value)
    assert service.asked == []
    assert _content(path) == before


@pytest.mark.parametrize("wrong", ["", " ", 5, b"journal"])
def test_what_is_no_path_is_refused_when_the_runtime_is_made(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="journal="):
        make_runtime("http://localhost", Echo, journal=wrong)


async def test_folder_that_is_not_there_is_refused(service: FakeStateManager, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        await asyncio.wait_for(make_runtime(service, Echo, journal=tmp_path / "no" / "journal").run(), 10)


async def test_states_of_another_namespace_are_refused_and_kept(service: FakeStateManager, path: Path) -> None:
    async with Journal(path, "other") as journal:
        await journal.claimed(["a"])

    with pytest.raises(ConfigurationError, match=r"namespace 'other', and this runtime's is 'ns'"):
        await asyncio.wait_for(make_runtime(service, Echo, journal=path).run(), 10)

    assert rows(path) == [("a", None)]


async def test_empty_journal_of_another_namespace_is_taken_over(service: FakeStateManager, path: Path) -> None:
    async with Journal(path, "other") as journal:
        await journal.claimed(["a"])
        journal.settled("a")

    async with running(make_runtime(service, Echo, journal=path)):
        state_id = service.put_state("Echo", {"text": "x"})
        await eventually(lambda: service.report_of(state_id))
    async with Journal(path, "ns") as journal:
        await journal.claimed(["b"])
    with pytest.raises(ConfigurationError, match="holds states of the namespace 'ns'"):
        await Journal(path, "other").__aenter__()


# ---- what is kept ----------------------------------------------------------------------------------


async def test_outcome_takes_the_place_of_its_claim(path: Path) -> None:
    async with Journal(path, "ns") as journal:
        assert journal.left_over() == ([], {})
        await journal.claimed(["a", "b", "c"])
        await journal.outcome(reports.pruned("b", {"why": "old"}, (), 0, {}))
        await journal.outcome(reports.requeued("c", 5, (), {}))
        # Claimed again: what became of it before is over.
        await journal.claimed(["c"])
        await journal.claimed(["d"])
        journal.settled("d")

    async with Journal(path, "ns") as journal:
        report: bodies.StateReport = {"state_id": "b", "prune": {"data": {"why": "old"}}}
        assert journal.left_over() == ([Outcome("b", "pruned", report)], {"a": None, "c": None})


@pytest.mark.parametrize("data", [{"k": object()}, {"k": "\udce9"}, {"k": {1, 2}.__iter__}])
async def test_outcome_that_is_no_json_is_kept_as_an_error(path: Path, data: dict[str, Any]) -> None:
    async with Journal(path, "ns") as journal:
        await journal.outcome(reports.pruned("a", data, (), 0, {}))

    async with Journal(path, "ns") as journal:
        ((left,), unfinished) = journal.left_over()
    assert unfinished == {}
    assert left.kind == "errored"
    assert "the pruned report cannot be delivered" in left.report["errored"]["error"]


async def test_outcome_that_cannot_be_read_again_is_an_error_and_keeps_nothing_from_starting(path: Path) -> None:
    data: dict[str, Any] = {}
    for _ in range(230):
        data = {"in": data}
    async with Journal(path, "ns") as journal:
        await journal.outcome(reports.pruned("a", data, (), 0, {}))
        await journal.outcome(reports.pruned("b", {}, (), 0, {}))

    async with Journal(path, "ns") as journal:
        left, _ = journal.left_over()
    assert {outcome.state_id: outcome.kind for outcome in left} == {"a": "errored", "b": "pruned"}


async def test_write_that_is_not_awaited_any_more_harms_no_other(path: Path) -> None:
    async with Journal(path, "ns") as journal:
        first = asyncio.ensure_future(journal.claimed(["a"]))
        await asyncio.sleep(0)
        first.cancel()
        await journal.claimed(["b"])

    assert ("b", None) in rows(path)


async def test_outcome_is_recorded_before_it_is_sent(service: FakeStateManager, path: Path) -> None:
    go_on = threading.Event()
    kept: list[Any] = []

    def before(asked: Asked) -> None:
        if asked.path.endswith("/executed"):
            kept.extend(crashed(path))
            assert go_on.wait(20)

    service.before = before
    state_id = service.put_state("Echo", {"text": "x"})
    try:
        async with running(make_runtime(service, Echo, journal=path)):
            await eventually(lambda: kept)
            go_on.set()
            await eventually(lambda: service.report_of(state_id))
            await eventually(lambda: crashed(path) == [])
    finally:
        go_on.set()

    assert [row[0] for row in kept] == [state_id]
    assert json.loads(kept[0][1]) == {"state_id": state_id, "executed": {"outputs": [{"text": "x"}]}}


async def test_claim_is_recorded_before_it_is_executed(service: FakeStateManager, path: Path) -> None:
    kept: list[Any] = []

    class Looks(BaseNode):
        async def execute(self) -> None:
            kept.extend(crashed(path))

    state_id = service.put_state("Looks")
    async with running(make_runtime(service, Looks, journal=path)):
        await eventually(lambda: service.report_of(state_id))

    assert kept == [(state_id, None)]


async def test_settled_states_leave_nothing(service: FakeStateManager, path: Path) -> None:
    held = Held()
    states = [service.put_state("Echo", {"text": str(number)}) for number in range(30)]
    service.before = lambda asked: NOT_QUEUED if states[7] in asked.path else None
    runtime = make_runtime(service, Echo, held.node(), journal=path, grace_period=0)
    async with running(runtime):
        waiting = service.put_state("Holds")
        await eventually(lambda: held.started and len(service.reports) == 29)

    said = service.report_of(waiting)
    assert said is not None
    assert said.action == "re-enqueue-after"
    assert rows(path) == []


async def test_lost_lease_is_forgotten(service: FakeStateManager, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from exospherehost._runtime import lease_keeper

    monkeypatch.setattr(lease_keeper, "RENEWALS_PER_LEASE", 50)
    service.document = offering("lease")
    held = Held()
    async with running(make_runtime(service, held.node(), journal=path, lease=1)):
        state_id = service.put_state("Holds")
        await eventually(lambda: held.started)
        assert crashed(path) == [(state_id, None)]
        service.lost.add(state_id)
        await eventually(lambda: crashed(path) == [])


# ---- what an earlier run left ----------------------------------------------------------------------


async def test_left_outcomes_are_sent_and_left_claims_handed_back(
    service: FakeStateManager, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    executed, errored, unfinished = await left_by_a_crash(path, service)

    with caplog.at_level(logging.INFO, logger="exospherehost"):
        async with running(make_runtime(service, Echo, journal=path)):
            await eventually(lambda: len(service.reports) == 3)
            after = service.put_state("Echo", {"text": "x"})
            await eventually(lambda: service.report_of(after))

    said = {report.state_id: (report.action, report.body) for report in service.reports}
    assert said[executed] == ("executed", {"outputs": [{"text": "kept"}]})
    assert said[errored] == ("errored", {"error": "LookupError: nothing there"})
    assert said[unfinished] == ("re-enqueue-after", {"enqueue_after": 1})
    assert "event=journal_recovered outcomes=2 unfinished=1" in caplog.text
    assert rows(path) == []


@pytest.mark.parametrize("extensions", [(), ("batch-report",)], ids=["one by one", "together"])
async def test_400_settles_a_left_outcome(
    service: FakeStateManager, path: Path, caplog: pytest.LogCaptureFixture, extensions: tuple[str, ...]
) -> None:
    service.document = offering(*extensions)
    executed, errored, unfinished = await left_by_a_crash(path, service)
    service.before = lambda asked: NOT_QUEUED if executed in asked.path or errored in asked.path else None
    service.judge = lambda report: {"status": 400} if report["state_id"] in (executed, errored) else None
    runtime = make_runtime(service, Echo, journal=path)
    async with running(runtime):
        await eventually(lambda: service.report_of(unfinished) and not runtime.stats().undelivered)

    assert "event=report_failed" not in caplog.text
    assert (runtime.stats().refused, runtime.stats().requeued) == (0, 1)
    assert [report.action for report in service.reports] == ["re-enqueue-after"]
    assert rows(path) == []


async def test_left_outcomes_outlive_another_crash(service: FakeStateManager, path: Path) -> None:
    ids = await left_by_a_crash(path, service)
    service.before = lambda asked: DROP if "/state/" in asked.path else None
    runtime = make_runtime(service, Echo, journal=path)
    async with running(runtime):
        await eventually(lambda: runtime.stats().report_retries >= 6)
        left = crashed(path)
        service.before = lambda _: None

    assert [state_id for state_id, _ in left] == sorted(ids)
    assert [outcome is None for _, outcome in left] == [False, False, True]


async def test_new_states_are_executed_while_left_outcomes_are_delivered(service: FakeStateManager, path: Path) -> None:
    ids = await left_by_a_crash(path, service)
    refusing = True
    service.before = lambda asked: DROP if refusing and any(each in asked.path for each in ids) else None
    async with running(make_runtime(service, Echo, journal=path)):
        after = service.put_state("Echo", {"text": "x"})
        await eventually(lambda: service.report_of(after))
        assert len(service.reports) == 1
        refusing = False
        await eventually(lambda: len(service.reports) == 4)


async def test_kill_loses_neither_outcomes_nor_claims(service: FakeStateManager, path: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, time\n"
        "from exospherehost import BaseNode, Runtime\n"
        "from tests._support.nodes import Echo\n"
        "class Holds(BaseNode):\n"
        "    def execute(self) -> None:\n"
        "        print('executing', flush=True)\n"
        "        time.sleep(600)\n"
        "uri, key, journal = sys.argv[1:]\n"
        "Runtime('ns', 'r', [Echo, Holds], uri, key, poll_interval=0.05, journal=journal).start()\n"
    )
    refusing = True
    service.before = lambda asked: DROP if refusing and "/state/" in asked.path else None
    done, unfinished = service.put_state("Echo", {"text": "kept"}), service.put_state("Holds")
    root = Path(__file__).parents[3]
    search = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    with Command(
        program, service.uri, KEY, path, folder=root, environment={"PYTHONPATH": search}, command=[sys.executable]
    ) as killed:
        await asyncio.to_thread(killed.wait_for, "executing")
        await eventually(lambda: any(done in asked for asked in service.paths("POST")), within=30)
        killed.process.kill()
        await asyncio.to_thread(killed.wait)

    assert service.reports == []
    refusing = False
    async with running(make_runtime(service, Echo, journal=path)):
        await eventually(lambda: len(service.reports) == 2)

    said = {report.state_id: (report.action, report.body) for report in service.reports}
    assert said == {
        done: ("executed", {"outputs": [{"text": "kept"}]}),
        unfinished: ("re-enqueue-after", {"enqueue_after": 1}),
    }
    assert rows(path) == []


# ---- a journal that cannot be written --------------------------------------------------------------


class Disk:
    """What the journal is written to, which a test can make refuse."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._connections: list[sqlite3.Connection] = []
        connect = sqlite3.connect

        def remembering(*arguments: Any, **options: Any) -> sqlite3.Connection:
            connection = connect(*arguments, **options)
            self._connections.append(connection)
            return connection

        stand_in(monkeypatch, journal, "sqlite3", connect=remembering)

    def refuse(self, *, refuses: bool = True) -> None:
        (connection,) = self._connections
        connection.execute(f"PRAGMA query_only = {'ON' if refuses else 'OFF'}")


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    from exospherehost._runtime import outbox

    monkeypatch.setattr(outbox, "_JOURNAL_FAULTS", Backoff(initial=0.01, maximum=0.02))
    return Disk(monkeypatch)


async def test_write_that_fails_says_so(path: Path, disk: Disk) -> None:
    async with Journal(path, "ns") as journal:
        disk.refuse()
        with pytest.raises(JournalError, match="the journal cannot be written"):
            await journal.claimed(["a"])
        with pytest.raises(JournalError):
            await journal.outcome(reports.executed("a", [], (), 0, {}))
        with pytest.raises(JournalError):
            await journal.probe()
        disk.refuse(refuses=False)
        await journal.probe()
        await journal.claimed(["b"])


async def test_settled_states_are_forgotten_when_writing_works_again(path: Path, disk: Disk) -> None:
    async with Journal(path, "ns") as journal:
        await journal.claimed(["a", "b"])
        disk.refuse()
        journal.settled("a")
        with pytest.raises(JournalError):
            await journal.probe()
        disk.refuse(refuses=False)
        await journal.probe()
        assert crashed(path) == [("b", None)]


async def test_nothing_is_executed_that_is_not_recorded(
    service: FakeStateManager, path: Path, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    executed: list[str] = []

    class Counts(BaseNode):
        async def execute(self) -> None:
            executed.append(self.context.state_id)

    with caplog.at_level(logging.INFO, logger="exospherehost"):
        async with running(make_runtime(service, Counts, journal=path)):
            await eventually(lambda: service.claims)
            disk.refuse()
            states = [service.put_state("Counts") for _ in range(3)]
            await eventually(lambda: "event=journal_failing" in caplog.text)
            # What has been claimed is handed back, and the rest is not claimed.
            await eventually(lambda: service.reports and len(service.reports) + len(service._waiting) == len(states))
            handed_back = {report.state_id: report.action for report in service.reports}
            assert set(handed_back.values()) == {"re-enqueue-after"}
            assert executed == []
            disk.refuse(refuses=False)
            for state_id in handed_back:
                service.put_again(state_id)
            await eventually(lambda: set(executed) == set(states))
            await eventually(lambda: {service.report_of(each).action for each in states} == {"executed"})  # type: ignore[union-attr]

    assert caplog.text.count("event=journal_failing") == 1
    assert caplog.text.count("event=journal_works_again failures=") == 1
    assert sorted(executed) == sorted(states)
    assert rows(path) == []


async def test_nothing_is_claimed_while_nothing_can_be_recorded(
    service: FakeStateManager, path: Path, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    probes: list[str] = []

    async def probe(_: Journal) -> None:
        probes.append("probe")
        raise JournalError("full")

    async with running(make_runtime(service, Echo, journal=path)):
        await eventually(lambda: service.claims)
        disk.refuse()
        state_id = service.put_state("Echo", {"text": "x"})
        await eventually(lambda: service.report_of(state_id))
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Journal, "probe", probe)
            await eventually(lambda: len(probes) > 2)
            claims = len(service.claims)
            await eventually(lambda: len(probes) > 20)
            assert len(service.claims) == claims
            # However often it is tried, it is said once.
            assert caplog.text.count("event=journal_failing") == 1
        disk.refuse(refuses=False)
        await eventually(lambda: len(service.claims) > claims)


async def test_outcome_that_cannot_be_recorded_is_delivered_all_the_same(
    service: FakeStateManager, path: Path, disk: Disk
) -> None:
    held = Held()
    async with running(make_runtime(service, held.node(), journal=path)):
        state_id = service.put_state("Holds")
        await eventually(lambda: held.started)
        disk.refuse()
        held.go_on.set()
        said = await eventually(lambda: service.report_of(state_id))
        disk.refuse(refuses=False)

    assert said.action == "executed"
    assert rows(path) == []


async def test_claim_tokens_outlive_a_crash_and_a_version_without_them(path: Path) -> None:
    old = sqlite3.connect(path)
    old.execute("CREATE TABLE states (state_id TEXT PRIMARY KEY, outcome TEXT) WITHOUT ROWID")
    old.execute("INSERT INTO states (state_id) VALUES ('old')")
    old.execute("CREATE TABLE journal (one INTEGER PRIMARY KEY CHECK (one = 1), namespace TEXT, probes INTEGER)")
    old.execute("INSERT INTO journal VALUES (1, 'ns', 0)")
    old.execute("PRAGMA user_version = 1")
    old.commit()
    old.close()

    async with Journal(path, "ns") as journal:
        assert journal.left_over() == ([], {"old": None})
        await journal.claimed(["a", "b"], {"a": "token-of-a"})

    async with Journal(path, "ns") as journal:
        assert journal.left_over() == ([], {"old": None, "a": "token-of-a", "b": None})


async def test_left_claim_is_handed_back_for_the_claim_that_was_lost(service: FakeStateManager, path: Path) -> None:
    state = service.put_state("Echo")
    service._waiting.clear()
    async with Journal(path, "ns") as journal:
        await journal.claimed([state], {state: "token-of-then"})
    runtime = make_runtime(service, Echo, journal=path)
    async with running(runtime):
        report = await eventually(lambda: service.report_of(state))
    assert report.action == "re-enqueue-after"
    assert report.body["claim_token"] == "token-of-then"

"""The checker of chaos runs finds every kind of damage, and nothing in a database that is whole."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from exospherehost import Runtime
from exospherehost.server import ServerSettings, ServerThread
from tests._support.eventually import eventually
from tests.chaos.checker import DOUBLED, LOST, STUCK, WRONG, Evidence, Violation, check
from tests.chaos.database import Database
from tests.chaos.feeder import Feeder
from tests.chaos.nodes import EXECUTIONS_VARIABLE, MENDED_VARIABLE, NODES, Execution, count_executions, executions
from tests.chaos.plan import NAMESPACE, Plan, make_plan

KEY = "the-key-of-the-checker's-tests"
SEED = 14


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(SEED, 250)


@pytest.fixture(scope="module")
def whole(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the database of a plan that was carried out without any fault."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "executions").mkdir()
    (folder / "mended").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(EXECUTIONS_VARIABLE, str(folder / "executions" / "only"))
        patch.setenv(MENDED_VARIABLE, str(folder / "mended"))
        settings = ServerSettings(api_key=KEY, database=folder / "exosphere.db", port=0)
        with ServerThread(settings) as server:
            asyncio.run(carry_out(plan, server.url, folder))
    return folder


async def carry_out(plan: Plan, uri: str, folder: Path) -> None:
    notes = folder / "executions"
    feeder = Feeder(uri, KEY, plan.runs, folder / "mended", lambda: count_executions(notes))
    database = Database(f"sqlite:///{folder / 'exosphere.db'}", NAMESPACE)
    runtime = Runtime(NAMESPACE, "checker", list(NODES), uri, KEY, poll_interval=0.1)

    def ended() -> bool:
        stored, done = database.counted_states()
        return stored == done

    async with asyncio.TaskGroup() as group:
        running = group.create_task(runtime.run())
        await feeder.put_graphs()
        await feeder.run()
        await eventually(ended, 60)
        runtime.stop()
        await running


class Damaged:
    """A copy of the whole database, to be damaged."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._file = folder / "exosphere.db"
        self._plan = plan
        self._notes = list(executions(folder / "executions"))

    def sql(self, *statements: str) -> None:
        """Change what is stored; the first statement must concern something."""
        with closing(sqlite3.connect(self._file)) as connection, connection:
            for number, statement in enumerate(statements):
                changed = connection.execute(statement).rowcount
                assert changed or number, statement

    def forget(self, chosen: Callable[[Execution], bool]) -> None:
        """Forget executions."""
        kept = [note for note in self._notes if not chosen(note)]
        assert len(kept) < len(self._notes)
        self._notes = kept

    def value(self, query: str) -> str:
        with closing(sqlite3.connect(self._file)) as connection:
            return str(connection.execute(query).fetchone()[0])

    def note(self, execution: Execution) -> None:
        self._notes.append(execution)

    def check(self) -> list[Violation]:
        contents = Database(f"sqlite:///{self._file}", NAMESPACE).read()
        return check(Evidence(contents, self._plan, self._notes))

    def found(self) -> set[tuple[str, str]]:
        """Return the kinds and rules of what is wrong."""
        return {(violation.kind, violation.rule) for violation in self.check()}


@pytest.fixture
def damaged(whole: Path, plan: Plan, tmp_path: Path) -> Damaged:
    for file in whole.iterdir():
        if file.is_dir():
            shutil.copytree(file, tmp_path / file.name)
        else:
            shutil.copy(file, tmp_path)
    return Damaged(tmp_path, plan)


_COPIED = (
    "run_key, namespace, node_name, identifier, status, inputs, outputs, error, parents, retry_count, fanout_id, "
    "enqueue_after, prune_data, created_at, updated_at, lease_expires_at"
)


def doubled(where: str) -> str:
    """Store one of these states once more, under another id."""
    chosen = f"SELECT 'ffffffffffffffffffffffff', {_COPIED} FROM states WHERE {where} ORDER BY key LIMIT 1"  # noqa: S608 - as below
    return f"INSERT INTO states (id, {_COPIED}) {chosen}"


def lost(where: str) -> str:
    """Delete one of these states."""
    return f"DELETE FROM states WHERE {first(where)}"  # noqa: S608 - put together from the texts of this file


def changed(change: str, where: str) -> str:
    """Change one of these states."""
    return f"UPDATE states SET {change} WHERE {first(where)}"  # noqa: S608 - as above


def first(where: str) -> str:
    return f"id = (SELECT id FROM states WHERE {where} ORDER BY key LIMIT 1)"  # noqa: S608 - as above


def test_nothing_is_found_in_a_database_that_is_whole(damaged: Damaged) -> None:
    assert damaged.check() == []


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (doubled("identifier = 'vault' AND status = 'SUCCESS'"), (DOUBLED, "one set of children")),
        (doubled("identifier = 'tail' AND status = 'SUCCESS'"), (DOUBLED, "every run has its states")),
        (doubled("identifier = 'split' AND status = 'SUCCESS'"), (DOUBLED, "one set of siblings")),
        (doubled("identifier = 'join'"), (DOUBLED, "a join fires once")),
        (doubled("identifier = 'inner_join'"), (DOUBLED, "every run has its states")),
        (doubled("status = 'RETRY_CREATED' AND error NOT LIKE '%mended%'"), (DOUBLED, "one retry of each attempt")),
        (doubled("identifier = 'first'"), (WRONG, "counts are those of the states")),
        (lost("identifier = 'join'"), (LOST, "every join fires")),
        (lost("identifier = 'last'"), (LOST, "every success has its children")),
        (lost("identifier = 'split'"), (LOST, "every run has its states")),
        (lost("identifier = 'split'"), (WRONG, "parents exist")),
        (changed("status = 'QUEUED'", "identifier = 'tail'"), (STUCK, "every state ends")),
        (changed("status = 'CREATED'", "identifier = 'join'"), (STUCK, "every state ends")),
        (changed("lease_expires_at = 1", "identifier = 'tail'"), (STUCK, "no lease is left")),
        (
            changed("status = 'ERRORED'", "identifier = 'root'"),
            (DOUBLED, "only success has children"),
        ),
        (
            changed('outputs = \'{"text":"9/9"}\'', "identifier = 'first' AND status = 'SUCCESS'"),
            (WRONG, "inputs are outputs"),
        ),
        (
            "UPDATE states SET retry_count = 5 WHERE retry_count = 1 AND status = 'SUCCESS'",
            (WRONG, "attempts are counted"),
        ),
        (
            "UPDATE runs SET succeeded = succeeded + 1 WHERE key = (SELECT min(key) FROM runs)",
            (WRONG, "counts are those of the states"),
        ),
        (
            "UPDATE runs SET pending = 1 WHERE key = (SELECT min(key) FROM runs)",
            (WRONG, "counts are those of the states"),
        ),
        ("UPDATE run_totals SET total = total + 1", (WRONG, "the total is that of the runs")),
        ("DELETE FROM run_totals", (WRONG, "the total is that of the runs")),
        ("UPDATE joins SET pending = 1", (WRONG, "joins count what is below")),
        ("DELETE FROM joins", (WRONG, "joins count what is below")),
        (
            "DELETE FROM join_firings WHERE identifier = 'outer_join'",
            (WRONG, "firings are those of the joins"),
        ),
        (
            "INSERT INTO join_firings VALUES ('ffffffffffffffffffffffff', 'join')",
            (WRONG, "firings are those of the joins"),
        ),
        ("DELETE FROM trigger_keys WHERE idempotency_key = 'chaos-14-3'", (LOST, "every run exists")),
        ("DELETE FROM trigger_keys WHERE idempotency_key = 'chaos-14-3'", (DOUBLED, "no run twice")),
        ("UPDATE runs SET store = '{}' WHERE graph_name = 'chain'", (WRONG, "every run exists")),
    ],
)
def test_damage_is_found(damaged: Damaged, statement: str, expected: tuple[str, str]) -> None:
    damaged.sql(statement)
    assert expected in damaged.found()


def test_a_lost_run_is_found_with_all_its_states(damaged: Damaged, plan: Plan) -> None:
    of_key = "(SELECT run_id FROM trigger_keys WHERE idempotency_key = 'chaos-14-3')"
    damaged.sql(
        f"DELETE FROM states WHERE run_key = (SELECT key FROM runs WHERE id = {of_key})",  # noqa: S608 - as above
        f"DELETE FROM runs WHERE id = {of_key}",  # noqa: S608 - as above
    )
    lost = [violation for violation in damaged.check() if violation.rule == "every run exists"]
    assert [violation.count for violation in lost] == [plan.runs[3].pieces.total()]


def test_a_set_of_children_created_twice_is_found_in_each_way(damaged: Damaged) -> None:
    """As a server would leave it that took one report twice: counts and all are in order."""
    damaged.sql(
        doubled("identifier = 'vault' AND status = 'SUCCESS'"),
        "UPDATE runs SET succeeded = succeeded + 1 WHERE key = "
        "(SELECT run_key FROM states WHERE id = 'ffffffffffffffffffffffff')",
    )
    assert {(DOUBLED, "one set of children"), (DOUBLED, "every run has its states")} <= damaged.found()
    assert (WRONG, "counts are those of the states") not in damaged.found()


def test_a_success_that_was_never_executed_is_found(damaged: Damaged) -> None:
    chosen = damaged.value("SELECT id FROM states WHERE identifier = 'tail' AND status = 'SUCCESS'")
    damaged.forget(lambda note: note.state_id == chosen)
    assert damaged.found() == {(LOST, "at least once")}


def test_a_fan_out_that_was_never_executed_is_found(damaged: Damaged) -> None:
    damaged.forget(lambda note: note.identifier == "outer")
    assert damaged.found() == {(LOST, "at least once")}


@pytest.mark.parametrize("state", ["0" * 24, ""])
def test_an_execution_of_no_state_is_found(damaged: Damaged, state: str) -> None:
    known = damaged.value("SELECT id FROM states WHERE identifier = 'tail'")
    damaged.note(Execution(state or known, "part", 1))
    assert damaged.found() == {(LOST, "what ran is there")}


def test_a_uniting_state_that_failed_itself_has_been_united_rightly(damaged: Damaged) -> None:
    damaged.sql(changed("status = 'ERRORED'", "identifier = 'join'"))
    assert {rule for _kind, rule in damaged.found()} == {
        "every run has its states",
        "counts are those of the states",
        "joins count what is below",
    }


def test_a_plan_is_the_same_for_the_same_seed_only() -> None:
    assert make_plan(3, 500) == make_plan(3, 500)
    assert make_plan(3, 500) != make_plan(4, 500)


def test_a_plan_has_every_kind_of_end(plan: Plan) -> None:
    statuses = {piece.status for run in plan.runs for piece in run.pieces}
    assert statuses == {"SUCCESS", "PRUNED", "ERRORED"}
    fans = [run for run in plan.runs if run.graph == "all_success"]
    assert {any(piece.identifier == "join" for piece in run.pieces) for run in fans} == {True, False}


def test_reading_changes_no_file(whole: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in whole.iterdir() if file.is_file()}
    assert Database(f"sqlite:///{whole / 'exosphere.db'}", NAMESPACE).read().states
    assert {file: file.stat().st_mtime_ns for file in whole.iterdir() if file in before} == before

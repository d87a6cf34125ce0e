"""Secrets that a server put which does not say by which keys they are sealed, as an older one beside this one does."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from exospherehost.server.security.secret_box import SecretBox, load_or_create_keys, make_key, read_keys
from exospherehost.server.service.secret_rotation import list_doubtful, rotate_file, unreadable_graphs
from exospherehost.server.storage.opening import open_store
from exospherehost.server.storage.sql.store import SqlStore


async def put_as_an_older_server(store: SqlStore, database: Path, box: SecretBox) -> None:
    secrets = box.seal_all({"token": "the value"})
    await store.write(
        lambda unit: unit.save_version(
            namespace="space",
            name="graph",
            graph_id="1" * 24,
            version_id="2" * 24,
            document={},
            secrets=secrets,
            errors=(),
            now_ms=1,
        )
    )
    with closing(sqlite3.connect(database)) as connection, connection:
        known = [name for _, name, *_ in connection.execute("PRAGMA table_info(graph_versions)")]
        columns = ", ".join(name for name in known if name != "sealed_with")
        connection.execute("CREATE TEMPORARY TABLE kept AS SELECT * FROM graph_versions")
        connection.execute("DELETE FROM graph_versions")
        connection.execute(f"INSERT INTO graph_versions ({columns}) SELECT {columns} FROM kept")  # noqa: S608


async def test_a_change_of_the_key_seals_them_anew(tmp_path: Path) -> None:
    file, database = tmp_path / "keys", tmp_path / "exosphere.db"
    store = open_store(str(database))
    try:
        await put_as_an_older_server(store, database, SecretBox(*load_or_create_keys(file)))
        rotation = await rotate_file(store, file)
    finally:
        store.close()
    with closing(sqlite3.connect(database)) as connection:
        ((sealed,),) = connection.execute("SELECT secrets FROM graph_versions")
    assert rotation.resealed == 1
    assert SecretBox(*read_keys(file)).open(json.loads(sealed)["token"]) == "the value"


async def test_a_start_without_their_key_warns(tmp_path: Path) -> None:
    database = tmp_path / "exosphere.db"
    store = open_store(str(database))
    try:
        await put_as_an_older_server(store, database, SecretBox(make_key()))
        other = SecretBox(make_key())
        doubtful = await store.read(lambda reader: list_doubtful(reader, other))
    finally:
        store.close()
    assert unreadable_graphs(doubtful, other) == ("space/graph",)

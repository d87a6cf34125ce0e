from __future__ import annotations

from collections.abc import Iterator

import pytest

from exospherehost.server.storage.sql.store import SqlStore
from tests._support.databases import Database


@pytest.fixture
def store(database: Database) -> Iterator[SqlStore]:
    opened = database.open()
    yield opened
    opened.close()

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from exospherehost.server.sql_store import SqlStore, open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    opened = open_store(tmp_path / "test.db")
    yield opened
    opened.close()

"""No order of first use, from any thread, ends the process.

pyreqwest's allocator is set up by the thread that imports it, and fails in every other thread once that one has ended.
The fault comes each time; `--adverse-repeats 20` tries each order in twenty processes all the same.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest

from exospherehost.server import ServerSettings, ServerThread

PROGRAM = Path(__file__).with_name("first_use.py")
KEY = "a-key-for-the-tests"

ORDERS = [
    *([kind] * 3 for kind in ("sync", "async", "uvloop", "runtime")),
    *map(list, permutations(("sync", "async", "runtime"))),
    ["main:sync"] * 3,
    ["main:async", "sync", "runtime"],
    ["sync", "main:async", "main:runtime"],
    ["web"],
    ["sync", "web"],
    ["together", "together"],
    ["fork", "sync", "sync"],
    ["sync", "fork", "async", "fork"],
    ["runtime", "main:fork", "runtime"],
]


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    database = tmp_path_factory.mktemp("first-use") / "a.db"
    with ServerThread(ServerSettings(api_key=KEY, database=database, port=0)) as server:
        yield server.url


@pytest.fixture
def repeats(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--adverse-repeats"))


@pytest.mark.parametrize("order", ORDERS, ids=" ".join)
def test_an_order_of_first_use_ends_well(uri: str, repeats: int, order: list[str]) -> None:
    for _ in range(repeats):
        # Python 3.12 warns of every fork beside other threads, which is what this tries.
        command = [sys.executable, "-W", "ignore::DeprecationWarning", PROGRAM, uri, *order]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

        assert ended.returncode == 0, (signal_of(ended.returncode), ended.stderr[-2_000:])
        assert ended.stdout.startswith("done")


def signal_of(returncode: int) -> str:
    return signal.Signals(-returncode).name if returncode < 0 else str(returncode)

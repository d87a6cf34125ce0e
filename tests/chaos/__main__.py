"""Runs states while servers and runtimes are killed, then checks the database: see `scripts/chaos.sh --help`."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.chaos.run import ChaosRun, Settings
from tests.chaos.verdict import Verdict


def main() -> int:
    """Run it; the exit status is 1 when anything is violated."""
    parser = argparse.ArgumentParser(
        prog="scripts/chaos.sh",
        description="Runs mixed graphs while servers and runtimes are killed -9, then proves from the database that "
        "nothing was lost and nothing doubled.",
    )
    parser.add_argument("--states", type=int, default=50_000, help="about how many states (default: %(default)s)")
    parser.add_argument(
        "--database",
        default="sqlite",
        metavar="sqlite|postgresql|URL",
        help="a file, a PostgreSQL server started for this, or the URL of an empty PostgreSQL database",
    )
    parser.add_argument("--replicas", type=int, default=1, help="servers; of several, all but one are killed")
    parser.add_argument("--runtimes", type=int, default=4, help="runtime processes (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="decides on the work and on the kills")
    parser.add_argument("--server-kills", type=int, default=25, help="(default: %(default)s)")
    parser.add_argument("--runtime-kills", type=int, default=40, help="(default: %(default)s)")
    parser.add_argument(
        "--lease", type=float, default=15.0, help="seconds for which a claim holds (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the verdict to a file as well")
    parser.add_argument("--folder", type=Path, help="an empty folder to keep everything in; a temporary one by default")
    options = parser.parse_args()
    on_file = options.database == "sqlite"
    if on_file and options.replicas != 1:
        parser.error("one server at a time can use SQLite: give --replicas 1, or a PostgreSQL database")

    def say(text: str) -> None:
        sys.stderr.write(f"{text}\n")

    with ExitStack() as stack:
        folder = options.folder
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="exosphere-chaos-")))
        folder.mkdir(parents=True, exist_ok=True)
        database = None if on_file else options.database
        if database == "postgresql":
            from tests._support import postgres  # its driver is only needed here

            binaries = postgres.find_binaries()
            if binaries is None:
                parser.error("PostgreSQL's programs are not found (Debian: apt-get install postgresql)")
            database = stack.enter_context(postgres.PostgresServer(binaries)).empty()
        settings = Settings(
            folder=folder,
            database=database,
            states=options.states,
            servers=options.replicas,
            runtimes=options.runtimes,
            seed=options.seed,
            server_kills=options.server_kills,
            runtime_kills=options.runtime_kills,
            lease=options.lease,
        )
        verdict = asyncio.run(_run(settings, say))
    sys.stdout.write(f"{verdict.text()}\n")
    if options.json is not None:
        options.json.write_text(json.dumps(verdict.to_json(), indent=1, ensure_ascii=False))
    return 0 if verdict.holds else 1


async def _run(settings: Settings, say: Callable[[str], None]) -> Verdict:
    task = asyncio.current_task()
    if task is not None:
        # As Ctrl-C does, so that no process is left behind.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await ChaosRun(settings, say).run()


if __name__ == "__main__":
    sys.exit(main())

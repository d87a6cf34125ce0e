"""A program that runs a runtime until it is told to stop, for faults that befall a whole process.

Usage: python -m tests._support.fault_program NAMESPACE URI OPTIONS, with the runtime's options as JSON. Two of those
are the program's own: `full_disk` names a file that cannot grow any more from SIGUSR1 on until SIGUSR2, and
`clock_steps_back` sets the clock back by so many seconds at SIGUSR1.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import resource
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from exospherehost import Runtime
from tests._support.fault_nodes import NODES
from tests._support.runtimes import KEY


def main() -> None:
    namespace, uri, text = sys.argv[1:]
    options: dict[str, Any] = json.loads(text)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(message)s")
    full_disk, seconds = options.pop("full_disk", None), options.pop("clock_steps_back", None)
    if full_disk is not None:
        _fill_the_disk_when_told(Path(full_disk))
    if seconds is not None:
        _step_back_when_told(seconds)
    runtime = Runtime(namespace, "program", list(NODES), uri, KEY, **options)
    runtime.start()
    print(json.dumps(asdict(runtime.stats())), flush=True)


def _fill_the_disk_when_told(file: Path) -> None:
    # Ignored, a write that goes too far fails as on a full disk.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(*_: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size, before[1]))
        print("the disk is full", flush=True)

    def free(*_: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        print("the disk is free", flush=True)

    signal.signal(signal.SIGUSR1, fill)
    signal.signal(signal.SIGUSR2, free)


def _step_back_when_told(seconds: float) -> None:
    offset = 0.0
    real_time, real_time_ns = time.time, time.time_ns

    class Stepping(dt.datetime):
        """The time of day, as far off as the clock."""

        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Stepping:
            return cls.fromtimestamp(time.time(), tz)

    def step(*_: object) -> None:
        nonlocal offset
        offset = seconds
        print("the clock has stepped back", flush=True)

    time.time = lambda: real_time() - offset
    time.time_ns = lambda: real_time_ns() - int(offset * 1e9)
    replaced = 0
    for name, module in list(sys.modules.items()):
        if name.startswith("exospherehost") and vars(module).get("datetime") is dt.datetime:
            vars(module)["datetime"] = Stepping
            replaced += 1
    assert replaced, "the runtime reads the time of day somewhere else now"
    signal.signal(signal.SIGUSR1, step)


if __name__ == "__main__":
    main()

"""How a measured program is spoken to: one word a line on standard input, one JSON object a line on standard output."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0


def resident_bytes() -> int:
    """The memory that the process has now; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE
    except OSError:
        return 0


def say(values: dict[str, Any]) -> None:
    """Tell the one who measures."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def listen(stop: Callable[[], None], more: Callable[[], dict[str, Any]] = dict) -> None:
    """Answer `sample` and obey `stop` from now on, in a thread; end when the line is closed.

    Args:
        stop: begins the program's end; called in that thread.
        more: what a sample holds beside processor time (seconds, all threads) and memory (bytes).
    """

    def run() -> None:
        for line in sys.stdin:
            if line.strip() == "stop":
                stop()
            else:
                say({"cpu": time.process_time(), "rss": resident_bytes(), **more()})
        os._exit(0)

    threading.Thread(target=run, name="line", daemon=True).start()

"""Clients as arms: which program, in which environment, with which settings."""

from __future__ import annotations

import functools
import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.processes import Client

ALL_EXTENSIONS = ("wait", "lease", "context", "batch-report")
"""What the embedded server offers a runtime."""

BEST: dict[str, Any] = {"batch_size": 64, "workers": 64, "poll_interval": 0.001}
"""The best settings that are known for the published SDK; ours is given the same."""


@dataclass(frozen=True)
class Program:
    """How a client is started.

    Attributes:
        python: the interpreter of its environment.
        file: the program in `peers/`.
        settings: what it is given beside the service's URL.
    """

    python: str
    file: str
    settings: dict[str, Any] = field(default_factory=dict)

    def on(self, url: str) -> Client:
        """Make the process that works for a service."""
        return Client(self.python, self.file, {"url": url, **self.settings})

    @property
    def is_orderly(self) -> bool:
        """Whether stopping it loses nothing: our runtime's promise, and nobody else's here."""
        return self.python == sys.executable and self.file == "runtime_program.py"

    def but(self, **settings: Any) -> Program:
        """Return the same program with other settings."""
        return replace(self, settings={**self.settings, **settings})


def runtime(
    python: str,
    *,
    nodes: Sequence[str] = ("Work",),
    arguments: dict[str, Any] | None = None,
    loop: str = "asyncio",
    quiet: bool = False,
) -> Program:
    """A program with a runtime, of whichever SDK the interpreter has.

    Args:
        python: the interpreter of its environment.
        nodes: names of nodes in `peers/runtime_program.py`.
        arguments: of `Runtime`; its own defaults where nothing is said.
        loop: "asyncio" or "uvloop".
        quiet: log errors only, where both SDKs log at INFO by themselves.
    """
    settings = {"nodes": list(nodes), "arguments": arguments or {}, "loop": loop, "quiet": quiet}
    return Program(python, "runtime_program.py", settings)


def ours(**options: Any) -> Program:
    """A program with our runtime; see `runtime`."""
    return runtime(sys.executable, **options)


def bare_loop(
    client: str,
    *,
    node: bool = False,
    together: bool = False,
    claim: int = 64,
    lanes: int = 32,
    loop: str = "asyncio",
    wait: bool = False,
    nodes: Sequence[str] = ("Work",),
) -> Program:
    """A hand-written loop; see `peers/bare_loop.py`."""
    settings = {
        "client": client,
        "node": node,
        "together": together,
        "claim": claim,
        "lanes": lanes,
        "loop": loop,
        "wait": wait,
        "nodes": list(nodes),
    }
    return Program(sys.executable, "bare_loop.py", settings)


def has(module: str) -> bool:
    """Tell whether our environment has a module that some arms need."""
    return importlib.util.find_spec(module) is not None


@functools.cache
def has_in(python: str, module: str) -> bool:
    """Tell whether another environment has a module."""
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return not subprocess.run([python, "-c", code], check=False, capture_output=True).returncode  # noqa: S603

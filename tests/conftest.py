"""What all tests share: an environment without our variables, and a state manager to speak to."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests._support.fake_state_manager import FakeStateManager
from tests._support.fuzz_counts import FuzzCounts

# httpx takes proxies from these, and every service of the tests is on this machine.
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def pytest_configure(config: pytest.Config) -> None:
    """Let SIGINT through: what a shell starts in the background has that signal ignored, with all below it."""
    config.pluginmanager.register(FuzzCounts())
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take what would configure the SDK out of the environment."""
    for name in list(os.environ):
        if name.startswith("EXOSPHERE_") or name.lower() in _PROXY_VARIABLES:
            monkeypatch.delenv(name)


@pytest.fixture
def service() -> Iterator[FakeStateManager]:
    """A state manager without rules, on a real socket."""
    with FakeStateManager() as fake:
        yield fake

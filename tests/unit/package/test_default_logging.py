"""Default logging as in 0.0.3, and only for a program that has configured none."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests._support.fake_state_manager import FakeStateManager
from tests._support.runtimes import KEY

PROGRAM = """
import asyncio, logging, sys
{before}

def state():
    loggers = [logging.getLogger(name) for name in (None, "exospherehost", "httpx", "httpcore")]
    return [(logger.level, len(logger.handlers)) for logger in loggers]

untouched = state()
import exospherehost
from exospherehost import BaseNode, Runtime, StateManager

class Empty(BaseNode):
    async def execute(self):
        pass

assert state() == untouched, "touched by the import"
runtime = Runtime("ns", "rt", [Empty], poll_interval=0.05)
StateManager("ns")
assert state() == untouched, "touched by a constructor"
runtime.stop()
asyncio.run(runtime.run())
print(state() == untouched, logging.getLogger().level, logging.getLogger("httpx").getEffectiveLevel())
logging.getLogger("exospherehost.test").info("seen at INFO")
logging.getLogger("exospherehost.test").debug("seen at DEBUG")
"""


def run(service: FakeStateManager, before: str = "", **environment: str) -> tuple[str, str]:
    """Run the program and return what it wrote to stdout and stderr."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM.format(before=before)],
        env={**os.environ, "EXOSPHERE_STATE_MANAGER_URI": service.uri, "EXOSPHERE_API_KEY": KEY, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr


def test_unconfigured_program_gets_default_logging(service: FakeStateManager) -> None:
    out, err = run(service)

    assert out == "False 20 30"
    assert " | INFO | exospherehost.test | seen at INFO" in err
    assert "seen at DEBUG" not in err


@pytest.mark.parametrize(("level", "number"), [("DEBUG", 10), ("warning", 30), (" error ", 40), ("CRITICAL", 50)])
def test_level_from_the_environment(service: FakeStateManager, level: str, number: int) -> None:
    out, err = run(service, EXOSPHERE_LOG_LEVEL=level)

    assert out == f"False {number} {max(30, number)}"
    assert ("seen at DEBUG" in err) == (level == "DEBUG")


@pytest.mark.parametrize("level", ["nope", "", "10"])
def test_what_is_no_level_counts_as_info_as_in_the_published_sdk(service: FakeStateManager, level: str) -> None:
    assert run(service, EXOSPHERE_LOG_LEVEL=level)[0] == "False 20 30"


@pytest.mark.parametrize("value", ["1", "true", "0", "no"])
def test_any_value_switches_it_off_as_in_the_published_sdk(service: FakeStateManager, value: str) -> None:
    out, err = run(service, EXOSPHERE_DISABLE_DEFAULT_LOGGING=value)

    assert out.startswith("True 30")
    assert err == ""


def test_empty_value_does_not_switch_it_off(service: FakeStateManager) -> None:
    assert run(service, EXOSPHERE_DISABLE_DEFAULT_LOGGING="")[0] == "False 20 30"


@pytest.mark.parametrize(
    "before",
    [
        "logging.basicConfig(level=logging.ERROR)",
        "logging.getLogger().addHandler(logging.NullHandler())",
        "logging.getLogger('exospherehost').addHandler(logging.NullHandler())",
    ],
)
def test_configured_program_is_left_alone(service: FakeStateManager, before: str) -> None:
    out, err = run(service, before, EXOSPHERE_LOG_LEVEL="DEBUG")

    assert out.startswith("True ")
    assert "seen at" not in err


def test_level_that_the_program_gave_to_httpx_is_kept(service: FakeStateManager) -> None:
    assert run(service, "logging.getLogger('httpx').setLevel(logging.DEBUG)")[0] == "False 20 10"

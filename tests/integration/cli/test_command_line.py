from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests._support.command import Command
from tests._support.service import Api


def test_the_version_is_the_packages(tmp_path: Path) -> None:
    with Command("--version", folder=tmp_path) as command:
        assert command.wait() == 0
        assert command.output == f"exospherehost, version {version('exospherehost')}\n"


@pytest.mark.parametrize("missing", ["click", "rich", "uvicorn", "sqlalchemy"])
def test_without_the_server_extra_it_says_what_to_install(missing: str) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None; from exospherehost.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", program, "dev", "--help"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr == (
        f"the exospherehost command needs its server extra: pip install 'exospherehost[server]' (missing: {missing})\n"
    )


@pytest.mark.parametrize(("level", "is_shown"), [("WARNING", True), ("ERROR", False)])
def test_the_log_goes_to_standard_error_from_the_level_of_the_variable_on(
    tmp_path: Path, level: str, is_shown: bool
) -> None:
    environment = {"EXOSPHERE_LOG_LEVEL": level}
    with Command("serve", "--port", "0", folder=tmp_path, environment=environment) as command:
        with command.connect() as http:
            api = Api(http, "logged")
            api.steps()
            # The hosted service reads schedules in local time, which is worth a warning.
            api.graph("daily", api.node("only"), triggers=[{"type": "CRON", "value": {"expression": "0 0 * * *"}}])
        assert command.interrupt() == 0
        assert ("| WARNING | exospherehost.server" in command.errors) == is_shown
        assert "WARNING" not in command.output

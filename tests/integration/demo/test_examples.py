from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from tests._support.command import Command

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def run_example(name: str, *arguments: str, folder: Path) -> Command:
    return Command("dev", EXAMPLES / name, *arguments, folder=folder)


def test_the_quick_start_greets_whom_the_trigger_names(tmp_path: Path) -> None:
    with run_example("quickstart.py", folder=tmp_path) as service:
        service.wait_for("event=runtime_started")
        with Command(
            EXAMPLES / "quickstart_trigger.py",
            "Ann",
            folder=tmp_path,
            environment=service.exports(),
            command=(sys.executable,),
        ) as trigger:
            assert trigger.wait() == 0
            assert trigger.output.startswith("run ")
        service.wait_for("Hello, Ann!")
        assert service.interrupt() == 0
        assert "quickstart/greeting" in service.errors


def test_fan_out_and_join(tmp_path: Path) -> None:
    with run_example("fan_out_and_join.py", "12", "13", "1", folder=tmp_path) as command:
        assert command.wait() == 0
        assert command.output.splitlines() == [
            "12 = 2 * 2 * 3",
            "13 = 13",
            "1 = ",
            "all 3 numbers are factorised",
        ]


def test_retries_and_signals(tmp_path: Path) -> None:
    with run_example("retries_and_signals.py", folder=tmp_path) as command:
        assert command.wait() == 0
        assert command.output.splitlines() == [
            "delivered to 'next door' at attempt 1",
            "delivered to 'closed' at attempt 2",
            "delivered to 'far away' at attempt 3",
            "1 PRUNED",
            "2 RETRY_CREATED",
            "3 SUCCESS",
        ]


def test_node_secrets(tmp_path: Path) -> None:
    with run_example("node_secrets.py", "a text", folder=tmp_path) as command:
        assert command.wait() == 0
        masked, signed = command.output.splitlines()
        assert masked == "what the service tells of the secrets: {'signing_key': True}"
        text, _, signature = signed.rpartition(": ")
        assert text == "signature of 'a text'"
        assert len(bytes.fromhex(signature)) == hashlib.sha256().digest_size

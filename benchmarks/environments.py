"""The published SDK, and each other tool, in an environment of its own, from the registry, on this Python."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "published.txt"
MINIMUM = (3, 12)
"""The oldest Python that the published SDK runs on."""


PEERS = HERE / "peers"


def published_python(say: Callable[[str], None]) -> str | None:
    """Make the environment of the published SDK, or find it made, and return its interpreter.

    Returns:
        None where this Python is too old for the published SDK, or the registry cannot be reached.
    """
    if sys.version_info[:2] < MINIMUM:
        oldest = ".".join(map(str, MINIMUM))
        say(f"without the published SDK: it needs Python {oldest}, and this is {sys.version.split()[0]}")
        return None
    return _interpreter("published", "the published SDK", REQUIREMENTS, say)


def peer_python(name: str, say: Callable[[str], None]) -> str | None:
    """Make the environment of a tool that `durable` measures, or find it made, and return its interpreter.

    Returns:
        None where the registry cannot be reached.
    """
    return _interpreter(name, name, PEERS / f"{name}.txt", say)


def _interpreter(name: str, title: str, requirements: Path, say: Callable[[str], None]) -> str | None:
    environment = HERE.parent / ".venv-bench-{}-{}.{}".format(name, *sys.version_info[:2])
    python, stamp = environment / "bin" / "python", environment / "stamp"
    wanted = f"{sys.version}\n{requirements.read_text(encoding='utf-8')}"
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != wanted:
        say(f"making the environment of {title}")
        shutil.rmtree(environment, ignore_errors=True)
        pip = (python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "-r", requirements)
        try:
            # From the interpreter that ours was made with, so that all have the same one.
            base = Path(sys.base_prefix) / "bin" / "python{}.{}".format(*sys.version_info[:2])
            subprocess.run([base, "-m", "venv", environment], check=True, stdout=sys.stderr)  # noqa: S603
            subprocess.run(pip, check=True, stdout=sys.stderr)  # noqa: S603
        except (OSError, subprocess.CalledProcessError) as error:
            say(f"without {title}: its environment cannot be made ({error})")
            return None
        stamp.write_text(wanted, encoding="utf-8")
    return str(python)

"""docs/observability.md names every event that the SDK logs."""

from __future__ import annotations

import re
from pathlib import Path

import exospherehost

PACKAGE = Path(exospherehost.__file__).parent
PAGE = (Path(__file__).parents[2] / "docs" / "observability.md").read_text()


def test_every_event_of_the_sdk_is_named_and_no_other() -> None:
    sources = [*PACKAGE.glob("_*.py"), *PACKAGE.glob("_*/*.py")]
    logged = {name for path in sources for name in re.findall(r'"event=(\w+)', path.read_text())}
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (?:DEBUG|INFO|WARNING|ERROR)", PAGE, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    at_debug = set(re.findall(r"`(\w+)`", PAGE.partition("At DEBUG there are also")[2].partition("\n\n")[0]))

    assert named
    assert logged == named | at_debug

"""The changelog is of the version that is released."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"


def test_newest_version_is_the_distributions() -> None:
    versions = re.findall(
        r"^## \[(\d[^\]]*)\] - \d{4}-\d{2}-\d{2}$", CHANGELOG.read_text(encoding="utf-8"), re.MULTILINE
    )

    assert versions[0] == importlib.metadata.version("exospherehost")

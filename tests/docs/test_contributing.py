"""CONTRIBUTING names files that are there, and every folder of the package."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.markdown import local_links

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
NAMED = sorted({name for name in re.findall(r"`([\w./-]+)`", PAGE) if "/" in name or name.endswith(".py")})


@pytest.mark.parametrize("name", NAMED)
def test_what_it_names_is_there(name: str) -> None:
    places = [ROOT / name, ROOT / "exospherehost" / name, ROOT / "exospherehost" / "cli" / name]
    storage = ROOT / "exospherehost" / "server" / "storage"
    places += [storage / name, storage / "sql" / name, ROOT / "tests" / name]

    assert any(place.exists() for place in places) or name == "server/*.py"


def test_every_folder_is_named() -> None:
    package = ROOT / "exospherehost"
    folders = {
        path.relative_to(ROOT).as_posix()
        for path in [*package.iterdir(), *(package / "server").iterdir()]
        if path.is_dir() and (path / "__init__.py").exists()
    }

    assert {folder for folder in folders - {"exospherehost/server"} if f"`{folder}/`" not in PAGE} == set()


def test_its_links_lead_somewhere() -> None:
    assert [link for link in local_links(PAGE) if not (ROOT / link).exists()] == []

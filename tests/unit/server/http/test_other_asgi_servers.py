"""The application without the server around it."""

from __future__ import annotations

from pathlib import Path

import uvicorn

from exospherehost.server import ServerSettings, create_app


def test_it_is_taken_for_what_it_is(tmp_path: Path) -> None:
    app = create_app(ServerSettings(database=str(tmp_path / "exosphere.db"), api_key="test-api-key-0123456789"))
    config = uvicorn.Config(app, log_config=None)
    config.load()
    assert config.interface == "asgi3"

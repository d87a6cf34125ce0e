"""The shell commands that connect another terminal to a service."""

from __future__ import annotations

import shlex

from exospherehost._config import KEY_VARIABLE, URI_VARIABLE


def connection_hint(uri: str, key: str | None) -> str:
    """Return the `export` lines for a service; without a key, the user keeps their own."""
    lines = [f"  export {URI_VARIABLE}={shlex.quote(uri)}"]
    if key is not None:
        lines.append(f"  export {KEY_VARIABLE}={shlex.quote(key)}")
    return "\n".join(lines)

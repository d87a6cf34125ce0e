"""What to install when a library of the command line is missing."""

from __future__ import annotations

_HINT = "the exospherehost command needs its server extra: pip install 'exospherehost[server]'"
_OURS = ("", "exospherehost", "exospherehost_client")


def install_hint(error: ModuleNotFoundError) -> str:
    """Return the text for a library that could not be imported.

    Raises:
        ModuleNotFoundError: The missing module is our own, which is a fault and not a missing extra.
    """
    package = (error.name or "").partition(".")[0]
    if package in _OURS:
        raise error
    return f"{_HINT} (missing: {package})"

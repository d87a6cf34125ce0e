"""The line that leads to the dashboard."""

from __future__ import annotations

import sys
from collections.abc import Callable

_PATH = "/ui/"


def dashboard_hint(url: str, link: Callable[[], str], *, is_terminal: bool) -> str:
    """Return where the dashboard is.

    Args:
        url: The server's address.
        link: Makes a link that signs in once.
        is_terminal: Whether a person reads it. A link signs in, so it goes to no log.
    """
    if is_terminal:
        return f"Dashboard (this link signs in once, within five minutes):\n  {link()}"
    return f"Dashboard: {url}{_PATH} (sign in with the API key)"


def is_terminal(*, err: bool) -> bool:
    """Tell whether standard output, or standard error, is a terminal."""
    return (sys.stderr if err else sys.stdout).isatty()

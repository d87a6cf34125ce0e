"""The default logging that the published SDK has: only for a program that has configured none."""

from __future__ import annotations

import logging

from exospherehost._config import default_log_level

FORMAT = "%(asctime)s | %(levelname)s | %(name)s | %(message)s"


def configure_default_logging() -> None:
    """Log to stderr when a runtime starts, unless the program configured logging or switched this off.

    Level and switch come from `EXOSPHERE_LOG_LEVEL` and `EXOSPHERE_DISABLE_DEFAULT_LOGGING`.
    """
    level = default_log_level()
    if level is None or logging.getLogger().handlers or logging.getLogger("exospherehost").handlers:
        return
    logging.basicConfig(level=level, format=FORMAT)
    # httpx writes a line for each request at INFO, which would drown what the user's nodes say.
    for name in ("httpx", "httpcore"):
        library = logging.getLogger(name)
        if library.level == logging.NOTSET:
            library.setLevel(max(level, logging.WARNING))

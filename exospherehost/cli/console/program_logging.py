"""Logging of a command: the only place that adds handlers for a program."""

from __future__ import annotations

import logging
import sys

from exospherehost._config import default_log_level
from exospherehost._logging import FORMAT
from exospherehost.server.observability.access_log import LOGGER as ACCESS_LOGGER

_ABOUT_THEMSELVES = ("alembic", "httpcore", "httpx", "uvicorn")


def configure_logging(least: int = logging.NOTSET, *, handler: logging.Handler | None = None) -> None:
    """Log to standard error at the level of EXOSPHERE_LOG_LEVEL, but nothing below `least`.

    Args:
        least: A level.
        handler: Writes the records; by default plainly to standard error.
    """
    level = default_log_level()
    if level is None:
        logging.getLogger().addHandler(logging.NullHandler())
        return
    level = max(level, least)
    logging.basicConfig(level=level, format=FORMAT, handlers=None if handler is None else [handler])
    # Below a warning these libraries log their own affairs.
    for name in _ABOUT_THEMSELVES:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def write_access_log() -> None:
    """Write the access log to standard output, whatever the level of the other logs."""
    logger = logging.getLogger(ACCESS_LOGGER)
    handler = logging.StreamHandler(sys.stdout)
    # The bare line, for a collector to parse.
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(min(default_log_level() or logging.INFO, logging.INFO))
    logger.propagate = False

"""The service's warnings in the log of the program that caused them."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable

logger = logging.getLogger(__name__)

_MOST_REMEMBERED = 1_000


class WarningLog:
    """Logs each text once: a program that triggers a thousand times would be told a thousand times."""

    def __init__(self) -> None:
        self._told: OrderedDict[str, None] = OrderedDict()

    def tell(self, operation: str, warnings: Iterable[str] | None) -> None:
        """Log those warnings of an answer that were not logged before."""
        for text in warnings or ():
            if text in self._told:
                self._told.move_to_end(text)
                continue
            self._told[text] = None
            if len(self._told) > _MOST_REMEMBERED:
                self._told.popitem(last=False)
            logger.warning("event=service_warning operation=%s warning=%r", operation, text)

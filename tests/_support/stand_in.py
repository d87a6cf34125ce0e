"""Puts something else in place of parts of a module, for one importer alone."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest


def stand_in(monkeypatch: pytest.MonkeyPatch, importer: ModuleType, imported: str, **parts: Any) -> None:
    """Let one module find other parts in a module that it imports.

    Every other module, and every other thread, finds the real ones: servers of other tests run in this process,
    and one whose event loop finds another `asyncio.sleep` or `time.monotonic` ends, or stands still.

    Args:
        monkeypatch: undoes it.
        importer: the module whose view is changed.
        imported: the name under which it knows the other module.
        parts: what it finds there.
    """
    monkeypatch.setattr(importer, imported, _Overlay(getattr(importer, imported), parts))


class _Overlay:
    def __init__(self, module: ModuleType, parts: dict[str, Any]) -> None:
        self._module = module
        self.__dict__.update(parts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

"""Imports of native modules that must not be loaded by a thread that ends."""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from os import getpid

_loading = threading.Lock()


def import_lastingly(name: str) -> None:
    """Import a module in a thread that lasts as long as the process.

    A native module may keep what belongs to the thread that loaded it. pyreqwest 0.15 does: its memory allocator,
    mimalloc 3, is set up by the thread that imports the module; once that thread has ended, the next allocation in
    another thread reads a null pointer, and the process ends with SIGSEGV.

    Args:
        name: The module.

    Raises:
        ImportError: The module cannot be imported.
    """
    if name in sys.modules:
        return
    with _loading:
        if name in sys.modules:
            return
        if _is_lasting():
            import_module(name)
        else:
            _import_in_a_thread(name)


def _is_lasting() -> bool:
    """Return whether this is the thread that the process began with, which ends only with the process."""
    if sys.platform == "linux":
        # Where Python is embedded, a thread that ends may be what `threading` takes for the main one.
        return threading.get_native_id() == getpid()
    return threading.current_thread() is threading.main_thread()


def _import_in_a_thread(name: str) -> None:
    done = threading.Event()
    failures: list[BaseException] = []

    def load() -> None:
        try:
            import_module(name)
        except BaseException as error:  # noqa: BLE001 - raised below, in the thread that asked
            failures.append(error)
        finally:
            done.set()
        # For ever; a daemon holds up no exit.
        threading.Event().wait()

    threading.Thread(target=load, name=f"exospherehost-import-{name}", daemon=True).start()
    done.wait()
    if failures:
        raise failures[0]

"""A runtime with the nodes of a chaos run, until it is told to stop or killed.

Usage: python -m tests.chaos.runtime_program URIS KEY OPTIONS, with the runtime's options as JSON.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from exospherehost import Runtime
from tests.chaos.nodes import NODES
from tests.chaos.plan import NAMESPACE


def main() -> None:
    """Run it."""
    uris, key, text = sys.argv[1:]
    options: dict[str, Any] = json.loads(text)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    Runtime(NAMESPACE, "chaos", list(NODES), uris, key, **options).start()


if __name__ == "__main__":
    main()

"""`exospherehost` with another time for which leases are spared after a start, for chaos runs that must be short.

Usage: python -m tests.chaos.server_program MILLISECONDS serve OPTION...
"""

from __future__ import annotations

import sys

from exospherehost.cli import main
from exospherehost.server.service import leases

if __name__ == "__main__":
    leases.SPARED_AFTER_START_MS = int(sys.argv.pop(1))
    main()

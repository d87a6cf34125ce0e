"""The dashboard: a page that is a client of a service like any other, and the ASGI application that serves it."""

from __future__ import annotations

from exospherehost.dashboard.static_files import DASHBOARD_PATH, Dashboard

__all__ = ["DASHBOARD_PATH", "Dashboard"]

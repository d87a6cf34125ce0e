"""The service itself: whether it answers, takes the key, agrees on the time, and what it offers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from exospherehost._config import VERSION
from exospherehost._transport.extensions import marked_extensions
from exospherehost.cli.options.connection import Connection
from exospherehost.cli.programs.diagnosis.findings import Finding, error, note, warning
from exospherehost_client.extensions import ALL

CLOCK_WARNING_SECONDS = 5.0
CLOCK_ERROR_SECONDS = 60.0
SLOW_SECONDS = 1.0

_HEALTH = "/health"
_DOCUMENT = "/openapi.json"


def service_findings(connection: Connection) -> Iterator[Finding]:
    """Yield what can be found out without a namespace."""
    with httpx.Client(base_url=connection.uri, headers={"x-api-key": connection.key}, timeout=10) as client:
        began = time.monotonic()
        try:
            health = client.get(_HEALTH)
        except httpx.TransportError as problem:
            yield error(
                "address",
                f"{connection.uri} cannot be reached: {str(problem) or type(problem).__name__}",
                f"start it with `exospherehost serve`, or correct the address, which comes from {connection.source}",
            )
            return
        took = time.monotonic() - began
        if health.status_code != 200:
            yield error("address", f"{connection.uri}{_HEALTH} answers {health.status_code}", "see the service's log")
        elif took > SLOW_SECONDS:
            yield warning("address", f"{_HEALTH} takes {took:.1f} s", "see how busy the service's machine is")
        else:
            yield note("address", f"{connection.uri} answers in {took * 1000:.0f} ms; this is exospherehost {VERSION}")
        yield from _clock(health)
        yield from _extensions(client)


def _clock(answer: httpx.Response) -> Iterator[Finding]:
    try:
        theirs = parsedate_to_datetime(answer.headers["date"])
    except (KeyError, ValueError):
        yield note("clock", "the service does not tell its time")
        return
    # The header has whole seconds.
    apart = abs((datetime.now(UTC) - theirs).total_seconds()) - 1
    if apart <= CLOCK_WARNING_SECONDS:
        return
    found = error if apart > CLOCK_ERROR_SECONDS else warning
    yield found(
        "clock",
        f"the service's clock and this machine's are {apart:.0f} s apart",
        "synchronise both (NTP): delays and schedules follow the service's clock",
    )


def _extensions(client: httpx.Client) -> Iterator[Finding]:
    try:
        answer = client.get(_DOCUMENT)
    except httpx.TransportError as failure:
        yield warning("extensions", f"{_DOCUMENT} cannot be read: {failure}", "see the service's log")
        return
    if missing := sorted(ALL - marked_extensions(answer.content)):
        problem = f"the service does not have {', '.join(missing)}"
        yield note("extensions", problem, "docs/extensions.md says what the SDK does then")
    else:
        yield note("extensions", "the service has all extensions")

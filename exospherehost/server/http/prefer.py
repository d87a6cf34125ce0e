"""The request header ``Prefer`` (RFC 7240)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from exospherehost_client.limits import WAIT_SECONDS_MAX

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
# Possessive: tried again in every other way, blanks between semicolons would take for ever.
_PREFERENCE = re.compile(
    rf"\s*+(?P<name>{_WORD})(?:\s*+=\s*+(?P<value>{_WORD}|{_QUOTED}))?+"
    rf"(?:\s*+;\s*+(?:{_WORD}(?:\s*+=\s*+(?:{_WORD}|{_QUOTED}))?+)?+)*+\s*+(?:,|$)",
    re.ASCII,
)
_REST_OF_MALFORMED = re.compile(rf'(?:{_QUOTED}|[^",])*+(?:"[^,]*+)?+(?:,|$)')
_SECONDS = re.compile(r"[0-9]+", re.ASCII)
_DIGITS_READ = 9
# Each quote that is never closed is looked for to the end.
_CHARACTERS_READ = 12_000


def wanted_wait(headers: Iterable[str]) -> int | None:
    """Return how long the sender is ready to wait, in seconds, within the contract's bound; None if it is not.

    Preferences that are unknown or malformed are passed over, and of several waits the first counts, as the RFC wants.

    Args:
        headers: The values of all the request's headers ``Prefer``.
    """
    for header in (sent[:_CHARACTERS_READ] for sent in headers):
        at = 0
        while at < len(header):
            match = _PREFERENCE.match(header, at)
            if match is None:
                rest = _REST_OF_MALFORMED.match(header, at)
                at = len(header) if rest is None or rest.end() == at else rest.end()
                continue
            at = match.end()
            if match["name"].lower() == "wait":
                return _seconds(match["value"] or "")
    return None


def _seconds(value: str) -> int | None:
    text = value[1:-1] if value.startswith('"') else value
    if _SECONDS.fullmatch(text) is None:
        return None
    digits = text.lstrip("0")
    return WAIT_SECONDS_MAX if len(digits) > _DIGITS_READ else min(int(digits or "0"), WAIT_SECONDS_MAX)

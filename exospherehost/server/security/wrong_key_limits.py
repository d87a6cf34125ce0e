"""How often wrong keys may be tried from one address."""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from dataclasses import dataclass

BURST = 20
"""How many wrong keys an address may try at once."""

SECONDS_PER_ATTEMPT = 6.0
"""How long until an address may try one more."""

_MOST_ADDRESSES = 10_000
# What a site is given: whoever has one address of it has all of them.
_IPV6_NETWORK = 64


@dataclass(slots=True)
class _Bucket:
    """How many attempts are left, as of a time."""

    left: float
    at: float


class WrongKeyLimits:
    """Counts failures by address, in bounded memory, by the time that its caller goes by.

    Only wrong keys are held off. A right key is let in wherever it comes from: else anyone behind the same proxy could
    lock its holder out. Guessing is hopeless by the length of keys; what this bounds is the work that it makes.
    """

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def fail(self, host: str, now: float) -> float:
        """Count a wrong key; return 0, or for how many seconds its address is held off."""
        address = address_of(host)
        bucket = self._buckets.get(address)
        if bucket is None:
            bucket = self._buckets[address] = _Bucket(BURST, now)
            if len(self._buckets) > _MOST_ADDRESSES:
                # The one whose last failure is the longest ago.
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(address)
        _refill(bucket, now)
        if bucket.left < 1:
            return _wait(bucket)
        bucket.left -= 1
        return 0.0

    def held_off(self, host: str, now: float) -> float:
        """Return 0, or for how many seconds a host's address is held off."""
        bucket = self._buckets.get(address_of(host)) if self._buckets else None
        if bucket is None:
            return 0.0
        _refill(bucket, now)
        return _wait(bucket) if bucket.left < 1 else 0.0


def address_of(host: str) -> str:
    """Return what failures from a host are counted under: an IPv4 address, the network of an IPv6 one."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, _IPV6_NETWORK), strict=False))


def _refill(bucket: _Bucket, now: float) -> None:
    bucket.left = min(BURST, bucket.left + (now - bucket.at) / SECONDS_PER_ATTEMPT)
    bucket.at = now


def _wait(bucket: _Bucket) -> float:
    return max(1.0, math.ceil((1 - bucket.left) * SECONDS_PER_ATTEMPT))

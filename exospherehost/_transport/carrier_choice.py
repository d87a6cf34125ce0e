"""Choice of the HTTP client for a service."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from exospherehost._config import ConnectionSettings
from exospherehost._transport.carrier import Carrier
from exospherehost._transport.lasting_import import import_lastingly

logger = logging.getLogger(__name__)


def fastest_carrier(settings: ConnectionSettings, uri: str, user_agent: str) -> Carrier:
    """Make the carrier for a runtime: pyreqwest where it is installed and can do what is asked, else httpx.

    httpx's own pool costs ten times the processor time at 16 requests in flight (benchmarks/README.md), but
    takes every TLS and proxy setting.
    """
    # Imported here: each costs tens of milliseconds, and a program needs one of them or none.
    reason = _beyond_pyreqwest(settings, uri)
    if reason is None:
        try:
            import_lastingly("pyreqwest._pyreqwest")
            from exospherehost._transport.pyreqwest_carrier import PyreqwestCarrier  # noqa: PLC0415

            fast = PyreqwestCarrier(settings, uri, user_agent)
        except (ImportError, RuntimeError) as error:
            reason = str(error)
        else:
            logger.debug("event=carrier uri=%s carrier=pyreqwest", uri)
            return fast
    from exospherehost._transport.httpx_carrier import HttpxCarrier  # noqa: PLC0415

    logger.debug("event=carrier uri=%s carrier=httpx reason=%s", uri, reason)
    return HttpxCarrier(settings, uri, user_agent)


def _beyond_pyreqwest(settings: ConnectionSettings, uri: str) -> str | None:
    """Say which setting only httpx takes, or None."""
    # pyreqwest can trust authorities beside the system's, but not in place of them.
    is_verified_otherwise = not isinstance(settings.verify, bool)
    is_verified = settings.verify is True and uri.startswith("https:")
    reasons = (
        # pyreqwest takes even encoded dots for steps in the path.
        (settings.namespace in {".", ".."}, "the namespace is made of dots"),
        (settings.proxy is not None, "a proxy is set"),
        (settings.cert is not None, "a client certificate is set"),
        (is_verified_otherwise, "authorities of one's own are set"),
        (is_verified and _has_own_authorities(), "SSL_CERT_FILE or SSL_CERT_DIR is set"),
        (_is_proxied(uri), "the environment names a proxy"),
    )
    return next((reason for applies, reason in reasons if applies), None)


def _has_own_authorities() -> bool:
    """Tell whether the environment names other authorities than the system's, as httpx has it."""
    paths = ssl.get_default_verify_paths()
    # A path that does not exist is None there, which says the same of the environment's as of the default one.
    file = paths.openssl_cafile if Path(paths.openssl_cafile).is_file() else None
    folder = paths.openssl_capath if Path(paths.openssl_capath).is_dir() else None
    return (paths.cafile, paths.capath) != (file, folder)


def _is_proxied(uri: str) -> bool:
    """Tell whether the environment, or the system's settings, have a proxy for a URI, as httpx finds out."""
    # Imported here: it brings the standard library's whole HTTP client.
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415

    parts = urlsplit(uri)
    proxies = getproxies()
    return bool(proxies.get(parts.scheme) or proxies.get("all")) and not proxy_bypass(parts.netloc)

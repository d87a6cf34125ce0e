"""Every environment variable and default of the SDK, and the only reader of the environment.

An argument goes before its variable. Settings are frozen values whose reprs mask what is secret.
"""

from __future__ import annotations

import logging
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn, TypeAlias, TypedDict, Unpack
from urllib.parse import urlsplit

from exospherehost._errors import ConfigurationError

VERSION = version("exospherehost")

URI_VARIABLE = "EXOSPHERE_STATE_MANAGER_URI"
KEY_VARIABLE = "EXOSPHERE_API_KEY"
LOG_LEVEL_VARIABLE = "EXOSPHERE_LOG_LEVEL"
NO_DEFAULT_LOGGING_VARIABLE = "EXOSPHERE_DISABLE_DEFAULT_LOGGING"

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 30.0
WRITE_TIMEOUT = 30.0
POOL_TIMEOUT = 30.0
LONGEST_TIMEOUT = 31_536_000
"""A year, in seconds; what is longer counts as no time-out."""
IDLE_SECONDS = 4.0
"""How long an idle connection is kept: less than the 5 s after which uvicorn and many others close theirs.

A request that goes out in the moment in which the service closes the connection is lost, and nobody can tell
whether it was read.
"""

LONGEST_NAME = 1_000
"""Letters in a name that stands in a path; services and proxies bound the whole path at some 8,000 bytes."""

DEFAULT_API_VERSION = "v0"
DEFAULT_BATCH_SIZE = 16
DEFAULT_WORKERS = 4
DEFAULT_POLL_INTERVAL = 1.0
DEFAULT_GRACE_PERIOD = 30.0
DEFAULT_LEASE = 60.0

KEEPS_A_KEY = "a {} holds an API key, and is neither pickled nor copied; make another one where it is needed"

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HOST_AND_PORT = re.compile(r"[A-Za-z0-9.-]+:[0-9]{1,5}(/.*)?")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\t -~]*")

ClientCertificate: TypeAlias = str | tuple[str, str] | tuple[str, str, str]
"""A file with certificate and key, or (certificate, key), or (certificate, key, password)."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long each part of a request may take, in seconds.

    Attributes:
        connect: to open a connection, TLS included.
        read: between two parts of a response.
        write: between two parts of a request.
        pool: to get a connection out of the pool.
    """

    connect: float = CONNECT_TIMEOUT
    read: float = READ_TIMEOUT
    write: float = WRITE_TIMEOUT
    pool: float = POOL_TIMEOUT

    def __post_init__(self) -> None:
        for name in ("connect", "read", "write", "pool"):
            seconds = getattr(self, name)
            if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not seconds > 0:
                raise ConfigurationError(f"timeout {name}={seconds!r} is not a number of seconds above zero")


class ConnectionOptions(TypedDict, total=False):
    """How to reach a service: the keyword arguments that `Runtime`, `StateManager` and `SyncStateManager` share.

    Attributes:
        timeouts: How long each part of a request may take: seconds for all parts alike, or `Timeouts`.
        headers: Sent with every request.
        proxy: The URI of a proxy. Default: as the environment says.
        verify: Whether to verify the service's certificate; a path of authorities, or an `SSLContext`. Default: True.
        cert: A client certificate: a file, or (certificate, key), or (certificate, key, password).
    """

    timeouts: Timeouts | float | None
    headers: Mapping[str, str] | None
    proxy: str | None
    verify: bool | str | ssl.SSLContext
    cert: ClientCertificate | None


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """Where the service is and how to speak to it; made by :func:`resolve_connection`."""

    namespace: str
    uris: tuple[str, ...] = field(repr=False)
    key: str = field(repr=False)
    api_version: str
    timeouts: Timeouts
    headers: Mapping[str, str] = field(repr=False)
    proxy: str | None = field(repr=False)
    verify: bool | str | ssl.SSLContext
    cert: ClientCertificate | None = field(repr=False)

    def __reduce__(self) -> NoReturn:
        raise TypeError(KEEPS_A_KEY.format(type(self).__name__))

    def protected_values(self) -> tuple[str, ...]:
        """Return what must stand in no text that leaves: the key, header values, the proxy's password."""
        password = urlsplit(self.proxy or "").password
        # A short header value is a word such as "gzip", and would be struck out of unrelated text.
        headers = (value for value in self.headers.values() if len(value) >= 8)
        return (self.key, *headers, *([password] if password else ()))


def resolve_connection(
    *,
    namespace: str,
    state_manager_uri: str | None,
    key: str | None,
    api_version: str,
    **options: Unpack[ConnectionOptions],
) -> ConnectionSettings:
    """Put arguments and environment together.

    Raises:
        ConfigurationError: something is missing or malformed; names the parameter and the variable.
        TypeError: there is no such option.
    """
    for name in options:
        if name not in ConnectionOptions.__annotations__:
            nearest = get_close_matches(name, ConnectionOptions.__annotations__, n=1)
            remedy = (
                f"did you mean {nearest[0]}=?"
                if nearest
                else f"there are {', '.join(ConnectionOptions.__annotations__)}"
            )
            raise TypeError(f"unexpected keyword argument {name!r}: {remedy}")
    timeouts, proxy = options.get("timeouts"), options.get("proxy")
    if isinstance(timeouts, int | float):
        timeouts = Timeouts(connect=timeouts, read=timeouts, write=timeouts, pool=timeouts)
    if not isinstance(timeouts, Timeouts | None):
        raise ConfigurationError(f"timeouts={timeouts!r} is neither a number of seconds nor a Timeouts(...)")
    return ConnectionSettings(
        namespace=checked_segment("namespace", namespace),
        uris=_uris(_required("state_manager_uri", state_manager_uri, URI_VARIABLE)),
        key=_api_key(_required("key", key, KEY_VARIABLE)),
        api_version=_version(api_version),
        timeouts=timeouts or Timeouts(),
        headers=_headers(options.get("headers") or {}),
        proxy=None if proxy is None else _uri("proxy", proxy, ("http", "https", "socks5", "socks5h")),
        verify=_verify(options.get("verify", True)),
        cert=_certificate(options.get("cert")),
    )


def checked_segment(name: str, value: str) -> str:
    """Return a value that is to be one segment of a path, or refuse it."""
    if isinstance(value, Mapping) and name in value:
        raise ConfigurationError(f"{name} is a whole answer; pass its {name!r}, as in result[{name!r}]")
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{name}={_shortened(value)} is empty or no text; pass {name}= a name")
    if "/" in value:
        raise ConfigurationError(
            f"{name}={_shortened(value)} has a slash; it is one segment of a path, so use another character"
        )
    if len(value) > LONGEST_NAME:
        raise ConfigurationError(f"{name}={_shortened(value)} has {len(value)} letters; use {LONGEST_NAME} at the most")
    return value


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}…"


def default_log_level() -> int | None:
    """Return the level for default logging, or None when it is switched off.

    As in the published SDK, `EXOSPHERE_LOG_LEVEL` is a level's name, INFO where there is no such level,
    and `EXOSPHERE_DISABLE_DEFAULT_LOGGING` set to anything but nothing switches it off.
    """
    if os.environ.get(NO_DEFAULT_LOGGING_VARIABLE):
        return None
    name = os.environ.get(LOG_LEVEL_VARIABLE, "").strip().upper()
    return logging.getLevelNamesMapping().get(name, logging.INFO)


def _version(version: str) -> str:
    if not _VERSION.fullmatch(checked_segment("state_manager_version", version)):
        raise ConfigurationError(
            f"state_manager_version={version!r} is no version; use letters, digits, dots and dashes, such as v0"
        )
    return version


def _required(parameter: str, value: str | None, variable: str) -> str:
    given = os.environ.get(variable) if value is None else value
    if not isinstance(given, str | None):
        raise ConfigurationError(f"{parameter} is a {type(given).__name__} and not text")
    if given is None or not given.strip():
        state = "blank" if given is not None else "missing"
        raise ConfigurationError(f"{parameter} is {state}: pass {parameter}= or set the variable {variable}")
    return given.strip()


def _uris(text: str) -> tuple[str, ...]:
    uris = [_uri("state_manager_uri", part, ("http", "https")) for part in map(str.strip, text.split(",")) if part]
    if not uris:
        raise ConfigurationError(f"state_manager_uri={text!r} names no service; separate several by commas")
    return tuple(uris)


def _uri(parameter: str, text: str, schemes: tuple[str, ...]) -> str:
    if not isinstance(text, str):
        raise ConfigurationError(f"{parameter} is a {type(text).__name__} and not text")
    try:
        parts = urlsplit(text)
        complete = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        complete = False
    if not complete or any(letter.isspace() for letter in text):
        hint = f" or the variable {URI_VARIABLE}" if parameter == "state_manager_uri" else ""
        # Before an @ stands a password, and a text without scheme and port may be the key in the wrong place.
        is_shown = ("://" in text or _HOST_AND_PORT.fullmatch(text) is not None) and "@" not in text
        value = f"={_shortened(text)}" if is_shown else ""
        swapped = "" if is_shown or parameter != "state_manager_uri" else ", unless it has changed places with key="
        raise ConfigurationError(
            f"{parameter}{value} is not a URI such as {schemes[0]}://host:8000; correct {parameter}={hint}{swapped}"
        )
    if "?" in text or "#" in text:
        raise ConfigurationError(f"{parameter} has a query or a fragment; give scheme, host, port and path only")
    if parameter == "state_manager_uri" and "@" in urlsplit(text).netloc:
        # httpx writes the URI of each request into its log.
        raise ConfigurationError(f"{parameter} has a user or a password; pass headers={{'authorization': ...}} instead")
    return text.rstrip("/")


def _headers(headers: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(headers, Mapping):
        raise ConfigurationError(f"headers is a {type(headers).__name__} and not a mapping of names to values")
    for name, value in headers.items():
        if not (isinstance(name, str) and _HEADER_NAME.fullmatch(name)):
            raise ConfigurationError(f"headers has the name {name!r}; a header's name is letters, digits and dashes")
        if not (isinstance(value, str) and _HEADER_VALUE.fullmatch(value)):
            # The value may be a password, so it is not quoted.
            raise ConfigurationError(
                f"headers[{name!r}] has a value that cannot stand in a header; use printable ASCII"
            )
    return dict(headers)


def _verify(verify: bool | str | ssl.SSLContext) -> bool | str | ssl.SSLContext:
    if isinstance(verify, str):
        _existing("verify", verify, "the path of a file, or a folder, of authorities")
    elif not isinstance(verify, bool | ssl.SSLContext):
        raise ConfigurationError(f"verify is a {type(verify).__name__}; pass True, False, a path or an SSLContext")
    return verify


def _certificate(cert: ClientCertificate | None) -> ClientCertificate | None:
    # The third part, a password, is not a file and not to be quoted.
    files = () if cert is None else (cert,) if isinstance(cert, str) else tuple(cert)[:2]
    for file in files:
        _existing("cert", file, "the path of a certificate's file, and of its key's")
    return cert


def _existing(parameter: str, path: str, what: str) -> None:
    if not isinstance(path, str) or not Path(path).exists():
        raise ConfigurationError(f"{parameter}={_shortened(path)} does not exist; pass {what}")


def _api_key(key: str) -> str:
    if key.startswith(("http://", "https://")):
        raise ConfigurationError(
            "key is a URI, and has perhaps changed places with state_manager_uri=: correct key= or the variable "
            f"{KEY_VARIABLE}"
        )
    if not all("!" <= letter <= "~" for letter in key):
        raise ConfigurationError(
            f"key has a letter that cannot stand in a header: correct key= or the variable {KEY_VARIABLE}"
        )
    return key

"""The options that say which service a command speaks to, and where they come from when they are not given."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click

from exospherehost._config import KEY_VARIABLE, URI_VARIABLE
from exospherehost.cli.options.profiles import checked_name, read_profiles

NAMESPACE_VARIABLE = "EXOSPHERE_NAMESPACE"
"""Read by commands alone: programs name their namespace."""
ENV_FILE = ".env"

_Command = TypeVar("_Command", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Connection:
    """A service, the key for it, and a namespace.

    Attributes:
        uri: The service.
        key: The API key.
        namespace: The namespace; None if nothing names one.
        source: Where the service and its key were found.
    """

    uri: str
    key: str = field(repr=False)
    namespace: str | None
    source: str


def connection_options(command: _Command) -> _Command:
    """Add `--uri`, `--key`, `--namespace` and `--profile`; the command gets them as one `connection`."""

    @click.option("--uri", metavar="URI", help=f"The state manager. Default: {URI_VARIABLE}, .env, or a profile.")
    @click.option("--key", metavar="KEY", help="Its API key, given together with --uri.")
    @click.option("-n", "--namespace", metavar="NAME", help="The namespace. Default: the only one that there is.")
    @click.option("--profile", metavar="NAME", help="A profile made by `exospherehost login`.")
    @functools.wraps(command)
    def with_connection(
        uri: str | None, key: str | None, namespace: str | None, profile: str | None, **arguments: Any
    ) -> object:
        return command(connection=find_connection(uri, key, namespace, profile), **arguments)

    return with_connection  # type: ignore[return-value]


def find_connection(uri: str | None, key: str | None, namespace: str | None, profile: str | None) -> Connection:
    """Find the service: options first, then variables, then `.env` in this folder, then the current profile.

    The service and its key come from one source together, so that no key goes to an address that something else names.

    Args:
        uri: The option `--uri`.
        key: The option `--key`.
        namespace: The option `--namespace`.
        profile: The option `--profile`.

    Raises:
        click.UsageError: No source names a service with its key, or one names half of it.
    """
    if uri is not None or key is not None:
        if profile is not None:
            raise click.UsageError("--profile names a service and its key: leave out --uri and --key")
        return _complete(
            uri, key, namespace or _text(os.environ, NAMESPACE_VARIABLE), "the options", ("--uri", "--key")
        )
    if profile is not None:
        found = read_profiles().named(checked_name(profile))
        return Connection(found.uri, found.key, namespace or found.namespace, f"the profile {profile}")
    for source, values in (("the environment", os.environ), (ENV_FILE, _env_file())):
        uri, key = _text(values, URI_VARIABLE), _text(values, KEY_VARIABLE)
        if uri is not None or key is not None:
            named = namespace or _text(os.environ, NAMESPACE_VARIABLE) or _text(values, NAMESPACE_VARIABLE)
            return _complete(uri, key, named, source, (URI_VARIABLE, KEY_VARIABLE))
    profiles = read_profiles()
    if profiles.current is None:
        raise click.UsageError(
            f"no state manager is named: give --uri and --key, set {URI_VARIABLE} and {KEY_VARIABLE}, "
            "or sign in with `exospherehost login`"
        )
    found = profiles.by_name[profiles.current]
    named = namespace or _text(os.environ, NAMESPACE_VARIABLE) or found.namespace
    return Connection(found.uri, found.key, named, f"the profile {profiles.current}")


def _complete(
    uri: str | None, key: str | None, namespace: str | None, source: str, names: tuple[str, str]
) -> Connection:
    if uri is None or key is None:
        given, missing = (names[0], names[1]) if key is None else (names[1], names[0])
        raise click.UsageError(
            f"{source} has {given} without {missing}: a service and its key come from one source together"
        )
    return Connection(uri, key, namespace, source)


def _env_file() -> Mapping[str, str | None]:
    path = Path(ENV_FILE)
    if not path.is_file():
        return {}
    # Imported here: few folders have such a file.
    from dotenv import dotenv_values  # noqa: PLC0415

    try:
        # Without interpolation: a value such as $HOME stays as it is written.
        return dotenv_values(path, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"cannot read {path.absolute()}: {error}") from error


def _text(values: Mapping[str, str | None], name: str) -> str | None:
    return (values.get(name) or "").strip() or None

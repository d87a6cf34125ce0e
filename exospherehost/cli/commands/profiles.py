"""`exospherehost login` and `profiles`: services to which a user has signed in."""

from __future__ import annotations

import sys

import click

from exospherehost.cli.console.output import json_option, plain, show, table
from exospherehost.cli.options.connection import Connection
from exospherehost.cli.options.profiles import (
    DEFAULT_NAME,
    Profile,
    checked_name,
    profiles_path,
    read_profiles,
    write_profiles,
)
from exospherehost.cli.programs.service_calls import call_raw
from exospherehost_client.api.nodes import list_namespaces


@click.command(
    epilog="Example: exospherehost login --uri https://state-manager.example",
    short_help="Keep a service and its key in a profile.",
)
@click.option("--uri", metavar="URI", prompt="State manager URI", help="The state manager.")
@click.option("--profile", default=DEFAULT_NAME, show_default=True, metavar="NAME", help="The profile's name.")
@click.option("-n", "--namespace", metavar="NAME", help="The namespace that commands use unless they name one.")
@click.option("--key-stdin", is_flag=True, help="Read the key from standard input rather than asking for it.")
def login(uri: str, profile: str, namespace: str | None, *, key_stdin: bool) -> None:
    """Check a key, and keep it with its service in a profile.

    The key is asked for, so that it is in no shell history. The profile is the current one from then on.
    """
    name = checked_name(profile)
    read: str = sys.stdin.readline() if key_stdin else click.prompt("API key", hide_input=True, type=str)
    key = read.strip()
    if not key:
        raise click.UsageError("the key is empty")
    profiles = read_profiles()
    connection = Connection(uri, key, namespace, "this command")
    namespaces = call_raw(connection, lambda client: list_namespaces.sync(client=client)).namespaces
    write_profiles(profiles.with_profile(name, Profile(uri=uri, key=key, namespace=namespace)))
    known = ", ".join(sorted(namespaces)) or "none yet"
    click.echo(f"Signed in to {uri} as profile {name}, kept in {profiles_path()}. Namespaces: {known}.", err=True)


@click.command(name="list", epilog="Example: exospherehost profiles list --json")
@json_option
def list_(*, as_json: bool) -> None:
    """List the profiles, without their keys."""
    profiles = read_profiles()
    data = [
        {"name": name, "uri": each.uri, "namespace": each.namespace, "current": name == profiles.current}
        for name, each in sorted(profiles.by_name.items())
    ]
    show(
        {"profiles": data},
        lambda: [
            table(
                "",
                "PROFILE",
                "URI",
                "NAMESPACE",
                rows=[
                    ("*" if each["current"] else "", str(each["name"]), str(each["uri"]), str(each["namespace"] or "-"))
                    for each in data
                ],
            )
            if data
            else plain("There is no profile: `exospherehost login` makes one.")
        ],
        as_json=as_json,
    )


@click.command(epilog="Example: exospherehost profiles use staging")
@click.argument("name", metavar="NAME")
def use(name: str) -> None:
    """Make a profile the current one."""
    profiles = read_profiles()
    write_profiles(profiles.with_profile(name, profiles.named(name)))
    click.echo(f"Commands use the profile {name} from now on.", err=True)


@click.command(epilog="Example: exospherehost profiles delete staging")
@click.argument("name", metavar="NAME")
def delete(name: str) -> None:
    """Delete a profile and its key from this machine; the key itself goes on working."""
    profiles = read_profiles()
    profiles.named(name)
    write_profiles(profiles.without(name))
    click.echo(f"Deleted the profile {name}.", err=True)

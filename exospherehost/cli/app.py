"""The command tree: every command by name, each module loaded when its command runs."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple, cast

import click

from exospherehost.cli.console.install_hint import install_hint

_COMMANDS = "exospherehost.cli.commands"
_SETTINGS = {"help_option_names": ["-h", "--help"]}


class Place(NamedTuple):
    """The place of a command that is not loaded yet.

    Attributes:
        module: The module below `commands` that holds it.
        attribute: Its name in the module.
        short_help: Its line in the group's help. A test holds that the command says the same of itself.
    """

    module: str
    attribute: str
    short_help: str


class LazyGroup(click.Group):
    """A group that imports a command when it is asked for, so that `--help` and `--version` load none.

    Args:
        places: The commands by name.
        arguments: Arguments of `click.Group`.
    """

    def __init__(self, *, places: Mapping[str, Place], **arguments: Any) -> None:
        super().__init__(**arguments)
        self.places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted({*super().list_commands(ctx), *self.places})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, imported if need be."""
        place = self.places.get(cmd_name)
        if place is None:
            return super().get_command(ctx, cmd_name)
        try:
            module = import_module(f"{_COMMANDS}.{place.module}")
        except ModuleNotFoundError as error:
            sys.exit(install_hint(error))
        return cast("click.Command", getattr(module, place.attribute))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        rows = [(name, self._short_help(name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def _short_help(self, name: str) -> str:
        place = self.places.get(name)
        return self.commands[name].get_short_help_str(limit=200) if place is None else place.short_help


def _show_version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    # Imported here: it takes a fifth of the time that click takes, and only `--version` needs it.
    from importlib.metadata import version  # noqa: PLC0415

    click.echo(f"exospherehost, version {version('exospherehost')}")
    ctx.exit()


cli = LazyGroup(
    name="exospherehost",
    context_settings=_SETTINGS,
    help="Run ExosphereHost state managers and runtimes, and see and steer what they run.",
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_show_version,
            help="Show the version and exit.",
        )
    ],
    places={
        "completion": Place("completion", "completion", "Print the script that completes commands in a shell."),
        "doctor": Place("doctor", "doctor", "Look for what keeps graphs from running."),
        "login": Place("profiles", "login", "Keep a service and its key in a profile."),
        "top": Place("top", "top", "Show what runs now, live."),
        "trigger": Place("trigger", "trigger", "Start a run of a graph."),
        "dev": Place("dev", "dev", "Run a script with a state manager of its own, then show its runs."),
        "run": Place("run", "run", "Run a runtime until Ctrl-C or SIGTERM."),
        "serve": Place("serve", "serve", "Run the state manager until Ctrl-C or SIGTERM."),
        "ui": Place("ui", "ui", "Show the dashboard of any state manager, until Ctrl-C or SIGTERM."),
    },
)
cli.add_command(
    LazyGroup(
        name="db",
        context_settings=_SETTINGS,
        help="Look after a state manager's database.",
        places={
            "backup": Place("db_backup", "backup", "Copy a SQLite database to a file, while servers run on it."),
            "check": Place("db", "check", "Check the schema and the totals of runs."),
            "current": Place("db", "current", "Show the database's schema and the one that this version works with."),
            "prune": Place("db_prune", "prune", "Delete the runs that ended long ago, with all of their states."),
            "rotate-secrets-key": Place(
                "db_backup", "rotate_secrets_key", "Seal all stored secrets under a new key, while servers run."
            ),
            "upgrade": Place("db", "upgrade", "Upgrade the database's schema, or create it."),
        },
    )
)
cli.add_command(
    LazyGroup(
        name="keys",
        context_settings=_SETTINGS,
        short_help="Create, list and revoke API keys.",
        help="Create, list and revoke the API keys of a database's state managers.\n\n"
        "They work on every server of the database, beside the server's own key, which may do everything.",
        places={
            "create": Place("keys", "create", "Create a key and print it, the only time that it is shown."),
            "list": Place("keys", "list_", "List the keys, revoked and expired ones too."),
            "revoke": Place("keys", "revoke", "Revoke a key: it stops working on every server, without a restart."),
        },
    )
)
cli.add_command(
    LazyGroup(
        name="graphs",
        context_settings=_SETTINGS,
        help="Store, show, compare, draw and delete graphs.",
        places={
            "apply": Place(
                "graph_files", "apply", "Store the graphs of YAML or JSON files, and wait until they are VALID."
            ),
            "delete": Place(
                "graphs",
                "delete",
                "Delete a graph: its schedules end, and its running runs are cancelled.",
            ),
            "diff": Place(
                "graph_files",
                "diff",
                "Show how the graphs of files differ from the stored ones; the exit status is 1 if one does.",
            ),
            "draw": Place("graphs", "draw", "Draw a graph."),
            "export": Place(
                "graphs", "export", "Print a graph as a file for `graphs apply`; of secrets it has the names alone."
            ),
            "list": Place("graphs", "list_", "List the graphs of a namespace."),
            "show": Place("graphs", "show_", "Show a graph: its nodes as a tree, and its validation."),
        },
    )
)
cli.add_command(
    LazyGroup(
        name="runs",
        context_settings=_SETTINGS,
        help="List, show, follow, cancel and retry runs.",
        places={
            "cancel": Place("run_steering", "cancel", "Cancel runs: their waiting and running states are pruned."),
            "errors": Place("runs", "errors", "Show the errors of a run's states that failed for good."),
            "list": Place("runs", "list_", "List runs, newest first."),
            "retry": Place("run_steering", "retry", "Try the failed states of runs again."),
            "show": Place("runs", "show_", "Show a run as a tree of its states."),
            "wait": Place("run_following", "wait", "Wait until a run has ended, in silence."),
            "watch": Place("run_following", "watch", "Watch a run until it ends, with its states by node and status."),
        },
    )
)
cli.add_command(
    LazyGroup(
        name="states",
        context_settings=_SETTINGS,
        help="Show and retry states.",
        places={
            "retry": Place("states", "retry", "Execute a state again: a new state takes its place."),
            "show": Place("states", "show_", "Show a state in full: inputs, outputs, error, parents and times."),
        },
    )
)
cli.add_command(
    LazyGroup(
        name="nodes",
        context_settings=_SETTINGS,
        help="List and show the nodes that runtimes have registered.",
        places={
            "list": Place("nodes", "list_", "List the nodes that runtimes have registered."),
            "show": Place("nodes", "show_", "Show a node: its inputs, outputs and secrets, and who registered it."),
        },
    )
)
cli.add_command(
    LazyGroup(
        name="namespaces",
        context_settings=_SETTINGS,
        help="List namespaces.",
        places={"list": Place("nodes", "list_namespaces_", "List the namespaces that the key may use.")},
    )
)
cli.add_command(
    LazyGroup(
        name="profiles",
        context_settings=_SETTINGS,
        help="List, choose and delete the services to which you have signed in.",
        places={
            "delete": Place(
                "profiles", "delete", "Delete a profile and its key from this machine; the key itself goes on working."
            ),
            "list": Place("profiles", "list_", "List the profiles, without their keys."),
            "use": Place("profiles", "use", "Make a profile the current one."),
        },
    )
)

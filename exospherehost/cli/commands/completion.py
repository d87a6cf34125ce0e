"""`exospherehost completion`: the script that completes commands in a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

PROGRAM = "exospherehost"
VARIABLE = "_EXOSPHEREHOST_COMPLETE"


@click.command(
    epilog="Example: exospherehost completion bash >> ~/.bash_completion",
    short_help="Print the script that completes commands in a shell.",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes commands in a shell.

    It completes commands, options, and the names of graphs, nodes and runs, which it asks the service for.
    """
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - the argument takes the shells that click knows
    click.echo(kind(context.find_root().command, {}, PROGRAM, VARIABLE).source())

"""`exospherehost run`: runs a runtime of a module."""

from __future__ import annotations

from contextlib import ExitStack

import click
from rich.console import Console

from exospherehost._errors import APIError
from exospherehost.cli.console.live_line import AboveTheLine, LiveLine, can_show
from exospherehost.cli.console.plain_errors import plain_errors
from exospherehost.cli.console.program_logging import configure_logging
from exospherehost.cli.programs.runtime_loading import LoadError, ModuleFault, load_runtime
from exospherehost.cli.programs.stop_signals import take_stop_signals


@click.command(
    epilog="Example: exospherehost run app:runtime",
    short_help="Run a runtime until Ctrl-C or SIGTERM.",
)
@click.argument("runtime", metavar="MODULE:RUNTIME")
@click.pass_context
def run(context: click.Context, runtime: str) -> None:
    """Run a runtime until Ctrl-C or SIGTERM, which end it with status 0 once running states have ended.

    MODULE:RUNTIME names a Runtime, or a function without arguments that returns one. The module is imported from
    this directory or from Python's path. A second signal, half a second later or more, cuts the runtime's grace
    period short. On a terminal, a line below the log shows its progress.
    """
    take_stop_signals()
    console = Console(stderr=True)
    with plain_errors(), ExitStack() as stack:
        line = stack.enter_context(LiveLine(console, runtime)) if can_show(console) else None
        # After the line: handlers that the module adds then write above it as well.
        configure_logging(handler=None if line is None else AboveTheLine(console))
        try:
            loaded = load_runtime(runtime)
            if line is not None:
                line.show(loaded)
            loaded.start()
        except LoadError as error:
            raise click.UsageError(str(error)) from error
        except ModuleFault as fault:
            click.echo(str(fault), err=True)
            context.exit(1)
        except APIError as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            # Until the runtime takes the signals there is nothing to hand back.
            context.exit(130)

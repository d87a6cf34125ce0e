"""The command line, `exospherehost`."""

import sys


def main() -> None:
    """Run the command line; without the `server` extra, say how to install it and exit with status 1."""
    try:
        # Imported here: click is not installed with the SDK alone.
        from exospherehost.cli.app import cli  # noqa: PLC0415
    except ModuleNotFoundError as error:
        from exospherehost.cli.console.install_hint import install_hint  # noqa: PLC0415 - only if click is missing

        sys.exit(install_hint(error))
    except KeyboardInterrupt:
        sys.exit(130)
    try:
        cli(prog_name="exospherehost")
    except KeyboardInterrupt:
        # Until a command has begun there is nothing to end, and a traceback would help nobody.
        sys.exit(130)

"""The command line: `exospherehost serve`, `exospherehost dev` and `exospherehost run`."""

import sys

INSTALL_HINT = "the exospherehost command needs its server extra: pip install 'exospherehost[server]'"


def main() -> None:
    """Run the command line; without the `server` extra, say how to install it and exit with status 1."""
    try:
        # What the commands need is not installed with the SDK alone.
        from exospherehost.cli.app import cli  # noqa: PLC0415
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "exospherehost", "exospherehost_client"):
            raise
        sys.stderr.write(f"{INSTALL_HINT} (missing: {package})\n")
        sys.exit(1)
    except KeyboardInterrupt:
        # Before a command has begun there is nothing to end, and a trace would say nothing.
        sys.exit(130)
    cli(prog_name="exospherehost")

"""The group of commands about a database."""

from __future__ import annotations

import click


@click.group("db", context_settings={"help_option_names": ["-h", "--help"]})
def db() -> None:
    """Look after a state manager's database."""

"""The group of commands about a database."""

from __future__ import annotations

import click


@click.group("db")
def db() -> None:
    """Look after a state manager's database."""

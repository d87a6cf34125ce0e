"""Makes and revokes stored keys, through the commands that people use."""

from __future__ import annotations

import re
from pathlib import Path

from click.testing import CliRunner, Result

from exospherehost.cli.app import cli


def command(*words: str | Path) -> Result:
    """Run an `exospherehost` command in this process."""
    return CliRunner().invoke(cli, [str(word) for word in words])


def make_key(database: str | Path, *options: str) -> str:
    """Make a key and return it."""
    done = command("keys", "create", "--database", database, *options)
    assert done.exit_code == 0, done.output
    return done.stdout.strip()


def id_of(key: str) -> str:
    """Return the public id of a key."""
    match = re.fullmatch(r"exk_([0-9a-f]{10})_[\w-]{43}", key)
    assert match, key
    return match[1]


def revoke(database: str | Path, key: str) -> None:
    """Revoke a key."""
    done = command("keys", "revoke", "--database", database, id_of(key))
    assert done.exit_code == 0, done.output

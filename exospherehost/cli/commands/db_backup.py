"""`exospherehost db backup` and `exospherehost db rotate-secrets-key`."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

import click

from exospherehost.cli.console.plain_errors import plain_errors_of
from exospherehost.cli.options.database import database_option, is_file
from exospherehost.cli.programs.wording import counted
from exospherehost.server.domain.errors import StartupError
from exospherehost.server.security.secret_box import KEY_VARIABLE, SecretBox
from exospherehost.server.service.secret_rotation import Rotation, reseal, rotate_file
from exospherehost.server.settings import read_environment, secrets_key_file
from exospherehost.server.storage.opening import open_store
from exospherehost.server.storage.sql.database_url import database_path
from exospherehost.server.storage.sqlite.engine import back_up


@click.command(
    epilog="Example: exospherehost db backup --database runs.db runs-backup.db",
    short_help="Copy a SQLite database to a file, while servers run on it.",
)
@database_option
@click.argument("file", type=click.Path(path_type=Path))
def backup(database: str, file: Path) -> None:
    """Copy a SQLite database to FILE, which must not exist, while servers run on it.

    The copy is checked, shows the database at one moment, and only its owner may read it. To restore it, start a
    server on it. Secrets in it are sealed. Keep their key, which is in a file beside the database or in a variable,
    in another place: without it they cannot be read.
    """
    if not is_file(database):
        raise click.ClickException(
            "this command copies SQLite databases; for PostgreSQL use its own tool, while servers run: "
            "pg_dump --format=custom --file FILE DATABASE"
        )
    with plain_errors_of(database):
        pages, size = back_up(database_path(database), file)
    click.echo(f"{file}: {counted(pages, 'page')}, {counted(size, 'byte')}, checked")
    if secrets_key_file(database).exists():
        click.echo(f"Keep {secrets_key_file(database)} too, in another place: without it secrets cannot be read.")


@click.command(
    epilog="Example: exospherehost db rotate-secrets-key --database runs.db",
    name="rotate-secrets-key",
    short_help="Seal all stored secrets under a new key, while servers run.",
)
@database_option
def rotate_secrets_key(database: str) -> None:
    """Seal all stored secrets under a new key, while servers run.

    If the key is in the file beside the database, this creates a new one, servers load it, and the old one is
    deleted. If EXOSPHERE_SECRETS_KEY holds the keys, separated by commas, all secrets are sealed under the first;
    servers must know it before.
    """
    with plain_errors_of(database):
        environment = read_environment()
        path = secrets_key_file(database) if is_file(database) else None
        if environment.secrets_key is not None:
            box = SecretBox(environment.secrets_key, *environment.older_secrets_keys)
            rotation = asyncio.run(_rotate(database, box))
            left = f"Once every server has it as its first key, remove the others from {KEY_VARIABLE}."
        elif path is None or not path.exists():
            raise StartupError(f"there is no key file beside the database: set {KEY_VARIABLE} to NEW,OLD")
        else:
            rotation = asyncio.run(_rotate(database, path))
            left = f"{path} now holds the new key alone. Older backups need the old one."
    click.echo(f"{counted(rotation.resealed, 'secret')} sealed anew, {rotation.unchanged:,} already up to date.")
    if rotation.unreadable:
        raise click.ClickException(
            f"no key opens the secrets of {', '.join(rotation.unreadable)}: they are unchanged, and old keys are "
            "kept. Give the key that sealed them, and run this again"
        )
    click.echo(left)


async def _rotate(database: str, keys: SecretBox | Path) -> Rotation:
    with closing(await asyncio.to_thread(open_store, database)) as store:
        return await (reseal(store, keys) if isinstance(keys, SecretBox) else rotate_file(store, keys))

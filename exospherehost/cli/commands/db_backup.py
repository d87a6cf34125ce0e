"""`exospherehost db backup` and `exospherehost db rotate-secrets-key`."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

import click

from exospherehost.cli.options.database import database_option, is_file, plain_errors
from exospherehost.server.domain.errors import StartupError
from exospherehost.server.security.secret_box import KEY_VARIABLE, SecretBox
from exospherehost.server.service.secret_rotation import Rotation, reseal, rotate_file
from exospherehost.server.settings import read_environment, secrets_key_file
from exospherehost.server.storage.opening import open_store
from exospherehost.server.storage.sql.database_url import database_path
from exospherehost.server.storage.sqlite.engine import back_up


@click.command()
@database_option
@click.argument("file", type=click.Path(path_type=Path))
def backup(database: str, file: Path) -> None:
    """Copy the database to FILE, which must not exist, while servers run on it.

    The copy is the database as it was at one moment, checked, and readable by its owner only. To restore it, start
    a server on it. Secrets in it are sealed: their key, in a file beside the database or in a variable, has to be kept
    apart from it, and is needed to read them.
    """
    if not is_file(database):
        raise click.ClickException(
            "this copies SQLite databases; PostgreSQL has its own tool, which works while servers run: "
            "pg_dump --format=custom --file FILE DATABASE"
        )
    with plain_errors(database):
        pages, size = back_up(database_path(database), file)
    click.echo(f"{file}: {pages:,} pages, {size:,} bytes, checked")
    if secrets_key_file(database).exists():
        click.echo(f"Keep {secrets_key_file(database)} too, in another place: secrets cannot be read without it.")


@click.command("rotate-secrets-key")
@database_option
def rotate_secrets_key(database: str) -> None:
    """Seal all stored secrets under a new key, while servers run.

    With the key in the file beside the database, a new one is made, servers take it up, and the old one goes. With
    keys in EXOSPHERE_SECRETS_KEY, apart by commas, all is sealed under the first of them; servers must know it by then.
    """
    with plain_errors(database):
        environment = read_environment()
        path = secrets_key_file(database) if is_file(database) else None
        if environment.secrets_key is not None:
            box = SecretBox(environment.secrets_key, *environment.older_secrets_keys)
            rotation = asyncio.run(_rotate(database, box))
            left = f"Once every server has it as its first key, {KEY_VARIABLE} needs the others no longer."
        elif path is None or not path.exists():
            raise StartupError(f"there is no file of keys beside the database: set {KEY_VARIABLE} to NEW,OLD")
        else:
            rotation = asyncio.run(_rotate(database, path))
            left = f"{path} holds the new key alone. Backups of before need the old one."
    click.echo(f"{rotation.resealed:,} secrets sealed anew, {rotation.unchanged:,} were up to date.")
    if rotation.unreadable:
        raise click.ClickException(
            f"no key opens secrets of {', '.join(rotation.unreadable)}: they are as they were, and old keys are kept. "
            "Give the key that they were stored under, and repeat"
        )
    click.echo(left)


async def _rotate(database: str, keys: SecretBox | Path) -> Rotation:
    with closing(await asyncio.to_thread(open_store, database)) as store:
        return await (reseal(store, keys) if isinstance(keys, SecretBox) else rotate_file(store, keys))

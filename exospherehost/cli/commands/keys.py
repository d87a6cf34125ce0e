"""`exospherehost keys`: makes, lists and revokes API keys."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from typing import TypeVar

import click
from rich.console import Console
from rich.table import Table

from exospherehost.cli.options.database import database_option, plain_errors
from exospherehost.server.domain.records import ApiKeyRecord
from exospherehost.server.domain.store import Reader, UnitOfWork
from exospherehost.server.http.authentication import FRESH_SECONDS
from exospherehost.server.security.api_keys import make_api_key
from exospherehost.server.storage.opening import open_store

T = TypeVar("T")

_ID = re.compile(r"[0-9a-f]{10}")
_WHOLE_KEY = re.compile(r"exk_([0-9a-f]{10})_[\w-]{43}")
_LIFETIME = re.compile(r"(\d{1,6})([dhm])")
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60}


@click.group("keys")
def keys() -> None:
    """Make, list and revoke the API keys of a database's state managers.

    They work beside the server's own key, which can do everything, on every server of the database.
    """


@keys.command()
@database_option
@click.option(
    "--namespace",
    "namespaces",
    multiple=True,
    metavar="NAME",
    help="A namespace that the key is for; several times for several. Default: all, also future ones.",
)
@click.option("--name", default="", help="What to call it in the list, such as whom it is given to.")
@click.option("--expires", metavar="DURATION", help="How long it works: 90d, 12h or 30m. Default: until it is revoked.")
def create(database: str, namespaces: tuple[str, ...], name: str, expires: str | None) -> None:
    """Make a key, and print it on standard output, the only time that it is shown."""
    now_ms = _now_ms()
    expires_at = None if expires is None else now_ms + _milliseconds(expires)
    if any(not namespace or "/" in namespace for namespace in namespaces):
        raise click.UsageError("a namespace has at least one character, and no slash")
    made = make_api_key(name=name, namespaces=frozenset(namespaces) or None, now_ms=now_ms, expires_at=expires_at)
    _write(database, lambda unit: unit.add_api_key(made.record))
    click.echo(f"Key {made.record.id}, for {_reach(made.record)}. It is not shown again:", err=True)
    click.echo(made.text)


@keys.command("list")
@database_option
def list_(database: str) -> None:
    """List the keys that were made, revoked and expired ones too, without what clients send."""
    records = _read(database, lambda reader: reader.list_api_keys())
    now_ms = _now_ms()
    table = Table("id", "name", "namespaces", "made", "expires", "stands")
    for record in records:
        table.add_row(
            record.id,
            record.name,
            _reach(record),
            _date(record.created_at),
            "never" if record.expires_at is None else _date(record.expires_at),
            _standing(record, now_ms),
        )
    # As wide as it needs to be where nobody looks at it: a program reads it then.
    console = Console()
    Console(width=None if console.is_terminal else 500).print(table)


@keys.command()
@database_option
@click.argument("key_id", metavar="ID")
def revoke(database: str, key_id: str) -> None:
    """Revoke the key with this ID: it stops working on every server, without a restart. A whole key will do, too."""
    if (whole := _WHOLE_KEY.fullmatch(key_id)) is not None:
        key_id = whole[1]
    now_ms = _now_ms()
    if not _write(database, lambda unit: unit.revoke_api_key(key_id, now_ms)):
        # What is no id may be a secret.
        named = f"the id {key_id}" if _ID.fullmatch(key_id) else "that id, which is ten hexadecimal digits,"
        raise click.ClickException(f"there is no key with {named} that works; `keys list` shows all")
    click.echo(f"Key {key_id} is revoked, and refused everywhere within {FRESH_SECONDS:.0f} second.")


def _write(database: str, work: Callable[[UnitOfWork], T]) -> T:
    async def run() -> T:
        with closing(await asyncio.to_thread(open_store, database)) as store:
            return await store.write(work)

    with plain_errors(database):
        return asyncio.run(run())


def _read(database: str, work: Callable[[Reader], T]) -> T:
    async def run() -> T:
        with closing(await asyncio.to_thread(open_store, database)) as store:
            return await store.read(work)

    with plain_errors(database):
        return asyncio.run(run())


def _milliseconds(lifetime: str) -> int:
    match = _LIFETIME.fullmatch(lifetime)
    if match is None or not int(match[1]):
        raise click.UsageError(f"{lifetime!r} is no duration: give days, hours or minutes, such as 90d, 12h or 30m")
    return int(match[1]) * _SECONDS[match[2]] * 1_000


def _reach(record: ApiKeyRecord) -> str:
    return "all namespaces" if record.namespaces is None else ", ".join(sorted(record.namespaces))


def _standing(record: ApiKeyRecord, now_ms: int) -> str:
    if record.revoked_at is not None:
        return f"revoked {_date(record.revoked_at)}"
    return "expired" if record.expires_at is not None and record.expires_at <= now_ms else "works"


def _date(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

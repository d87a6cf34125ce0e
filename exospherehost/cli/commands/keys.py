"""`exospherehost keys`: creates, lists and revokes API keys."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import click
from rich.console import Console
from rich.table import Table

from exospherehost.cli.console.plain_errors import plain_errors_of
from exospherehost.cli.options.database import database_option
from exospherehost.cli.options.durations import duration
from exospherehost.cli.programs.wording import counted
from exospherehost.server.domain.records import ApiKeyRecord
from exospherehost.server.domain.store import Reader, UnitOfWork
from exospherehost.server.http.authentication import FRESH_SECONDS
from exospherehost.server.security.api_keys import make_api_key
from exospherehost.server.storage.opening import open_store

T = TypeVar("T")

_ID = re.compile(r"[0-9a-f]{10}")
_WHOLE_KEY = re.compile(r"exk_([0-9a-f]{10})_[\w-]{43}")


@click.command(
    epilog="Example: exospherehost keys create --database runs.db --namespace demo --expires 90d",
    short_help="Create a key and print it, the only time that it is shown.",
)
@database_option
@click.option(
    "--namespace",
    "namespaces",
    multiple=True,
    metavar="NAME",
    help="A namespace that the key may use; repeat it for several. Default: all, future ones too.",
)
@click.option("--name", default="", help="A name to show in the list, such as its holder.")
@click.option(
    "--expires", type=duration, metavar="DURATION", help="How long it works, such as 90d. Default: until it is revoked."
)
def create(database: str, namespaces: tuple[str, ...], name: str, expires: timedelta | None) -> None:
    """Create a key and print it on standard output, the only time that it is shown."""
    now_ms = _now_ms()
    expires_at = None if expires is None else now_ms + expires // timedelta(milliseconds=1)
    if any(not namespace or "/" in namespace for namespace in namespaces):
        raise click.UsageError("a namespace must have at least one character and no slash")
    made = make_api_key(name=name, namespaces=frozenset(namespaces) or None, now_ms=now_ms, expires_at=expires_at)
    _write(database, lambda unit: unit.add_api_key(made.record))
    click.echo(f"Key {made.record.id}, for {_reach(made.record)}. It is not shown again:", err=True)
    click.echo(made.text)


@click.command(
    epilog="Example: exospherehost keys list --database runs.db",
    name="list",
    short_help="List the keys, revoked and expired ones too.",
)
@database_option
def list_(database: str) -> None:
    """List the keys, revoked and expired ones too. Their values are not shown."""
    records = _read(database, lambda reader: reader.list_api_keys())
    now_ms = _now_ms()
    table = Table("id", "name", "namespaces", "created", "expires", "status")
    for record in records:
        table.add_row(
            record.id,
            record.name,
            _reach(record),
            _date(record.created_at),
            "never" if record.expires_at is None else _date(record.expires_at),
            _standing(record, now_ms),
        )
    # Wide enough for every column where a program reads it.
    console = Console()
    Console(width=None if console.is_terminal else 500).print(table)


@click.command(
    epilog="Example: exospherehost keys revoke --database runs.db 0123456789",
    short_help="Revoke a key: it stops working on every server, without a restart.",
)
@database_option
@click.argument("key_id", metavar="ID")
def revoke(database: str, key_id: str) -> None:
    """Revoke the key with this ID: it stops working on every server, without a restart. The whole key will do too."""
    if (whole := _WHOLE_KEY.fullmatch(key_id)) is not None:
        key_id = whole[1]
    now_ms = _now_ms()
    if not _write(database, lambda unit: unit.revoke_api_key(key_id, now_ms)):
        # A malformed id may be a secret.
        named = f"the id {key_id}" if _ID.fullmatch(key_id) else "that id (an id has ten hexadecimal digits)"
        raise click.ClickException(f"there is no key with {named} that works; `keys list` shows all")
    click.echo(f"Key {key_id} is revoked, and refused everywhere within {counted(round(FRESH_SECONDS), 'second')}.")


def _write(database: str, work: Callable[[UnitOfWork], T]) -> T:
    async def run() -> T:
        with closing(await asyncio.to_thread(open_store, database)) as store:
            return await store.write(work)

    with plain_errors_of(database):
        return asyncio.run(run())


def _read(database: str, work: Callable[[Reader], T]) -> T:
    async def run() -> T:
        with closing(await asyncio.to_thread(open_store, database)) as store:
            return await store.read(work)

    with plain_errors_of(database):
        return asyncio.run(run())


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

"""What a command prints: a table for a person, or one JSON document for a script."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click
from pydantic_core import to_json
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

_Command = TypeVar("_Command", bound=Callable[..., object])

WIDTH_OF_A_PIPE = 200
"""The width of tables, in columns, where standard output is not a terminal."""

STATUS_STYLES = {
    "SUCCESS": "green",
    "VALID": "green",
    "PRUNED": "green",
    "RETRY_CREATED": "yellow",
    "PENDING": "cyan",
    "CREATED": "",
    "QUEUED": "cyan",
    "EXECUTED": "cyan",
    "ERRORED": "bold red",
    "NEXT_CREATED_ERROR": "bold red",
    "FAILED": "bold red",
    "CANCELLED": "yellow",
    "INVALID": "bold red",
}
STATUS_SIGNS = {
    "SUCCESS": "✓",
    "PRUNED": "✓",
    "RETRY_CREATED": "↻",
    "CREATED": "·",
    "QUEUED": "▸",
    "EXECUTED": "▸",
    "ERRORED": "✗",
    "NEXT_CREATED_ERROR": "✗",
}
"""A sign for each status of a state, so that colour is never the only one."""


def json_option(command: _Command) -> _Command:
    """Add `--json`; the command gets it as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(command)


def new_console(*, stderr: bool = False) -> Console:
    """Return a console of standard output, or of standard error; wide where it is not a terminal."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, width=None if stream.isatty() else WIDTH_OF_A_PIPE)


def show(data: Any, rendered: Callable[[], Iterable[RenderableType]], *, as_json: bool) -> None:
    """Print data as JSON, or for a person.

    Args:
        data: What the JSON document holds; models and times are written as on the wire.
        rendered: Makes the lines and tables for a person.
        as_json: Which of both.
    """
    if as_json:
        click.echo(to_json(data, indent=2))
        return
    console = new_console()
    for part in rendered():
        console.print(part, markup=False)


def table(*columns: str, rows: Iterable[Sequence[RenderableType]], right: Sequence[str] = ()) -> Table:
    """Return a table without a frame.

    Args:
        columns: The headings.
        rows: The cells; texts are shown as they are, without markup.
        right: The headings of columns of numbers.
    """
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(plain(cell) if isinstance(cell, str) else cell for cell in row))
    return made


def plain(text: str, style: str = "") -> Text:
    """Return text of a user in one line, without control characters that a terminal would obey."""
    return Text("".join(letter if letter.isprintable() else " " for letter in text), style)


def block(text: str, style: str = "") -> Text:
    """Return text of a user in its own lines, without control characters that a terminal would obey."""
    return Text("".join(letter if letter.isprintable() or letter in "\n\t" else "�" for letter in text), style)


def status_text(status: str) -> Text:
    """Return a status with its sign and colour."""
    sign = STATUS_SIGNS.get(status)
    return plain(f"{sign} {status}" if sign else status, STATUS_STYLES.get(status, ""))


def first_line(error: str | None, longest: int = 160) -> str:
    """Return the line of an error that says most: the last line of a traceback, else the first line."""
    lines = [line.strip() for line in (error or "").splitlines() if line.strip()]
    if not lines:
        return ""
    line = lines[-1] if lines[0].startswith("Traceback") else lines[0]
    return line if len(line) <= longest else f"{line[: longest - 1]}…"

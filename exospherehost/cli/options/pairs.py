"""Options of the form key=value."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click


def pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """Read `key=value` texts; `key=@FILE` takes the value from a file.

    Args:
        texts: The values of the option.
        option: Its name, for messages.

    Raises:
        click.UsageError: A text has no `=`, a key comes twice, or a file cannot be read.
    """
    found: dict[str, str] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or not key:
            # What stands there may be a secret, so only the option is named.
            raise click.UsageError(f"{option} takes key=value, or key=@FILE for the content of a file")
        if key in found:
            raise click.UsageError(f"{option} {key} is given twice")
        found[key] = _content(value[1:], f"{option} {key}") if value.startswith("@") else value
    return found


def _content(path: str, option: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise click.UsageError(f"{option}: cannot read {path}: {reason}") from error

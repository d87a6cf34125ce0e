"""Input templates: text with ``${{identifier.outputs.field}}`` and ``${{store.key}}`` in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

_OPENER = "${{"
_CLOSER = "}}"
_STORE = "store"
_OUTPUTS = "outputs"
_SHOWN_CHARACTERS = 60


class PlaceholderError(ValueError):
    """A placeholder in a template is unclosed, empty or of an unknown shape."""


@dataclass(frozen=True, slots=True)
class StoreReference:
    """Stands for the value that the run's store has under ``key``."""

    key: str


@dataclass(frozen=True, slots=True)
class OutputReference:
    """Stands for one output field of the state that ran at ``identifier``."""

    identifier: str
    field: str


Reference = StoreReference | OutputReference


@dataclass(frozen=True, slots=True)
class Template:
    """A template taken apart: literal text and references, in order."""

    parts: tuple[str | Reference, ...]

    @property
    def references(self) -> tuple[Reference, ...]:
        """The references, in order, repeats included."""
        return tuple(part for part in self.parts if not isinstance(part, str))


def parse(text: str) -> Template:
    """Take a template apart.

    There is no escape: an opener always starts a placeholder, and the first closer after it ends
    it. Everything else, a lone closer included, is literal.

    Raises:
        PlaceholderError: A placeholder is unclosed or is neither of the two known shapes.
    """
    parts: list[str | Reference] = []
    position = 0
    while (start := text.find(_OPENER, position)) >= 0:
        content_start = start + len(_OPENER)
        end = text.find(_CLOSER, content_start)
        if end < 0:
            raise PlaceholderError(f"the placeholder {_shown(text[start:])} is never closed: end it with '}}}}'")
        if start > position:
            parts.append(text[position:start])
        parts.append(_reference(text[content_start:end]))
        position = end + len(_CLOSER)
    if position < len(text):
        parts.append(text[position:])
    return Template(tuple(parts))


def render(template: Template, resolver: Callable[[Reference], str]) -> str:
    """Put a template together again, with what ``resolver`` returns for each reference.

    Text that was put in is not looked at again, so a placeholder in a value stays as it is.
    """
    return "".join([part if isinstance(part, str) else resolver(part) for part in template.parts])


def _reference(content: str) -> Reference:
    match [part.strip() for part in content.split(".")]:
        # The longer spelling of a store key is accepted by the service too.
        case [first, key] | [first, "outputs", key] if first == _STORE:
            return StoreReference(key)
        case [identifier, middle, field] if middle == _OUTPUTS:
            return OutputReference(identifier, field)
        case _:
            raise PlaceholderError(
                f"the placeholder {_shown(_OPENER + content + _CLOSER)} is neither "
                "${{identifier.outputs.field}} nor ${{store.key}}"
            )


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…")

"""Texts of users that the service would take for templates."""

from __future__ import annotations

from collections.abc import Container, Mapping

from exospherehost._rules.placeholders import OutputReference, PlaceholderError, parse

_OPENER = "${{"


def expanded_inputs(inputs: Mapping[str, str], store: Container[str]) -> list[str]:
    """Return the names of inputs whose text the service would expand, or refuse, as a template.

    A placeholder for a key of the trigger's own store is meant as one.

    Args:
        inputs: The inputs of a trigger.
        store: The keys of its store.
    """
    return [name for name, text in inputs.items() if _OPENER in text and not _is_meant(text, store)]


def _is_meant(text: str, store: Container[str]) -> bool:
    try:
        references = parse(text).references
    except PlaceholderError:
        return False
    return all(not isinstance(each, OutputReference) and each.key in store for each in references)

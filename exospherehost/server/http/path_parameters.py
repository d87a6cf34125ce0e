"""Parameters in the path of a request."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import TypeAdapter, ValidationError

from exospherehost.server.domain.errors import Issue
from exospherehost.server.domain.ids import parse_run_id, parse_state_id
from exospherehost.server.http.issues import from_pydantic

_LARGEST_PAGE_OR_SIZE = 2**31


_INTEGER = TypeAdapter(int)


def parse_state_path(values: Mapping[str, str], name: str, issues: list[Issue]) -> str:
    """Return a state id from the path; a malformed one is added to the issues."""
    state_id = parse_state_id(values[name])
    if state_id is None:
        issues.append(
            {
                "type": "string_pattern_mismatch",
                "loc": ["path", name],
                "msg": "A state id has 24 hexadecimal digits",
                "input": values[name],
            }
        )
        return ""
    return state_id


def parse_run_path(values: Mapping[str, str], name: str, issues: list[Issue]) -> str:
    """Return a run id from the path; a malformed one is added to the issues."""
    run_id = parse_run_id(values[name])
    if run_id is None:
        issues.append(
            {
                "type": "uuid_parsing",
                "loc": ["path", name],
                "msg": "A run id is a UUID with hyphens",
                "input": values[name],
            }
        )
        return ""
    return run_id


def parse_number_path(
    values: Mapping[str, str], name: str, issues: list[Issue], *, largest: int = _LARGEST_PAGE_OR_SIZE
) -> int:
    """Return a number, from 1 to ``largest``, from the path; another is added to the issues."""
    text = values[name]
    try:
        number = _INTEGER.validate_python(text)
    except ValidationError as error:
        issues += from_pydantic(error, "path", name)
        return 0
    if not 1 <= number <= largest:
        issues.append(
            {
                "type": "greater_than_equal" if number < 1 else "less_than_equal",
                "loc": ["path", name],
                "msg": f"Input should be from 1 to {largest}",
                "input": text,
            }
        )
    return number

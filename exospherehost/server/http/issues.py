"""Issues: what is wrong with a request, as a 422 lists it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from exospherehost.server.domain.errors import InvalidRequest, Issue
from exospherehost.server.http.responses import encode
from exospherehost_client import models


def encode_issues(issues: Sequence[Issue]) -> bytes:
    """Return the body of a 422."""
    detail = [models.ValidationIssue.model_validate(issue) for issue in issues]
    return encode(models.ValidationErrorDetail(detail=detail))


def require_valid(issues: Sequence[Issue]) -> None:
    """Go on only with a valid request.

    Raises:
        InvalidRequest: There are issues.
    """
    if issues:
        raise InvalidRequest(issues)


def from_pydantic(error: ValidationError, *at: str) -> list[Issue]:
    """Return what pydantic found as issues, located below ``at``, which is the body unless given."""
    prefix = at or ("body",)
    issues: list[Issue] = []
    for problem in error.errors(include_url=False):
        issue: dict[str, Any] = {
            "type": problem["type"],
            "loc": [*prefix, *problem["loc"]],
            "msg": problem["msg"],
            "input": problem["input"],
        }
        if "ctx" in problem:
            issue["ctx"] = {name: _plain(value) for name, value in problem["ctx"].items()}
        issues.append(issue)
    return issues


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else str(value)

"""Reads a batch of reports: what is wrong with one of them is that one's result and no refusal of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from exospherehost._rules.model import FieldIssue
from exospherehost.server.domain.errors import Issue
from exospherehost.server.domain.ids import parse_state_id
from exospherehost.server.http import request_bodies
from exospherehost.server.service.report_batches import Errored, Executed, Pruned, Report, Requeued, Result
from exospherehost_client import models
from exospherehost_client.limits import REPORTS_MAX_ITEMS

_OUTCOMES = ("executed", "errored", "prune", "requeue")


class ReadReport(NamedTuple):
    """One entry of a batch.

    Attributes:
        state_id: As it was sent.
        report: What to apply, or the result that it gets at once.
    """

    state_id: str
    report: Report | Result


class _Entry(BaseModel):
    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    state_id: str


class _Batch(BaseModel):
    reports: Annotated[list[_Entry], Field(max_length=REPORTS_MAX_ITEMS)]


def read_reports(
    value: dict[str, Any], unsafe: Sequence[FieldIssue], *, with_tokens: bool = True
) -> tuple[list[ReadReport] | None, list[Issue]]:
    """Return a body's reports, or what is wrong with the body as a whole.

    Args:
        value: The body.
        unsafe: Where in it stands what cannot be stored.
        with_tokens: Whether to take notice of claim tokens.
    """
    reports, issues = _read_reports(value, unsafe)
    if reports is not None and not with_tokens:
        reports = [
            each._replace(report=each.report._replace(claim_token=None)) if isinstance(each.report, Report) else each
            for each in reports
        ]
    return reports, issues


def _read_reports(value: dict[str, Any], unsafe: Sequence[FieldIssue]) -> tuple[list[ReadReport] | None, list[Issue]]:
    if not unsafe and (reports := _all_in_shape(value)) is not None:
        return [_read(entry, report=report) for entry, report in zip(value["reports"], reports, strict=True)], []
    spoiled = {issue.loc[2]: issue for issue in reversed(unsafe) if _concerns_one(issue)}
    issues: list[Issue] = [issue.to_json() for issue in unsafe if not _concerns_one(issue)]
    _batch, in_shape = request_bodies.validate(value, _Batch)
    # Without the input: what could not be stored cannot be sent back either.
    issues += [{name: part for name, part in issue.items() if name != "input"} for issue in in_shape]
    if issues:
        return None, issues
    return [_read(entry, spoiled.get(number)) for number, entry in enumerate(value["reports"])], []


def _concerns_one(issue: FieldIssue) -> bool:
    return len(issue.loc) > 3 and issue.loc[1] == "reports" and issue.loc[3] != "state_id"


def _all_in_shape(value: dict[str, Any]) -> list[models.StateReport] | None:
    """Return the reports, checked all at once; None where something is wrong, to be told for each on its own."""
    try:
        return models.ReportStatesRequest.model_validate(value).reports
    except (ValidationError, RecursionError):
        return None


def _read(
    entry: dict[str, Any], spoiled: FieldIssue | None = None, report: models.StateReport | None = None
) -> ReadReport:
    sent: str = entry["state_id"]
    state_id = parse_state_id(sent)
    if state_id is None:
        return _invalid(sent, "state_id: A state id has 24 hexadecimal digits")
    if spoiled is not None:
        return _invalid(sent, _message(spoiled.loc[3:], spoiled.msg))
    given = [name for name in _OUTCOMES if name in entry]
    if len(given) != 1 or entry[given[0]] is None:
        return _invalid(sent, f"Give exactly one of {', '.join(_OUTCOMES)}")
    try:
        report = report or models.StateReport.model_validate(entry)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        return _invalid(sent, "; ".join(_message(problem["loc"], problem["msg"]) for problem in problems))
    return ReadReport(sent, _report(state_id, report))


def _report(state_id: str, report: models.StateReport) -> Report:
    if (executed := report.executed) is not None:
        return Report(state_id, Executed(executed.outputs), executed.claim_token)
    if (errored := report.errored) is not None:
        return Report(state_id, Errored(errored.error), errored.claim_token)
    if (prune := report.prune) is not None:
        return Report(state_id, Pruned(prune.data), prune.claim_token)
    if (requeue := report.requeue) is not None:
        return Report(state_id, Requeued(requeue.enqueue_after), requeue.claim_token)
    raise LookupError("a report without an outcome")


def _message(loc: Sequence[str | int], message: str) -> str:
    return f"{'.'.join(map(str, loc))}: {message}"


def _invalid(state_id: str, detail: str) -> ReadReport:
    return ReadReport(state_id, Result(422, detail=detail))

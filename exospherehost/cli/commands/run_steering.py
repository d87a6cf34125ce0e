"""`exospherehost runs cancel` and `runs retry`: one run, or all that a filter lets through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any

import click
from rich.console import RenderableType

from exospherehost._errors import APIStatusError
from exospherehost._state_manager.state_manager import StateManager
from exospherehost.cli.console.output import json_option, show
from exospherehost.cli.console.run_list import runs_table
from exospherehost.cli.options.connection import Connection, connection_options
from exospherehost.cli.options.run_filters import run_filter_options
from exospherehost.cli.programs.name_completion import complete_runs
from exospherehost.cli.programs.run_finding import RunFilter, find_runs, whole_run_id
from exospherehost.cli.programs.service_calls import FAILED, call
from exospherehost.cli.programs.wording import counted
from exospherehost_client.models import RunSummary

MOST_RUNS = 10_000
"""The most runs that one command changes."""

dry_run_option = click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
yes_option = click.option("-y", "--yes", is_flag=True, help="Do it without asking.")


@click.command(epilog="Example: exospherehost runs cancel --status pending --graph nightly --dry-run")
@click.argument("run_ids", metavar="[ID]...", nargs=-1, shell_complete=complete_runs)
@run_filter_options
@dry_run_option
@yes_option
@json_option
@connection_options
@click.pass_context
def cancel(
    context: click.Context,
    connection: Connection,
    *,
    run_ids: Sequence[str],
    statuses: Sequence[str],
    graphs: Sequence[str],
    since: datetime | None,
    until: datetime | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Cancel runs: their waiting and running states are pruned.

    Give ids of runs, or their beginnings, or filters. Runs that have ended stay as they are.
    """
    chosen = _checked(run_ids, RunFilter(statuses, graphs, since, until))

    async def work(manager: StateManager) -> list[dict[str, Any]]:
        runs = await _chosen_runs(manager, run_ids, chosen)
        pending = [run for run in runs if run.pending_count > 0]
        if dry_run or not _is_confirmed(pending, "Cancel", yes=yes or bool(run_ids)):
            return [{"run_id": run.run_id, "graph_name": run.graph_name, "cancelled": False} for run in pending]
        done: list[dict[str, Any]] = []
        for run in pending:
            answer = await manager.cancel(run.run_id)
            done.append(
                {
                    "run_id": run.run_id,
                    "graph_name": run.graph_name,
                    "cancelled": answer.cancelled_at is not None,
                    "pruned": answer.pruned_count,
                }
            )
        return done

    done = call(connection, work)

    def rendered() -> Iterator[RenderableType]:
        if not done:
            yield "No run to cancel: those that were named have ended."
        for each in done:
            if each["cancelled"]:
                pruned = counted(each["pruned"], "state")
                yield f"Cancelled run {each['run_id']} of {each['graph_name']}: {pruned} pruned."
            else:
                fate = "would be cancelled" if dry_run else "is as it was"
                yield f"Run {each['run_id']} of {each['graph_name']} {fate}."

    show({"dry_run": dry_run, "runs": done}, rendered, as_json=as_json)
    context.exit(0)


@click.command(epilog="Example: exospherehost runs retry --status failed --since 1d --dry-run")
@click.argument("run_ids", metavar="[ID]...", nargs=-1, shell_complete=complete_runs)
@run_filter_options
@click.option("--node", "identifiers", multiple=True, metavar="IDENTIFIER", help="Only its states; may be repeated.")
@dry_run_option
@yes_option
@json_option
@connection_options
@click.pass_context
def retry(
    context: click.Context,
    connection: Connection,
    *,
    run_ids: Sequence[str],
    statuses: Sequence[str],
    graphs: Sequence[str],
    since: datetime | None,
    until: datetime | None,
    identifiers: Sequence[str],
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Try the failed states of runs again.

    Give ids of runs, or their beginnings, or filters. A cancelled run stays as it is.
    """
    chosen = _checked(run_ids, RunFilter(statuses, graphs, since, until))

    async def work(manager: StateManager) -> list[dict[str, Any]]:
        runs = await _chosen_runs(manager, run_ids, chosen)
        failed = [run for run in runs if run.errored_count > 0 and run.cancelled_at is None]
        only_shown = dry_run or not _is_confirmed(failed, "Retry the failed states of", yes=yes or bool(run_ids))
        return [await _retried(manager, run, identifiers, only_shown=only_shown) for run in failed]

    done = call(connection, work)
    refused = sum(len(each["refused"]) for each in done)

    def rendered() -> Iterator[RenderableType]:
        if not done:
            yield "No run to retry: none of those that were named has a failed state and is not cancelled."
        for each in done:
            states = counted(len(each["states"]), "state")
            tried = "would be tried" if dry_run else "tried"
            yield f"Run {each['run_id']} of {each['graph_name']}: {states} {tried} again."
            for refusal in each["refused"]:
                yield f"  state {refusal['state_id']} was refused: {refusal['reason']}"

    show({"dry_run": dry_run, "runs": done}, rendered, as_json=as_json)
    context.exit(FAILED if refused else 0)


async def _retried(
    manager: StateManager, run: RunSummary, identifiers: Sequence[str], *, only_shown: bool
) -> dict[str, Any]:
    states: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    for node in (await manager.get_run(run.run_id)).failed_states:
        if identifiers and node.identifier not in identifiers:
            continue
        state = {"state_id": node.id, "identifier": node.identifier}
        if only_shown:
            states.append(state)
            continue
        try:
            answer = await manager.retry(node.id)
        except APIStatusError as error:
            # Somebody else was faster, or the run was cancelled meanwhile.
            if error.status_code not in (400, 404, 409):
                raise
            refused.append({**state, "reason": error.detail})
        else:
            states.append({**state, "new_state_id": answer.id})
    return {"run_id": run.run_id, "graph_name": run.graph_name, "states": states, "refused": refused}


def _checked(run_ids: Sequence[str], chosen: RunFilter) -> RunFilter:
    if run_ids and not chosen.is_empty:
        raise click.UsageError("give either ids or filters")
    if not run_ids and chosen.is_empty:
        raise click.UsageError("give the ids of runs, or a filter: --status, --graph, --since or --until")
    return chosen


async def _chosen_runs(manager: StateManager, run_ids: Sequence[str], chosen: RunFilter) -> list[RunSummary]:
    if not run_ids:
        runs, has_more = await find_runs(manager, chosen, MOST_RUNS)
        if has_more:
            raise click.UsageError(f"the filter lets more than {MOST_RUNS:,} runs through: narrow it, by --since say")
        return runs
    wanted = {await whole_run_id(manager, each) for each in run_ids}
    found: list[RunSummary] = []
    async with aclosing(manager.list_runs()) as listed:
        async for run in listed:
            if run.run_id in wanted:
                wanted.discard(run.run_id)
                found.append(run)
            if not wanted:
                return found
    raise click.UsageError(f"there is no run {min(wanted)} in this namespace")


def _is_confirmed(runs: Sequence[RunSummary], verb: str, *, yes: bool) -> bool:
    if yes or not runs:
        return True
    from exospherehost.cli.console.output import new_console  # noqa: PLC0415

    new_console(stderr=True).print(runs_table(runs[:20]))
    if len(runs) > 20:
        click.echo(f"and {len(runs) - 20} more", err=True)
    return click.confirm(f"{verb} {counted(len(runs), 'run')}?", err=True)

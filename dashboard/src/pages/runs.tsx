// The list of runs.
import { useEffect, useMemo, useState } from "preact/hooks";
import { extensions, has } from "../api/features";
import { cancelRun, getRunGraph, listRuns, retryRun, retryState, searchRuns } from "../api/operations";
import type { Run } from "../api/types";
import { download, toCsv } from "../lib/copy";
import { useKeys } from "../lib/keys";
import { useResource } from "../lib/resource";
import { count, counted, duration, instant, now } from "../lib/time";
import { countsOfRun, FAILED, RUNS, statusOfRun } from "../model/status";
import { go, place, setQuery, to } from "../router";
import { Command, Empty, Failure, Loading, Missing, Name, Search, Time } from "../ui/basics";
import { Confirm, type Plan } from "../ui/confirm";
import { Icon } from "../ui/icons";
import { Bar, Legend, RunBadge } from "../ui/status";

const PAGE = 100;
const MOST = 1_000;
const SINCE: Record<string, [string, number]> = {
  "15m": ["Last 15 minutes", 15 * 60e3],
  "1h": ["Last hour", 3_600e3],
  "1d": ["Last day", 86_400e3],
  "7d": ["Last 7 days", 7 * 86_400e3],
};
const COLUMNS = { status: "Status", run: "Run", graph: "Graph", states: "States", started: "Started", duration: "Duration" } as const;
type Column = keyof typeof COLUMNS;

interface Found {
  runs: Run[];
  total: number | null;
  hasMore: boolean;
}

/** Whether the service can filter by what is asked for; it knows no cancelled runs apart. */
const isLocalStatus = (status: string): boolean => status === "CANCELLED" || status === "FAILED";

export function RunsPage({ ns }: { ns: string }) {
  const { query } = place.value;
  const status = query.get("status") ?? "";
  const graph = query.get("graph") ?? "";
  const since = query.get("since") ?? "";
  const text = query.get("q") ?? "";
  const sort = (query.get("sort") ?? "-started") as Column | `-${Column}`;
  const [limit, setLimit] = useState(PAGE);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [cursor, setCursor] = useState(-1);
  const [plan, setPlan] = useState<Plan | null>(null);
  const isFiltered = Boolean(status || graph || since || text);
  const canSearch = has("search-runs");
  const size = isFiltered && !canSearch ? MOST : limit;

  const after = SINCE[since] ? Date.now() - SINCE[since][1] : null;
  const read = async (signal: AbortSignal): Promise<Found> => {
    if (!canSearch) {
      const { runs, total } = await listRuns(ns, 1, size, signal);
      return { runs, total, hasMore: runs.length < total && size < MOST };
    }
    const wanted = status === "CANCELLED" ? "FAILED" : status;
    const filters = {
      status: wanted ? [wanted] : [],
      graph_name: graph,
      created_after: after === null ? "" : new Date(after).toISOString(),
      run_id_prefix: /^[0-9a-f-]+$/i.test(text) ? text.toLowerCase() : "",
    };
    const { runs, next_cursor } = await searchRuns(ns, filters, size, null, signal);
    return { runs, total: null, hasMore: next_cursor !== null && size < MOST };
  };
  const key = extensions.value && JSON.stringify([ns, size, canSearch && [status, graph, since, text]]);
  const { data, error, isLoading, reload } = useResource(key, read, size > 200 ? 5_000 : 2_000);
  const [held, setHeld] = useState<Found | null>(null);
  useEffect(() => {
    if (data) setHeld(data);
  }, [data]);
  useEffect(() => {
    setHeld(null);
    setChosen(new Set());
    setLimit(PAGE);
  }, [ns]);
  const found = data ?? held;

  const shown = useMemo(() => {
    const wanted = text.trim().toLowerCase();
    const runs = (found?.runs ?? []).filter((run) => {
      if (status && !(canSearch && !isLocalStatus(status)) && statusOfRun(run) !== status) return false;
      if (graph && run.graph_name !== graph) return false;
      if (after !== null && (instant(run.created_at) ?? 0) < after) return false;
      return !wanted || run.run_id.startsWith(wanted) || run.graph_name.toLowerCase().includes(wanted);
    });
    return sorted(runs, sort);
  }, [found, status, graph, since, text, sort]);
  const graphs = useMemo(() => [...new Set([...(found?.runs ?? []).map((run) => run.graph_name), ...(graph ? [graph] : [])])].sort(), [found, graph]);
  const selected = shown.filter((run) => chosen.has(run.run_id));

  useKeys({
    j: () => setCursor((n) => Math.min(n + 1, shown.length - 1)),
    k: () => setCursor((n) => Math.max(n - 1, 0)),
    x: () => shown[cursor] && toggle(shown[cursor].run_id),
    Enter: () => shown[cursor] && go(to.run(ns, shown[cursor].run_id)),
  });
  useEffect(() => {
    document.querySelector("tr.current")?.scrollIntoView({ block: "nearest" });
  }, [cursor]);

  const toggle = (id: string): void => {
    const next = new Set(chosen);
    if (!next.delete(id)) next.add(id);
    setChosen(next);
  };
  const clear = (): void => {
    setChosen(new Set());
    reload();
  };

  const planRetry = (): void => {
    const failed = selected.filter((run) => run.errored_count > 0 && !run.cancelled_at);
    const states = failed.reduce((total, run) => total + run.errored_count, 0);
    setPlan({
      title: `Retry the failed states of ${counted(failed.length, "run")}`,
      text: failed.length
        ? `${counted(states, "state")} failed for good in these runs; each is tried again as a new state.` +
          (failed.length < selected.length ? `\n${counted(selected.length - failed.length, "selected run")} without such states stay as they are.` : "")
        : "None of the selected runs has a state that failed for good.",
      verb: `Retry ${counted(states, "state")}`,
      steps: failed.map((run) => () => retryFailed(ns, run.run_id)),
      after: clear,
    });
  };
  const planCancel = (): void => {
    const running = selected.filter((run) => run.status === "PENDING" && !run.cancelled_at);
    const states = running.reduce((total, run) => total + run.pending_count, 0);
    setPlan({
      title: `Cancel ${counted(running.length, "run")}`,
      text: running.length
        ? `${counted(states, "state")} in these runs are pending; those that are not done are pruned, and nothing more is created.`
        : "None of the selected runs is running.",
      verb: `Cancel ${counted(running.length, "run")}`,
      isDangerous: true,
      steps: running.map((run) => () => cancelRun(ns, run.run_id)),
      after: clear,
    });
  };

  return (
    <div class="page">
      <header class="page-head">
        <h1>Runs</h1>
        {found && (
          <p class="muted" role="status">
            {isFiltered ? `${counted(shown.length, "run")} shown` : found.total === null ? `${count(shown.length)} newest` : counted(found.total, "run")}
          </p>
        )}
        <span class="tools">
          <button type="button" class="ghost" disabled={!shown.length} onClick={() => download(`runs-${ns}.csv`, "text/csv", runsAsCsv(shown))}>
            <Icon name="down_load" /> CSV
          </button>
          <button
            type="button"
            class="ghost"
            disabled={!shown.length}
            onClick={() => download(`runs-${ns}.json`, "application/json", JSON.stringify(shown, null, 2))}
          >
            <Icon name="down_load" /> JSON
          </button>
        </span>
      </header>

      <div class="filters">
        <Search label="Search by run id or graph" value={text} onInput={(q) => setQuery({ q })} />
        <div class="segments" role="group" aria-label="Status">
          {[["", "All"] as const, ...Object.entries(RUNS).map(([name, look]) => [name, look.word] as const)].map(([name, word]) => (
            <button key={name} type="button" aria-pressed={status === name} onClick={() => setQuery({ status: name })}>
              {word}
            </button>
          ))}
        </div>
        <select aria-label="Graph" value={graph} onChange={(event) => setQuery({ graph: event.currentTarget.value })}>
          <option value="">Every graph</option>
          {graphs.map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
        <select aria-label="Started" value={since} onChange={(event) => setQuery({ since: event.currentTarget.value })}>
          <option value="">Any time</option>
          {Object.entries(SINCE).map(([name, [word]]) => (
            <option key={name} value={name}>
              {word}
            </option>
          ))}
        </select>
        {isFiltered && (
          <button type="button" class="ghost" onClick={() => go(to.runs(ns))}>
            Clear
          </button>
        )}
      </div>

      {isFiltered && !canSearch && found?.total !== undefined && found.total !== null && found.total > MOST && (
        <Missing extension="search-runs">
          Only the newest {count(MOST)} of {counted(found.total, "run")} are searched.
        </Missing>
      )}
      {selected.length > 0 && (
        <div class="selection" role="region" aria-label="Selection">
          <strong>{counted(selected.length, "run")} selected</strong>
          <button type="button" onClick={planRetry}>
            <Icon name="again" /> Retry failed states
          </button>
          {has("cancel") && (
            <button type="button" onClick={planCancel}>
              <Icon name="stop" /> Cancel
            </button>
          )}
          <button type="button" class="ghost" onClick={() => setChosen(new Set())}>
            Deselect
          </button>
        </div>
      )}

      {error && !found ? (
        <Failure error={error} what="list of runs" />
      ) : isLoading && !found ? (
        <Loading what="runs" />
      ) : shown.length ? (
        <RunTable ns={ns} runs={shown} sort={sort} chosen={chosen} current={cursor} onToggle={toggle} onToggleAll={(all) => setChosen(new Set(all ? shown.map((run) => run.run_id) : []))} />
      ) : isFiltered ? (
        <Empty icon="search" title="No run fits these filters">
          <p>
            <button type="button" onClick={() => go(to.runs(ns))}>
              Show every run
            </button>
          </p>
        </Empty>
      ) : (
        <Empty icon="runs" title="No runs yet">
          <p>Trigger a graph from its page under Graphs, or run a script that does so:</p>
          <Command>exospherehost dev --keep hello.py</Command>
        </Empty>
      )}
      {found?.hasMore && !(isFiltered && !canSearch) && (
        <p class="more">
          <button type="button" onClick={() => setLimit(Math.min(limit + PAGE * 2, MOST))}>
            Load older runs
          </button>
        </p>
      )}
      {!has("timings") && found && found.runs.length > 0 && <Missing extension="timings">Durations and what triggered a run are not in this list.</Missing>}
      {plan && <Confirm plan={plan} onClose={() => setPlan(null)} />}
    </div>
  );
}

/** Tries again what failed for good in a run. */
export async function retryFailed(ns: string, run: string): Promise<void> {
  if (has("retry-run")) {
    while ((await retryRun(ns, run)).more);
    return;
  }
  const { nodes } = await getRunGraph(ns, run);
  for (const node of nodes) if (FAILED.has(node.status)) await retryState(ns, node.id);
}

interface TableProps {
  ns: string;
  runs: Run[];
  sort: string;
  chosen: ReadonlySet<string>;
  current: number;
  onToggle: (id: string) => void;
  onToggleAll: (all: boolean) => void;
}

function RunTable({ ns, runs, sort, chosen, current, onToggle, onToggleAll }: TableProps) {
  const isAll = runs.every((run) => chosen.has(run.run_id));
  const hasTimes = has("timings");
  const columns = (Object.entries(COLUMNS) as [Column, string][]).filter(([name]) => hasTimes || name !== "duration");
  return (
    <div class="table-frame">
      <table class="runs">
        <thead>
          <tr>
            <th class="pick">
              <input type="checkbox" aria-label="Select every run shown" checked={isAll} onChange={() => onToggleAll(!isAll)} />
            </th>
            {columns.map(([name, word]) => (
              <th key={name} class={`col-${name}`} aria-sort={sort === name ? "ascending" : sort === `-${name}` ? "descending" : undefined}>
                <button type="button" class="sort" onClick={() => setQuery({ sort: sort === `-${name}` ? name : `-${name}` })}>
                  {word}
                  {sort.replace("-", "") === name && <span aria-hidden="true">{sort.startsWith("-") ? "↓" : "↑"}</span>}
                </button>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {runs.map((run, i) => (
            <RunRow key={run.run_id} ns={ns} run={run} isChosen={chosen.has(run.run_id)} isCurrent={i === current} hasTimes={hasTimes} onToggle={onToggle} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface RowProps {
  ns: string;
  run: Run;
  isChosen: boolean;
  isCurrent: boolean;
  hasTimes: boolean;
  onToggle: (id: string) => void;
}

function RunRow({ ns, run, isChosen, isCurrent, hasTimes, onToggle }: RowProps) {
  const counts = countsOfRun(run);
  const href = to.run(ns, run.run_id);
  const began = instant(run.created_at) ?? 0;
  const ended = instant(run.ended_at ?? run.cancelled_at);
  return (
    <tr
      class={`${isChosen ? "chosen " : ""}${isCurrent ? "current" : ""}`}
      onClick={(event) => {
        if (!(event.target as Element).closest("a, input, button") && !getSelection()?.toString()) go(href);
      }}
    >
      <td class="pick">
        <input type="checkbox" aria-label={`Select run ${run.run_id}`} checked={isChosen} onChange={() => onToggle(run.run_id)} />
      </td>
      <td class="col-status">
        <RunBadge status={statusOfRun(run)} />
      </td>
      <td class="col-run">
        <a class="mono" href={href} title={run.run_id}>
          {run.run_id.slice(0, 8)}
        </a>
      </td>
      <td class="col-graph">
        <a href={to.graph(ns, run.graph_name)}>
          <Name>{run.graph_name}</Name>
        </a>
        {run.triggered_by && run.triggered_by !== "api" && <span class="tag">{run.triggered_by}</span>}
      </td>
      <td class="col-states">
        <Bar counts={counts} label="States" />
        <Legend counts={counts} isShort />
      </td>
      <td class="col-started">
        <Time at={run.created_at} />
      </td>
      {hasTimes && (
        <td class="col-duration num">{ended !== null ? duration(ended - began) : run.status === "PENDING" ? duration(now.value - began) : "–"}</td>
      )}
    </tr>
  );
}

function sorted(runs: Run[], sort: string): Run[] {
  const isDown = sort.startsWith("-");
  const value = (run: Run): string | number => {
    switch (sort.replace("-", "")) {
      case "status":
        return statusOfRun(run);
      case "run":
        return run.run_id;
      case "graph":
        return run.graph_name;
      case "states":
        return run.total_count;
      case "duration":
        return (instant(run.ended_at) ?? Date.now()) - (instant(run.created_at) ?? 0);
      default:
        return instant(run.created_at) ?? 0;
    }
  };
  return runs
    .map((run) => ({ run, by: value(run) }))
    .sort((a, b) => (a.by < b.by ? -1 : a.by > b.by ? 1 : 0) * (isDown ? -1 : 1))
    .map(({ run }) => run);
}

function runsAsCsv(runs: Run[]): string {
  const head = ["run_id", "graph_name", "status", "created_at", "ended_at", "total", "success", "pending", "errored", "retried"];
  const rows = runs.map((run) => [
    run.run_id,
    run.graph_name,
    statusOfRun(run),
    run.created_at,
    run.ended_at ?? run.cancelled_at,
    run.total_count,
    run.success_count,
    run.pending_count,
    run.errored_count,
    run.retried_count,
  ]);
  return toCsv([head, ...rows]);
}

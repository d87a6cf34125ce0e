// One run: what failed first, then its graph, its timeline and its states.
import { useMemo, useState } from "preact/hooks";
import { extensions, has } from "../api/features";
import { cancelRun, retryState } from "../api/operations";
import { useRun, useRunSummary, type LiveRun } from "../lib/run";
import { counted, count, duration, instant, now } from "../lib/time";
import { FAILED, lookOfState, ordered, PENDING, statusOfCounts, sum } from "../model/status";
import { findFailures } from "../model/run";
import { place, setQuery, to } from "../router";
import { Command, CopyButton, Empty, Failure, Loading, Missing, Name, Search, Time } from "../ui/basics";
import { Confirm, type Plan } from "../ui/confirm";
import { Icon } from "../ui/icons";
import { StateTable } from "../ui/state_table";
import { Bar, Legend, RunBadge } from "../ui/status";
import { RunGraphView } from "./run_graph";
import { retryFailed } from "./runs";
import { RunTimeline } from "./run_timeline";

const VIEWS = { graph: "Graph", timeline: "Timeline", states: "States" } as const;
type View = keyof typeof VIEWS;
const FAILURES_SHOWN = 3;

export function RunPage({ ns, run }: { ns: string; run: string }) {
  const view = (place.value.query.get("view") ?? "graph") as View;
  const live = useRun(ns, run, view === "timeline");
  const { summary, reload } = useRunSummary(ns, run, live.isPending);
  const [plan, setPlan] = useState<Plan | null>(null);

  if (live.error && !live.graph) return <Failure error={live.error} what="run" />;
  if (!live.graph || !extensions.value) return <Loading what="the run" />;
  if (!live.graph.nodes.length && !summary) {
    return (
      <Empty icon="runs" title="There is no such run in this namespace">
        <p class="mono">{run}</p>
        <p>
          <a href={to.runs(ns)}>All runs</a>
        </p>
      </Empty>
    );
  }

  const { counts } = live;
  const cancelled = live.graph.cancelled_at ?? summary?.cancelled_at ?? null;
  const status = cancelled ? "CANCELLED" : statusOfCounts(counts);
  const failed = sum(counts, FAILED);
  const graphName = live.graph.graph_name || summary?.graph_name || "";
  const again = (): void => {
    live.reload();
    reload();
  };
  const planRetry = (): void =>
    setPlan({
      title: `Retry ${counted(failed, "failed state")}`,
      text: "Each state that failed for good is tried again as a new state, with all of its retries.",
      verb: `Retry ${counted(failed, "state")}`,
      steps: has("retry-run")
        ? [() => retryFailed(ns, run)]
        : live.graph!.nodes.filter((node) => FAILED.has(String(node.status))).map((node) => () => retryState(ns, node.id)),
      after: again,
    });
  const planCancel = (): void =>
    setPlan({
      title: "Cancel this run",
      text: `${counted(sum(counts, PENDING), "state")} pending: those that are not done are pruned, nothing more is created, and the run counts as failed.`,
      verb: "Cancel the run",
      isDangerous: true,
      steps: [() => cancelRun(ns, run)],
      after: again,
    });

  return (
    <div class="page fill">
      <header class="page-head">
        <div class="title">
          <p class="crumbs">
            <a href={to.runs(ns)}>Runs</a> <span aria-hidden="true">/</span> <span class="mono">{run.slice(0, 8)}</span> <CopyButton text={run} label="Copy the run's id" />
          </p>
          <h1>
            <Name>{graphName}</Name> <RunBadge status={status} />
            {live.isPending && (
              <span class="live" title={live.way === "events" ? "Each change is shown as it comes" : "Read again every moment"}>
                Live
              </span>
            )}
          </h1>
        </div>
        <span class="tools">
          {failed > 0 && status !== "CANCELLED" && (
            <button type="button" class="primary" onClick={planRetry}>
              <Icon name="again" /> Retry failed ({count(failed)})
            </button>
          )}
          {live.isPending && has("cancel") && (
            <button type="button" onClick={planCancel}>
              <Icon name="stop" /> Cancel
            </button>
          )}
          {graphName && (
            <a class="button" href={to.graph(ns, graphName, { trigger: run })}>
              <Icon name="play" /> Run again
            </a>
          )}
        </span>
      </header>
      <Facts live={live} summary={summary} cancelled={cancelled} />
      <Failures ns={ns} run={run} live={live} />
      <nav class="tabs" aria-label="Views">
        {(Object.entries(VIEWS) as [View, string][]).map(([name, word]) => (
          <a key={name} href={to.run(ns, run, { view: name === "graph" ? "" : name })} aria-current={view === name ? "page" : undefined}>
            {word}
          </a>
        ))}
      </nav>
      {view === "timeline" ? <RunTimeline ns={ns} run={run} live={live} /> : view === "states" ? <States ns={ns} run={run} live={live} /> : <RunGraphView ns={ns} run={run} live={live} graphName={graphName} version={summary?.graph_version_id ?? null} />}
      {!has("cancel") && live.isPending && <Missing extension="cancel">This run cannot be cancelled.</Missing>}
      {plan && <Confirm plan={plan} onClose={() => setPlan(null)} />}
    </div>
  );
}

function Facts({ live, summary, cancelled }: { live: LiveRun; summary: ReturnType<typeof useRunSummary>["summary"]; cancelled: string | null }) {
  const { counts } = live;
  const bounds = useMemo(() => boundsOf(live), [live.timesVersion, live.graph]);
  const began = instant(summary?.created_at) ?? bounds.from;
  const ended = live.isPending ? null : (instant(cancelled) ?? instant(summary?.ended_at) ?? bounds.to);
  const total = sum(counts);
  return (
    <section class="facts" aria-label="About this run">
      <dl>
        <div>
          <dt>Started</dt>
          <dd>{began === null ? "–" : <Time at={began} />}</dd>
        </div>
        {began !== null && (live.isPending || ended !== null) && (
          <div>
            <dt>{live.isPending ? "Running for" : "Took"}</dt>
            <dd>{duration((ended ?? now.value) - began)}</dd>
          </div>
        )}
        <div>
          <dt>States</dt>
          <dd>{count(total)}</dd>
        </div>
        {summary?.triggered_by && (
          <div>
            <dt>Triggered by</dt>
            <dd>{summary.triggered_by}</dd>
          </div>
        )}
        {Object.keys(summary?.store ?? {}).length > 0 && (
          <div>
            <dt>Store</dt>
            <dd class="clip">
              {Object.entries(summary!.store!).map(([key, value]) => (
                <code key={key} class="pair" title={`${key} = ${value}`}>
                  {key}={value}
                </code>
              ))}
            </dd>
          </div>
        )}
      </dl>
      <div class="progress">
        <Bar counts={counts} label="States" />
        <Legend counts={counts} />
      </div>
    </section>
  );
}

/** When the first state was made and the last ended. */
function boundsOf(live: LiveRun): { from: number | null; to: number | null } {
  let from: number | null = null;
  let until: number | null = null;
  const add = (created: number | null, ended: number | null): void => {
    if (created !== null) from = Math.min(from ?? created, created);
    if (ended !== null) until = Math.max(until ?? ended, ended);
  };
  for (const node of live.graph?.nodes ?? []) if (node.created_at) add(instant(node.created_at), instant(node.ended_at));
  if (from === null && live.times) for (const { created, ended } of live.times.of.values()) add(created, ended);
  return { from, to: until };
}

function Failures({ ns, run, live }: { ns: string; run: string; live: LiveRun }) {
  const failures = useMemo(() => findFailures(live.graph?.nodes ?? []), [live.graph]);
  if (!failures.length) return null;
  return (
    <section class="callout tone-bad failures" aria-label="Why it failed">
      <h2>
        <Icon name="warn" /> Why it failed
      </h2>
      <ul>
        {failures.slice(0, FAILURES_SHOWN).map((failure) => (
          <li key={failure.states[0]!.id}>
            <a href={to.state(ns, run, failure.states[0]!.id)}>
              <Name>{failure.identifier}</Name>
            </a>
            {failure.states.length > 1 && (
              <a class="tag" href={to.run(ns, run, { view: "states", identifier: failure.identifier, status: failure.status })}>
                ×{count(failure.states.length)}
              </a>
            )}
            <code class="clip" title={failure.line}>
              <bdi>{failure.line || "(no message)"}</bdi>
            </code>
          </li>
        ))}
      </ul>
      {failures.length > FAILURES_SHOWN && (
        <a href={to.run(ns, run, { view: "states", status: "ERRORED" })}>{counted(failures.length - FAILURES_SHOWN, "other error")}</a>
      )}
    </section>
  );
}

function States({ ns, run, live }: { ns: string; run: string; live: LiveRun }) {
  const { query } = place.value;
  const status = query.get("status") ?? "";
  const identifier = query.get("identifier") ?? "";
  const text = (query.get("q") ?? "").toLowerCase();
  const nodes = live.graph!.nodes;
  const shown = useMemo(
    () =>
      nodes.filter(
        (node) =>
          (!status || node.status === status) &&
          (!identifier || node.identifier === identifier) &&
          (!text || node.id.includes(text) || node.identifier.toLowerCase().includes(text) || (node.error ?? "").toLowerCase().includes(text)),
      ),
    [nodes, status, identifier, text],
  );
  return (
    <div class="states-view">
      <div class="filters">
        <Search label="Search by state id or error" value={query.get("q") ?? ""} onInput={(q) => setQuery({ q })} />
        <select aria-label="Status" value={status} onChange={(event) => setQuery({ status: event.currentTarget.value })}>
          <option value="">Every status</option>
          {ordered({ ...live.counts, ...(status ? { [status]: live.counts[status] || 1 } : {}) }).map(([name, n]) => (
            <option key={name} value={name}>
              {lookOfState(name).word} ({count(live.counts[name] ? n : 0)})
            </option>
          ))}
        </select>
        <select aria-label="Identifier" value={identifier} onChange={(event) => setQuery({ identifier: event.currentTarget.value })}>
          <option value="">Every identifier</option>
          {[...live.groups.values()].map((group) => (
            <option key={group.identifier} value={group.identifier}>
              {group.identifier} ({count(group.total)})
            </option>
          ))}
        </select>
        <span class="muted" role="status">
          {counted(shown.length, "state")}
        </span>
      </div>
      {shown.length ? (
        <StateTable ns={ns} run={run} states={shown} times={live.times} label="States" />
      ) : (
        <Empty icon="search" title="No state fits these filters">
          {nodes.length === 0 && <Command>exospherehost run app.py</Command>}
        </Empty>
      )}
    </div>
  );
}

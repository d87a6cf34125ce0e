// How it goes: the newest runs over time and by graph, what fails first.
import { useMemo } from "preact/hooks";
import { has } from "../api/features";
import { listGraphs, listNodes, listRuns } from "../api/operations";
import { useResource } from "../lib/resource";
import { clock, count, counted, duration, instant, now } from "../lib/time";
import { missingNodes } from "../model/graph";
import { bucketsOf, totalsOf } from "../model/overview";
import { lookOfRun, statusOfRun, sum, type Counts } from "../model/status";
import { place, setQuery, to } from "../router";
import { Command, Empty, Failure, Loading, Missing, Name, Time } from "../ui/basics";
import { Icon } from "../ui/icons";
import { Bar, Legend, RunBadge } from "../ui/status";

const LOOKED_AT = 1_000;
const BUCKETS = 60;
const RANGES: Record<string, [string, number]> = {
  "15m": ["15 minutes", 15 * 60e3],
  "1h": ["Hour", 3_600e3],
  "1d": ["Day", 86_400e3],
  "7d": ["Week", 7 * 86_400e3],
};
const SHORTEST = 60e3;
// From the bottom of a column to its top.
const STACK = ["SUCCESS", "CANCELLED", "FAILED", "PENDING"];

export function OverviewPage({ ns }: { ns: string }) {
  const range = place.value.query.get("range") ?? "";
  const { data, error } = useResource(ns, (signal) => listRuns(ns, 1, LOOKED_AT, signal), 5_000);
  const graphs = useResource(ns, (signal) => listGraphs(ns, signal), 15_000);
  const nodes = useResource(ns, (signal) => listNodes(ns, signal), 15_000);
  const missing = graphs.data && nodes.data ? missingNodes(ns, graphs.data, nodes.data) : [];

  const { runs, from, to: until } = useMemo(() => {
    const end = Date.now();
    const all = data?.runs ?? [];
    const oldest = instant(all.at(-1)?.created_at) ?? end;
    const start = RANGES[range] ? end - RANGES[range][1] : Math.min(oldest - 1_000, end - SHORTEST);
    return { runs: all.filter((run) => (instant(run.created_at) ?? 0) >= start), from: start, to: end };
  }, [data, range]);
  const totals = useMemo(() => totalsOf(runs), [runs]);
  const counts: Counts = {};
  for (const run of runs) counts[statusOfRun(run)] = (counts[statusOfRun(run)] ?? 0) + 1;
  const ended = (counts["SUCCESS"] ?? 0) + (counts["FAILED"] ?? 0);
  const isCut = data !== null && data.total > LOOKED_AT && runs.length === data.runs.length;

  if (error && !data) return <Failure error={error} what="list of runs" />;
  if (!data) return <Loading what="runs" />;
  return (
    <div class="page">
      <header class="page-head">
        <h1>Overview</h1>
        <span class="tools">
          <div class="segments" role="group" aria-label="Runs begun in the last">
            {[["", "All"] as const, ...Object.entries(RANGES).map(([name, [word]]) => [name, word] as const)].map(([name, word]) => (
              <button key={name} type="button" aria-pressed={range === name} onClick={() => setQuery({ range: name })}>
                {word}
              </button>
            ))}
          </div>
        </span>
      </header>
      {missing.length > 0 && (
        <section class="callout tone-wait" aria-label="Nodes that nobody has registered">
          <h2>
            <Icon name="warn" /> Graphs use {counted(missing.length, "node")} that no runtime has registered
          </h2>
          <p class="chips">
            {missing.map((name) => (
              <code key={name}>{name}</code>
            ))}
            <a href={to.nodes(ns)}>All nodes</a>
          </p>
        </section>
      )}
      {data.runs.length === 0 ? (
        <Empty icon="home" title="Nothing has run yet">
          <p>Trigger a graph from its page under Graphs, or run a script that does so:</p>
          <Command>exospherehost dev --keep hello.py</Command>
        </Empty>
      ) : (
        <>
          <div class="tiles">
            <Tile word="Runs" value={count(runs.length)} note={isCut ? `the newest of ${count(data.total)}` : ""} />
            <Tile word="Running" value={count(counts["PENDING"] ?? 0)} href={to.runs(ns, { status: "PENDING" })} />
            <Tile word="Failed" value={count(counts["FAILED"] ?? 0)} href={to.runs(ns, { status: "FAILED" })} tone={counts["FAILED"] ? "bad" : ""} />
            <Tile word="Succeeded" value={ended ? `${Math.floor(((counts["SUCCESS"] ?? 0) / ended) * 1_000) / 10} %` : "–"} note={ended ? `of ${counted(ended, "ended run")}` : ""} />
            <Tile word="States" value={count(runs.reduce((total, run) => total + run.total_count, 0))} />
          </div>
          <section class="card" aria-label="Runs over time">
            <header>
              <h2>Runs over time</h2>
              <span class="tools">
                <Legend counts={counts} word={lookOfRun} />
              </span>
            </header>
            <Columns runs={runs} from={from} to={until} />
          </section>
          <section class="table-frame" aria-label="Graphs">
            <table>
              <thead>
                <tr>
                  <th>Graph</th>
                  <th class="num">Runs</th>
                  <th class="col-states">Outcome</th>
                  <th>Last run</th>
                  <th>Begun</th>
                </tr>
              </thead>
              <tbody>
                {totals.map((graph) => (
                  <tr key={graph.name}>
                    <td>
                      <a href={to.graph(ns, graph.name)}>
                        <Name>{graph.name}</Name>
                      </a>
                    </td>
                    <td class="num">
                      <a href={to.runs(ns, { graph: graph.name })}>{count(graph.total)}</a>
                    </td>
                    <td class="col-states">
                      <Bar counts={graph.runs} word={lookOfRun} label="Runs" />
                      <Legend counts={graph.runs} word={lookOfRun} isShort />
                    </td>
                    <td>
                      <RunBadge status={statusOfRun(graph.last)} />{" "}
                      <a class="mono" href={to.run(ns, graph.last.run_id)}>
                        {graph.last.run_id.slice(0, 8)}
                      </a>
                    </td>
                    <td class="muted">
                      <Time at={graph.last.created_at} />
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </section>
        </>
      )}
      {!has("stats") && <Missing extension="stats">States per second, and work that is due by node, are not shown.</Missing>}
    </div>
  );
}

function Tile({ word, value, note = "", href, tone = "" }: { word: string; value: string; note?: string; href?: string; tone?: string }) {
  return (
    <div class="tile card">
      <span class="muted">{word}</span>
      <strong class={tone ? `${tone}-text` : ""}>{href ? <a href={href}>{value}</a> : value}</strong>
      {note && <span class="muted">{note}</span>}
    </div>
  );
}

function Columns({ runs, from, to: until }: { runs: Parameters<typeof bucketsOf>[0]; from: number; to: number }) {
  const buckets = useMemo(() => bucketsOf(runs, from, until, BUCKETS), [runs, from, until]);
  const most = Math.max(1, ...buckets.map((bucket) => sum(bucket.counts)));
  const label = (at: number): string => (until - from > 86_400e3 ? new Date(at).toLocaleString(undefined, { dateStyle: "short", timeStyle: "short" }) : clock(at));
  return (
    <div class="columns-chart">
      <div class="plot" role="img" aria-label={`${counted(runs.length, "run")} from ${label(from)} to ${label(until)}; ${count(most)} at most in ${duration((until - from) / BUCKETS)}`}>
        <span class="most">{count(most)}</span>
        {buckets.map((bucket) => {
          const text = STACK.flatMap((status) => (bucket.counts[status] ? [`${count(bucket.counts[status])} ${lookOfRun(status).word}`] : [])).join(", ");
          return (
            <span key={bucket.from} class="column" title={text ? `${label(bucket.from)}: ${text}` : undefined}>
              {STACK.map((status) => bucket.counts[status] && <i key={status} class={`part-${status}`} style={{ height: `${(bucket.counts[status] / most) * 100}%` }} />)}
            </span>
          );
        })}
      </div>
      <div class="axis muted">
        <span>{label(from)}</span>
        <span>{label((from + until) / 2)}</span>
        <span>{now.value - until < 60_000 ? "now" : label(until)}</span>
      </div>
    </div>
  );
}

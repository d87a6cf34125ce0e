// What the newest runs add up to.
import type { Run } from "../api/types";
import { instant } from "../lib/time";
import { statusOfRun, type Counts } from "./status";

export interface Bucket {
  from: number;
  to: number;
  counts: Counts;
}

/** Runs by when they began, in buckets of one length. */
export function bucketsOf(runs: readonly Run[], from: number, to: number, most: number): Bucket[] {
  const length = Math.max(1, (to - from) / most);
  const buckets: Bucket[] = Array.from({ length: most }, (_, i) => ({ from: from + i * length, to: from + (i + 1) * length, counts: {} }));
  for (const run of runs) {
    const at = instant(run.created_at);
    if (at === null || at < from || at > to) continue;
    const { counts } = buckets[Math.min(most - 1, Math.floor((at - from) / length))]!;
    const status = statusOfRun(run);
    counts[status] = (counts[status] ?? 0) + 1;
  }
  return buckets;
}

export interface GraphTotal {
  name: string;
  runs: Counts;
  total: number;
  last: Run;
}

/** Totals by graph: those that fail most first, then the busiest. The runs come newest first. */
export function totalsOf(runs: readonly Run[]): GraphTotal[] {
  const found = new Map<string, GraphTotal>();
  for (const run of runs) {
    let graph = found.get(run.graph_name);
    if (!graph) found.set(run.graph_name, (graph = { name: run.graph_name, runs: {}, total: 0, last: run }));
    const status = statusOfRun(run);
    graph.runs[status] = (graph.runs[status] ?? 0) + 1;
    graph.total += 1;
  }
  const failed = (graph: GraphTotal): number => graph.runs["FAILED"] ?? 0;
  return [...found.values()].sort((a, b) => failed(b) - failed(a) || b.total - a.total || a.name.localeCompare(b.name));
}

import { expect, test } from "vitest";
import type { Run } from "../api/types";
import { missingNodes } from "../model/graph";
import { bucketsOf, totalsOf } from "../model/overview";

const run = (graph_name: string, second: number, status = "SUCCESS", cancelled = false): Run => ({
  run_id: `${graph_name}-${second}`,
  graph_name,
  success_count: 1,
  pending_count: 0,
  errored_count: 0,
  retried_count: 0,
  total_count: 1,
  status,
  created_at: new Date(second * 1_000).toISOString(),
  cancelled_at: cancelled ? new Date(second * 1_000).toISOString() : null,
});

test("every run is in just one bucket, those at the ends too", () => {
  const runs = [run("a", 0), run("a", 4, "FAILED"), run("a", 5), run("a", 10), run("a", 11), run("a", -1)];
  const buckets = bucketsOf(runs, 0, 10_000, 2);
  expect(buckets.map(({ counts }) => counts)).toEqual([{ SUCCESS: 1, FAILED: 1 }, { SUCCESS: 2 }]);
  expect(buckets.map(({ from, to }) => [from, to])).toEqual([
    [0, 5_000],
    [5_000, 10_000],
  ]);
  expect(bucketsOf([], 0, 0, 3)).toHaveLength(3);
});

test("graphs that fail most come first, and a cancelled run has not failed", () => {
  const runs = [run("calm", 9), run("cancelled", 8, "FAILED", true), run("bad", 7, "FAILED"), run("calm", 6), run("bad", 5)];
  expect(totalsOf(runs).map(({ name, runs: counts, total, last }) => [name, counts, total, last.run_id])).toEqual([
    ["bad", { FAILED: 1, SUCCESS: 1 }, 2, "bad-7"],
    ["calm", { SUCCESS: 2 }, 2, "calm-9"],
    ["cancelled", { CANCELLED: 1 }, 1, "cancelled-8"],
  ]);
});

test("nodes of other namespaces are not missed here", () => {
  const node = (node_name: string, namespace: string) => ({ node_name, namespace, identifier: node_name, inputs: {}, next_nodes: [], unites: null });
  expect(missingNodes("here", [{ nodes: [node("B", "here"), node("A", "here"), node("C", "there"), node("D", "here")] }], [{ name: "D" }])).toEqual(["A", "B"]);
});

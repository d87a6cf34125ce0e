import { expect, test } from "vitest";
import type { RunEvent } from "../api/types";
import { attemptsOf, niceStep, rowsOf, Scale } from "../model/timeline";
import { EventTimes, type Times } from "../model/times";

const state = (id: string, identifier: string, status = "SUCCESS", retry_of?: string) => ({ id, identifier, status, ...(retry_of ? { retry_of } : {}) });
const time = (created: number, started: number | null = null, ended: number | null = null): Times => ({ created, started, ended });

test("rows stand below what they followed from", () => {
  const states = [state("a", "a"), state("b1", "b"), state("b2", "b"), state("c1", "c")];
  const edges = [
    { source: "a", target: "b1" },
    { source: "a", target: "b2" },
    { source: "b1", target: "c1" },
  ];
  expect(rowsOf(states, edges, new Map()).map(({ id, depth }) => [id, depth])).toEqual([
    ["a", 0],
    ["b1", 1],
    ["c1", 2],
    ["b2", 1],
  ]);
});

test("attempts share a row where the service says which they are", () => {
  const states = [state("a", "a", "RETRY_CREATED"), state("b", "a", "RETRY_CREATED", "a"), state("c", "a", "SUCCESS", "b"), state("d", "d")];
  const rows = rowsOf(states, [{ source: "c", target: "d" }], new Map());
  expect(rows).toEqual([
    { id: "a", depth: 0, attempts: ["a", "b", "c"] },
    { id: "d", depth: 1, attempts: ["d"] },
  ]);
});

test("attempts are told from times only where just one pair fits", () => {
  const times = new Map([
    ["a1", time(0, 1, 10)],
    ["a2", time(10, 12, 20)],
    ["b1", time(0, 1, 30)],
    ["b2", time(0, 1, 30)],
    ["b3", time(30)],
    ["b4", time(30)],
  ]);
  const states = [
    state("a1", "a", "RETRY_CREATED"),
    state("a2", "a"),
    state("b1", "b", "RETRY_CREATED"),
    state("b2", "b", "RETRY_CREATED"),
    state("b3", "b"),
    state("b4", "b"),
  ];
  expect(attemptsOf("a2", states, [], times)).toEqual(["a1", "a2"]);
  expect(attemptsOf("a1", states, [], times)).toEqual(["a1", "a2"]);
  expect(attemptsOf("b3", states, [], times)).toEqual(["b3"]);
  expect(rowsOf(states, [], times).map((row) => row.attempts)).toEqual([["a1", "a2"], ["b1"], ["b2"], ["b3"], ["b4"]]);
});

test("a circle of states ends", () => {
  const edges = [
    { source: "a", target: "b" },
    { source: "b", target: "a" },
  ];
  expect(rowsOf([state("a", "a"), state("b", "b")], edges, new Map()).length).toBeLessThanOrEqual(2);
});

test("an idle stretch is folded, and times go there and back", () => {
  const hour = 3_600_000;
  const scale = new Scale(0, hour, [
    { from: 0, to: 1_000 },
    { from: hour - 1_000, to: hour },
  ]);
  expect(scale.folds).toHaveLength(1);
  expect(scale.place(1_000)).toBeCloseTo(0.485);
  expect(scale.place(hour - 1_000)).toBeCloseTo(0.515);
  for (const t of [0, 500, 1_000, hour / 2, hour - 300, hour]) expect(scale.time(scale.place(t))).toBeCloseTo(t, 0);
  expect(scale.ticks(6).every((tick) => tick <= 1_000 || tick >= hour - 1_000)).toBe(true);
});

test("without idle stretches nothing is folded", () => {
  const scale = new Scale(100, 200, [{ from: 100, to: 200 }]);
  expect(scale.folds).toEqual([]);
  expect([scale.place(100), scale.place(150), scale.place(200)]).toEqual([0, 0.5, 1]);
});

test.each([
  [3, 5],
  [700, 1_000],
  [13_000, 15_000],
  [200_000_000, 259_200_000],
])("ticks are round: %i", (ms, step) => expect(niceStep(ms)).toBe(step));

test("waiting and work are told from a run's events", () => {
  const times = new EventTimes();
  const at = (second: number) => new Date(second * 1_000).toISOString();
  const event = (second: number, status: string): RunEvent => ({ event_id: `0.${second}.0`, state_id: "s", status, occurred_at: at(second) });
  times.add(event(1, "CREATED"));
  times.add(event(3, "QUEUED"));
  expect(times.of.get("s")).toEqual(time(1_000, 3_000));
  times.add(event(4, "CREATED")); // handed back
  expect(times.of.get("s")).toEqual(time(1_000));
  times.add(event(6, "QUEUED"));
  times.add(event(9, "SUCCESS"));
  expect(times.of.get("s")).toEqual(time(1_000, 6_000, 9_000));
  expect(times.last).toBe("0.9.0");
});

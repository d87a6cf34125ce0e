import { describe, expect, test } from "vitest";
import type { RunGraph, StateNode } from "../api/types";
import { countFlow, countStates, findFailures, groupStates, mainLine, withoutAnsi } from "../model/run";
import { ordered, statusOfCounts } from "../model/status";

const state = (id: string, identifier: string, status: string, error: string | null = null): StateNode => ({ id, identifier, node_name: "Node", status, error });

test("ten thousand states become one group for each identifier, complete", () => {
  const nodes = [state("r", "root", "SUCCESS"), ...Array.from({ length: 9_999 }, (_, i) => state(`s${i}`, "leaf", i % 100 ? "SUCCESS" : "ERRORED"))];
  const groups = groupStates(nodes);
  expect([...groups.keys()]).toEqual(["root", "leaf"]);
  expect(groups.get("leaf")).toMatchObject({ total: 9_999, counts: { SUCCESS: 9_899, ERRORED: 100 } });
  expect(countStates(nodes)).toEqual({ SUCCESS: 9_900, ERRORED: 100 });
});

test("edges are counted between identifiers", () => {
  const graph = {
    nodes: [state("a", "a", "SUCCESS"), state("b1", "b", "SUCCESS"), state("b2", "b", "SUCCESS")],
    edges: [
      { source: "a", target: "b1" },
      { source: "a", target: "b2" },
      { source: "a", target: "gone" },
    ],
  } as unknown as RunGraph;
  expect(countFlow(graph)).toEqual(new Map([["a", new Map([["b", 2]])]]));
});

test("the same error is shown once, the most frequent first", () => {
  const failures = findFailures([
    state("1", "a", "ERRORED", "x"),
    state("2", "b", "ERRORED", "y\n  detail 1"),
    state("3", "b", "ERRORED", "y\n  detail 2"),
    state("4", "b", "RETRY_CREATED", "y"),
  ]);
  expect(failures.map(({ identifier, line, states }) => [identifier, line, states.length])).toEqual([
    ["b", "y", 2],
    ["a", "x", 1],
  ]);
});

describe("the line of an error that says most", () => {
  test.each([
    ["ValueError: bad\n  File x", "ValueError: bad"],
    ['Traceback (most recent call last):\n  File "a.py", line 1\n    run()\nValueError: bad', "ValueError: bad"],
    ["\n\n  \u001b[31mred\u001b[0m\n", "  red"],
    ["", ""],
  ])("%j", (error, line) => expect(mainLine(error)).toBe(line));

  test("is short, whatever the error's length", () => expect(mainLine("x".repeat(1_000_000)).length).toBe(301));
});

test.each([
  ["\u001b[1;31mbold\u001b[0m", "bold"],
  ["\u001b]8;;http://evil.example\u0007link\u001b]8;;\u0007", "link"],
  ["bell\u0007 null\u0000", "bell\u2407 null\u2400"],
  ["tab\tand\nline", "tab\tand\nline"],
  ["abc\u202egpj.exe", "abc\ufffdgpj.exe"],
])("terminal and direction codes are not followed: %j", (text, shown) => expect(withoutAnsi(text)).toBe(shown));

test("statuses stand in the order of a bar, unknown ones last", () => {
  expect(ordered({ CREATED: 1, NEW_ONE: 2, SUCCESS: 3, ERRORED: 0 })).toEqual([
    ["SUCCESS", 3],
    ["CREATED", 1],
    ["NEW_ONE", 2],
  ]);
});

test.each([
  [{ SUCCESS: 1, CREATED: 1 }, "PENDING"],
  [{ SUCCESS: 1, NEXT_CREATED_ERROR: 1 }, "FAILED"],
  [{ PRUNED: 1, RETRY_CREATED: 1 }, "SUCCESS"],
  [{}, "FAILED"],
])("a run's status by its counts: %j", (counts, status) => expect(statusOfCounts(counts)).toBe(status));

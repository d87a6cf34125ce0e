import { expect, test } from "vitest";
import type { GraphNode, RetryPolicy } from "../api/types";
import { delaysOf, fieldsOf, placeErrors, rootOf } from "../model/graph";
import { layOut, linksOf, middleOf, pathThrough, type Direction } from "../model/layout";
import { piecesOf } from "../model/placeholders";

const node = (identifier: string, next: string[] = [], unites: string | null = null, node_name = `Node-${identifier}`): GraphNode => ({
  identifier,
  node_name,
  namespace: "n",
  inputs: {},
  next_nodes: next,
  unites: unites === null ? null : { identifier: unites, strategy: "ALL_SUCCESS" },
});
const SIZE = { width: 100, height: 40 };
const DIAMOND = [node("a", ["b", "c"]), node("b", ["d"]), node("c", ["d"]), node("d", [], "a")];

test("edges are true to the graph, joins included", () => {
  expect(linksOf(DIAMOND).map(({ from, to, kind }) => `${from} ${kind} ${to}`)).toEqual(["a next b", "a next c", "b next d", "c next d", "a unites d"]);
});

test.each<[Direction, number]>([
  ["LR", 4],
  ["TB", 4],
  ["LR", 400],
  ["TB", 400],
])("boxes do not overlap and edges go forward: %s, %i nodes", (direction, count) => {
  const nodes = count === 4 ? DIAMOND : Array.from({ length: count }, (_, i) => node(`n${i}`, i < count - 1 && i % 3 === 0 ? [`n${i + 1}`, `n${Math.min(i + 3, count - 1)}`] : []));
  const ids = nodes.map(({ identifier }) => identifier);
  const placed = layOut(ids, linksOf(nodes), SIZE, direction);
  expect(placed.boxes.map(({ id }) => id)).toEqual(ids);
  for (const [i, a] of placed.boxes.entries()) {
    expect(a.x).toBeGreaterThanOrEqual(0);
    expect(a.x + SIZE.width).toBeLessThanOrEqual(placed.width);
    expect(a.y + SIZE.height).toBeLessThanOrEqual(placed.height);
    for (const b of placed.boxes.slice(i + 1)) {
      expect(Math.abs(a.x - b.x) >= SIZE.width || Math.abs(a.y - b.y) >= SIZE.height).toBe(true);
    }
  }
  for (const link of placed.links) {
    const [first, last] = [link.points[0]!, link.points.at(-1)!];
    expect(direction === "LR" ? last.x > first.x : last.y > first.y).toBe(true);
  }
});

test("an edge to what is not in the graph is left out", () => {
  expect(layOut(["a"], [{ from: "a", to: "ghost", kind: "next" }], SIZE, "LR").links).toEqual([]);
});

test("a path goes through its points", () => {
  const points = [
    { x: 0, y: 0 },
    { x: 10, y: 4 },
  ];
  expect(pathThrough(points, "LR")).toBe("M0 0C5 0 5 4 10 4");
  expect(pathThrough(points, "TB")).toBe("M0 0C0 2 10 2 10 4");
  expect(pathThrough([], "LR")).toBe("");
  expect(middleOf(points)).toEqual({ x: 5, y: 2 });
});

test("placeholders are told from text", () => {
  expect(piecesOf("Dear ${{ a . outputs . name }}, ${{store.greeting}}!${{gather.b.outputs.c}}")).toEqual([
    { text: "Dear " },
    { text: "${{ a . outputs . name }}", refers: { kind: "outputs", identifier: "a", field: "name" } },
    { text: ", " },
    { text: "${{store.greeting}}", refers: { kind: "store", key: "greeting" } },
    { text: "!" },
    { text: "${{gather.b.outputs.c}}", refers: { kind: "gather", identifier: "b", field: "c" } },
  ]);
  expect(piecesOf("${{broken")).toEqual([{ text: "${{broken" }]);
  expect(piecesOf("${{a.b}}")).toEqual([{ text: "${{a.b}}" }]);
  expect(piecesOf("")).toEqual([]);
});

test("validation errors stand at the nodes that they name", () => {
  const nodes = [node("read"), node("read-2"), node("send", [], null, "Mailer")];
  const placed = placeErrors(["Input 'x' of node 'read-2' is missing", "Node Mailer in namespace n does not exist.", "Secrets are missing"], nodes);
  expect([...placed]).toEqual([
    ["read-2", ["Input 'x' of node 'read-2' is missing"]],
    ["send", ["Node Mailer in namespace n does not exist."]],
    ["", ["Secrets are missing"]],
  ]);
});

test("the root is what nothing leads to", () => {
  expect(rootOf(DIAMOND)?.identifier).toBe("a");
  expect(rootOf([])).toBeUndefined();
});

test("fields come from a schema, required or not", () => {
  const schema = { type: "object", properties: { a: { type: "string", description: "First" }, b: { type: "string" } }, required: ["a"] };
  expect(fieldsOf(schema)).toEqual([
    { name: "a", isRequired: true, description: "First" },
    { name: "b", isRequired: false, description: "" },
  ]);
  expect(fieldsOf(undefined)).toEqual([]);
});

const policy = (strategy: string, over: Partial<RetryPolicy> = {}): RetryPolicy => ({ max_retries: 3, strategy, backoff_factor: 100, exponent: 2, max_delay: null, ...over });
test.each([
  [policy("EXPONENTIAL"), [100, 200, 400]],
  [policy("LINEAR_FULL_JITTER"), [100, 200, 300]],
  [policy("FIXED"), [100, 100, 100]],
  [policy("EXPONENTIAL", { max_delay: 150, max_retries: 9 }), [100, 150, 150, 150, 150]],
  [policy("FIXED", { max_retries: 0 }), []],
])("delays of a retry policy: %j", (given, delays) => expect(delaysOf(given)).toEqual(delays));

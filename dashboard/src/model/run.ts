// A run as its graph shows it: one group for each identifier, whatever the number of states.
import type { RunGraph, StateNode } from "../api/types";
import type { Counts } from "./status";
import { FAILED } from "./status";

export interface Group {
  identifier: string;
  nodeName: string;
  counts: Counts;
  total: number;
  states: StateNode[];
}

export function groupStates(nodes: readonly StateNode[]): Map<string, Group> {
  const groups = new Map<string, Group>();
  for (const node of nodes) {
    let group = groups.get(node.identifier);
    if (!group) {
      group = { identifier: node.identifier, nodeName: node.node_name, counts: {}, total: 0, states: [] };
      groups.set(node.identifier, group);
    }
    group.counts[node.status] = (group.counts[node.status] ?? 0) + 1;
    group.total += 1;
    group.states.push(node);
  }
  return groups;
}

export function countStates(nodes: readonly StateNode[]): Counts {
  const counts: Counts = {};
  for (const { status } of nodes) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

/** How many states followed from one identifier's to another's, by `from` and `to`. */
export function countFlow(graph: RunGraph): Map<string, Map<string, number>> {
  const identifiers = new Map(graph.nodes.map((node) => [node.id, node.identifier]));
  const flow = new Map<string, Map<string, number>>();
  for (const { source, target } of graph.edges) {
    const from = identifiers.get(source);
    const to = identifiers.get(target);
    if (from === undefined || to === undefined) continue;
    let targets = flow.get(from);
    if (!targets) flow.set(from, (targets = new Map()));
    targets.set(to, (targets.get(to) ?? 0) + 1);
  }
  return flow;
}

export interface Failure {
  identifier: string;
  status: string;
  line: string;
  states: StateNode[];
}

/** What failed for good, the same error of the same node once, the most frequent first. */
export function findFailures(nodes: readonly StateNode[]): Failure[] {
  const found = new Map<string, Failure>();
  for (const node of nodes) {
    if (!FAILED.has(node.status)) continue;
    const line = mainLine(node.error ?? "");
    const key = JSON.stringify([node.identifier, node.status, line]);
    const failure = found.get(key);
    if (failure) failure.states.push(node);
    else found.set(key, { identifier: node.identifier, status: node.status, line, states: [node] });
  }
  return [...found.values()].sort((a, b) => b.states.length - a.states.length);
}

const TRACEBACK = "Traceback (most recent call last):";
const LONGEST_LINE = 300;

/** The line of an error that says most: of a traceback the last that is not indented, else the first. */
export function mainLine(error: string): string {
  const lines = withoutAnsi(error.length > 100_000 ? error.slice(0, 1_000) + error.slice(-20_000) : error)
    .split("\n")
    .map((line) => line.trimEnd())
    .filter(Boolean);
  const isTrace = lines.some((line) => line.trim() === TRACEBACK);
  const first = lines[0] ?? "";
  const line = isTrace && first.trim() === TRACEBACK ? ([...lines].reverse().find((text) => !/^\s/.test(text)) ?? first) : first;
  return line.length > LONGEST_LINE ? `${line.slice(0, LONGEST_LINE)}…` : line;
}

const ANSI = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\-_])/g;
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/g;
const DIRECTION = /[\u202a-\u202e\u2066-\u2069\u200e\u200f]/g;

/** Text without terminal codes; other control characters are shown as their pictures. */
export function withoutAnsi(text: string): string {
  return text
    .replace(ANSI, "")
    .replace(CONTROL, (c) => String.fromCharCode(c === "\u007f" ? 0x2421 : 0x2400 + c.charCodeAt(0)))
    .replace(DIRECTION, "\ufffd");
}

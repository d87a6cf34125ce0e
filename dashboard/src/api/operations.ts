// The operations that the pages use, by name.
import { inNamespace, request } from "./client";
import { has } from "./features";
import type { Graph, GraphItem, Node, Run, RunDetail, RunGraph, RunPage, Schedule, StateDetail, Triggered } from "./types";

export const listNamespaces = (signal?: AbortSignal) =>
  request<{ namespaces: string[] }>("/v0/namespaces", { signal: signal! }).then((found) => found.namespaces);

export const listRuns = (ns: string, page: number, size: number, signal?: AbortSignal) =>
  request<RunPage>(inNamespace(ns, "runs", page, size), { signal: signal! });

export interface RunFilters {
  status: string[];
  graph_name: string;
  created_after: string;
  run_id_prefix: string;
}

/** By `search-runs`, which filters where the runs are. */
export function searchRuns(ns: string, filters: RunFilters, limit: number, cursor: string | null, signal?: AbortSignal) {
  const query = new URLSearchParams();
  for (const status of filters.status) query.append("status", status);
  if (filters.graph_name) query.set("graph_name", filters.graph_name);
  if (filters.created_after) query.set("created_after", filters.created_after);
  if (filters.run_id_prefix) query.set("run_id_prefix", filters.run_id_prefix);
  if (cursor) query.set("cursor", cursor);
  query.set("limit", String(limit));
  return request<{ runs: Run[]; next_cursor: string | null }>(`${inNamespace(ns, "runs")}?${query}`, { signal: signal! });
}

export const getRunGraph = (ns: string, run: string, signal?: AbortSignal) =>
  request<RunGraph>(inNamespace(ns, "states", "run", run, "graph"), { signal: signal! });

export const getRun = (ns: string, run: string, signal?: AbortSignal) =>
  request<RunDetail>(inNamespace(ns, "runs", run), { signal: signal! });

export const getState = (ns: string, graph: string, run: string, state: string, signal?: AbortSignal) =>
  request<StateDetail>(inNamespace(ns, "graph", graph, "run", run, "node", state), { signal: signal! });

export const listGraphs = (ns: string, signal?: AbortSignal) =>
  request<{ templates: GraphItem[] }>(`${inNamespace(ns, "graphs")}/`, { signal: signal! }).then((found) => found.templates);

export const getGraph = (ns: string, graph: string, signal?: AbortSignal) =>
  request<Graph>(inNamespace(ns, "graph", graph), { signal: signal! });

export const getGraphVersion = (ns: string, graph: string, version: string, signal?: AbortSignal) =>
  request<Graph>(inNamespace(ns, "graph", graph, "versions", version), { signal: signal! });

export const listNodes = (ns: string, signal?: AbortSignal) =>
  request<{ nodes: Node[] }>(`${inNamespace(ns, "nodes")}/`, { signal: signal! }).then((found) => found.nodes);

/** By `schedules`. */
export const listSchedules = (ns: string, signal?: AbortSignal) =>
  request<{ schedules: Schedule[] }>(inNamespace(ns, "schedules"), { signal: signal! }).then((found) => found.schedules);

export const steerSchedule = (ns: string, schedule: string, verb: "pause" | "resume" | "trigger") =>
  request(inNamespace(ns, "schedules", schedule, verb), { method: "POST" });

export interface TriggerForm {
  inputs: Record<string, string>;
  store: Record<string, string>;
  start_delay: number;
}

export function trigger(ns: string, graph: string, form: TriggerForm, key: string): Promise<Triggered> {
  const headers: Record<string, string> = has("idempotency") ? { "Idempotency-Key": key } : {};
  return request(inNamespace(ns, "graph", graph, "trigger"), { method: "POST", body: form, headers });
}

export const cancelRun = (ns: string, run: string) =>
  request<{ pruned_count: number }>(inNamespace(ns, "runs", run, "cancel"), { method: "POST" });

export const retryState = (ns: string, state: string) =>
  request<{ id: string }>(inNamespace(ns, "state", state, "manual-retry"), {
    method: "POST",
    body: { fanout_id: randomId() },
  });

/** By `retry-run`: every state of the run that has failed for good, or those with some identifiers. */
export const retryRun = (ns: string, run: string, identifiers?: string[]) =>
  request<{ more?: boolean }>(inNamespace(ns, "runs", run, "retry"), {
    method: "POST",
    body: identifiers ? { identifiers } : {},
  });

/** A random UUID; `crypto.randomUUID` is missing where a page comes over plain HTTP from another machine. */
export function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

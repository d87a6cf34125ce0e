// The contract's types, and what the extensions to come add to them.
import type { components } from "./schema";

type Schemas = components["schemas"];

/** What `timings` adds to a state, each null where it is not known. */
export interface StateTimes {
  created_at?: string | null;
  due_at?: string | null;
  started_at?: string | null;
  ended_at?: string | null;
  attempt?: number | null;
  runtime_name?: string | null;
  retry_of?: string | null;
  claims?: number | null;
}

export type Run = Schemas["RunSummary"] & { ended_at?: string | null; triggered_by?: string | null };
export type RunPage = Schemas["ListRunsResponse"];
export type RunGraph = Omit<Schemas["RunGraphResponse"], "nodes" | "root_states"> & {
  nodes: StateNode[];
  root_states: StateNode[];
};
export type StateNode = Schemas["RunGraphNode"] & StateTimes;
export type StateDetail = Schemas["StateDetail"] & StateTimes;
export type Graph = Schemas["GraphResponse"];
export type GraphItem = Schemas["GraphListItem"];
export type GraphNode = Schemas["GraphNodeDetail"];
export type RetryPolicy = Schemas["RetryPolicyDetail"];
export type Node = Schemas["RegisteredNode"];
export type RunEvent = Schemas["RunEvent"];
export type Triggered = Schemas["TriggerGraphResponse"];

/** By `schedules`; without it, the graph and the expression alone. */
export interface Schedule {
  schedule_id: string;
  graph_name: string;
  expression: string;
  timezone?: string | null;
  next_at?: string | null;
  last_at?: string | null;
  last_run_id?: string | null;
  paused?: boolean;
}

/** A run in full, by `get-run`. */
export type RunDetail = Run & {
  store?: Record<string, string> | null;
  inputs?: Record<string, string> | null;
  graph_version_id?: string | null;
};

// Statuses: a word, a sign and a tone for each, so that colour is never the only sign.
import type { Run } from "../api/types";

export type Tone = "good" | "bad" | "busy" | "wait" | "again" | "mute";

export interface Look {
  word: string;
  tone: Tone;
  means: string;
}

/** In the order of a bar: what is done first, what is still to come last. */
export const STATES: Record<string, Look> = {
  SUCCESS: { word: "Success", tone: "good", means: "Done, and its next states exist" },
  PRUNED: { word: "Pruned", tone: "mute", means: "Ended by its node or by a cancellation; nothing follows" },
  RETRY_CREATED: { word: "Retried", tone: "again", means: "Failed, and was tried again as another state" },
  ERRORED: { word: "Errored", tone: "bad", means: "Failed, and no retries are left" },
  NEXT_CREATED_ERROR: { word: "Next failed", tone: "bad", means: "Done, but its next states could not be created" },
  EXECUTED: { word: "Executed", tone: "busy", means: "Done; its next states are being created" },
  QUEUED: { word: "Running", tone: "busy", means: "Claimed by a runtime (QUEUED)" },
  CREATED: { word: "Waiting", tone: "wait", means: "Waits to be claimed by a runtime (CREATED)" },
};

/** Kinds of states that a list of runs sums up. */
const SUMS: Record<string, Look> = {
  PENDING: { word: "Pending", tone: "busy", means: "Wait, or are running" },
  ENDED: { word: "Done or pruned", tone: "mute", means: "Done before the run was cancelled, or pruned by that" },
};

export const RUNS: Record<string, Look> = {
  PENDING: { word: "Running", tone: "busy", means: "Some states are pending" },
  SUCCESS: { word: "Success", tone: "good", means: "Every state has succeeded" },
  FAILED: { word: "Failed", tone: "bad", means: "A state has failed for good" },
  CANCELLED: { word: "Cancelled", tone: "mute", means: "Cancelled before it ended" },
};

const UNKNOWN: Look = { word: "", tone: "mute", means: "A status that this page does not know" };

export const lookOfState = (status: string): Look => STATES[status] ?? SUMS[status] ?? { ...UNKNOWN, word: status };
export const lookOfRun = (status: string): Look => RUNS[status] ?? { ...UNKNOWN, word: status };

export const PENDING = new Set(["CREATED", "QUEUED", "EXECUTED"]);
export const FAILED = new Set(["ERRORED", "NEXT_CREATED_ERROR"]);

export type Counts = Record<string, number>;

export const sum = (counts: Counts, of?: ReadonlySet<string>): number =>
  Object.entries(counts).reduce((total, [status, n]) => total + (!of || of.has(status) ? n : 0), 0);

/** Statuses with a count, in the order of a bar. */
export function ordered(counts: Counts): [string, number][] {
  const known = Object.keys(STATES);
  const rank = (status: string) => (known.indexOf(status) + known.length + 1) % (known.length + 1);
  return Object.entries(counts)
    .filter(([, n]) => n > 0)
    .sort(([a], [b]) => rank(a) - rank(b));
}

/** A run's counts, which the service sums by kind, under the status that stands for each kind. */
export function countsOfRun(run: Run): Counts {
  return {
    [run.cancelled_at ? "ENDED" : "SUCCESS"]: run.success_count,
    RETRY_CREATED: run.retried_count,
    ERRORED: run.errored_count,
    PENDING: run.pending_count,
  };
}

export function statusOfRun(run: Pick<Run, "status" | "cancelled_at">): string {
  return run.cancelled_at ? "CANCELLED" : run.status;
}

export function statusOfCounts(counts: Counts): string {
  if (sum(counts, PENDING)) return "PENDING";
  return sum(counts, FAILED) || !sum(counts) ? "FAILED" : "SUCCESS";
}

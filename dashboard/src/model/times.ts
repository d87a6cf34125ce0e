// When the states of a run waited and worked: from `timings` where the service has it, else from the run's events.
import type { RunEvent, StateNode } from "../api/types";
import { instant } from "../lib/time";
import { PENDING } from "./status";

export interface Times {
  created: number | null;
  started: number | null;
  ended: number | null;
}

/** Gathers times from a run's events, which come in order. */
export class EventTimes {
  readonly of = new Map<string, Times>();
  /** The event to go on after. */
  last: string | null = null;

  add(event: RunEvent): void {
    this.last = event.event_id;
    const id = event.state_id;
    const at = instant(event.occurred_at);
    if (!id || at === null) return;
    let times = this.of.get(id);
    if (!times) this.of.set(id, (times = { created: null, started: null, ended: null }));
    if (event.status === "CREATED") {
      // One that comes again was handed back or asked to wait: it is as if it had not been started.
      times.created ??= at;
      times.started = times.ended = null;
    } else if (event.status === "QUEUED") {
      times.started = at;
    } else if (!PENDING.has(event.status)) {
      times.created ??= at;
      times.ended = at;
    }
  }
}

export function timesOf(state: StateNode, events: EventTimes | null): Times | null {
  if (state.created_at) return { created: instant(state.created_at), started: instant(state.started_at), ended: instant(state.ended_at) };
  return events?.of.get(state.id) ?? null;
}

/** How long a state has worked, or None where that is not known. */
export function workOf(times: Times | null, at: number): number | null {
  if (times?.started == null) return null;
  return (times.ended ?? at) - times.started;
}

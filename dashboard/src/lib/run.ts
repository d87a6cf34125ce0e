// A run as it goes on: its graph read anew whenever something has happened.
import { useEffect, useRef, useState } from "preact/hooks";
import { followRun } from "../api/events";
import { extensions, has } from "../api/features";
import { getRun, getRunGraph, listRuns } from "../api/operations";
import type { Run, RunDetail, RunGraph } from "../api/types";
import { countStates, groupStates, type Group } from "../model/run";
import { PENDING, sum, type Counts } from "../model/status";
import { EventTimes } from "../model/times";
import { useResource } from "./resource";

/** Runs up to this size are followed by their events; a larger one changes more often than it can be read anew. */
const MOST_FOLLOWED = 2_000;
const FASTEST_MS = 400;
const ENDED_MS = 5_000;
const RETRY_MS = 2_000;

export interface LiveRun {
  graph: RunGraph | null;
  groups: Map<string, Group>;
  counts: Counts;
  error: unknown;
  isLoading: boolean;
  isPending: boolean;
  /** How changes are noticed. */
  way: "events" | "polling";
  times: EventTimes | null;
  /** Changes with the times. */
  timesVersion: number;
  reload: () => void;
}

export function useRun(ns: string, run: string, wantsTimes: boolean): LiveRun {
  const key = `${ns}/${run}`;
  const took = useRef(0);
  const isStreaming = useRef(false);
  const read = async (signal: AbortSignal): Promise<{ graph: RunGraph; groups: Map<string, Group>; counts: Counts }> => {
    const began = performance.now();
    const graph = await getRunGraph(ns, run, signal);
    took.current = performance.now() - began;
    return { graph, groups: groupStates(graph.nodes), counts: countStates(graph.nodes) };
  };
  const resource = useResource(extensions.value ? key : null, read, ({ counts }) => {
    const slow = took.current * 4;
    if (!sum(counts, PENDING)) return Math.max(ENDED_MS, slow);
    return Math.max(isStreaming.current ? ENDED_MS : 1_000, slow);
  });
  const { data } = resource;
  const isPending = data ? sum(data.counts, PENDING) > 0 : false;
  const total = data?.graph.nodes.length ?? 0;
  const isKnown = data?.graph.nodes.some((node) => node.created_at) ?? false;
  const canFollow = has("events") && total > 0;
  const follows = canFollow && (total <= MOST_FOLLOWED || (wantsTimes && !isKnown));

  const [times, setTimes] = useState<{ key: string; times: EventTimes } | null>(null);
  const [version, setVersion] = useState(0);
  useEffect(() => {
    if (!follows) return;
    const held = times?.key === key ? times.times : new EventTimes();
    if (times?.times !== held) setTimes({ key, times: held });
    const aborter = new AbortController();
    let timer = 0;
    let isDirty = false;
    const plan = (): void => {
      isDirty = true;
      if (timer) return;
      timer = window.setTimeout(() => {
        timer = 0;
        if (isDirty) resource.reload();
        isDirty = false;
        setVersion((n) => n + 1);
      }, Math.max(FASTEST_MS, took.current * 4));
    };
    const follow = async (): Promise<void> => {
      while (!aborter.signal.aborted) {
        try {
          isStreaming.current = true;
          const isOver = await followRun(
            ns,
            run,
            held.last,
            (messages) => {
              for (const { event } of messages) held.add(event);
              plan();
            },
            aborter.signal,
          );
          isStreaming.current = false;
          setVersion((n) => n + 1);
          if (isOver) return;
        } catch {
          isStreaming.current = false;
          if (aborter.signal.aborted) return;
        }
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    };
    void follow();
    return () => {
      isStreaming.current = false;
      clearTimeout(timer);
      aborter.abort();
    };
    // A run that ended and goes on, after a retry, is followed again from where it was.
  }, [key, follows, isPending]);

  return {
    graph: data?.graph ?? null,
    groups: data?.groups ?? new Map(),
    counts: data?.counts ?? {},
    error: resource.error,
    isLoading: resource.isLoading,
    isPending,
    way: canFollow && total <= MOST_FOLLOWED ? "events" : "polling",
    times: times?.key === key ? times.times : null,
    timesVersion: version,
    reload: resource.reload,
  };
}

const PAGE = 1_000;
const MOST_PAGES = 3;

/** A run's entry in the list: by `get-run`, else found among the newest. */
export function useRunSummary(ns: string, run: string, isPending: boolean): { summary: RunDetail | null; reload: () => void } {
  const read = async (signal: AbortSignal): Promise<RunDetail | null> => {
    if (has("get-run")) return getRun(ns, run, signal);
    for (let page = 1; page <= MOST_PAGES; page++) {
      const { runs, total } = await listRuns(ns, page, PAGE, signal);
      const found = runs.find((entry: Run) => entry.run_id === run);
      if (found || page * PAGE >= total) return found ?? null;
    }
    return null;
  };
  const { data, reload } = useResource(extensions.value ? `${ns}/${run}/${isPending}` : null, read, isPending ? 10_000 : 0);
  return { summary: data, reload };
}

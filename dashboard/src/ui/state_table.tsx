// States in a list of any length.
import { useRef, useState, useEffect } from "preact/hooks";
import type { StateNode } from "../api/types";
import { useKeys } from "../lib/keys";
import { count, duration, now } from "../lib/time";
import { useVirtual } from "../lib/virtual";
import { mainLine } from "../model/run";
import { timesOf, workOf, type EventTimes } from "../model/times";
import { go, to } from "../router";
import { Name } from "./basics";
import { StateBadge } from "./status";

const ROW = 40;

interface Props {
  ns: string;
  run: string;
  states: readonly StateNode[];
  times: EventTimes | null;
  /** Leaves the identifier out, where all have the same. */
  isOfOne?: boolean;
  label: string;
}

export function StateTable({ ns, run, states, times, isOfOne = false, label }: Props) {
  const scroller = useRef<HTMLDivElement>(null);
  const rows = useVirtual(states.length, ROW, scroller);
  const [current, setCurrent] = useState(-1);
  const move = (n: number): void => {
    const next = Math.max(0, Math.min(states.length - 1, n));
    setCurrent(next);
    rows.scrollToIndex(next);
  };
  useKeys({
    j: () => move(current + 1),
    k: () => move(current - 1),
    Enter: () => states[current] && go(to.state(ns, run, states[current].id)),
  });
  useEffect(() => setCurrent(-1), [states.length]);
  const hasWork = states.some((state) => timesOf(state, times)?.started != null);
  return (
    <div class={`state-table${isOfOne ? " of-one" : ""}${hasWork ? "" : " no-work"}`} role="table" aria-label={label} aria-rowcount={states.length + 1}>
      <div class="head" role="rowgroup">
        <div class="row" role="row" aria-rowindex={1}>
          <span role="columnheader">Status</span>
          {!isOfOne && <span role="columnheader">Identifier</span>}
          <span role="columnheader">State</span>
          {hasWork && (
            <span role="columnheader" class="num">
              Worked
            </span>
          )}
          <span role="columnheader">Error</span>
        </div>
      </div>
      <div class="scroller" ref={scroller} role="rowgroup" tabIndex={0} aria-label={`${label}, ${count(states.length)} rows`}>
        <div class="rows" role="presentation" style={{ height: `${rows.getTotalSize()}px` }}>
          {rows.getVirtualItems().map(({ index, start }) => {
            const state = states[index];
            if (!state) return null;
            const work = workOf(timesOf(state, times), now.value);
            const error = state.error ? mainLine(state.error) : "";
            return (
              <div
                key={state.id}
                class={`row${index === current ? " current" : ""}`}
                role="row"
                aria-rowindex={index + 2}
                onClick={(event) => {
                  if (!(event.target as Element).closest("a") && !getSelection()?.toString()) go(to.state(ns, run, state.id));
                }}
                style={{ transform: `translateY(${start}px)`, height: `${ROW}px` }}
              >
                <span role="cell">
                  <StateBadge status={String(state.status)} />
                </span>
                {!isOfOne && (
                  <span role="cell" class="clip">
                    <Name>{state.identifier}</Name>
                  </span>
                )}
                <span role="cell" class="mono clip" title={state.id}>
                  <a href={to.state(ns, run, state.id)}>…{state.id.slice(-8)}</a>
                </span>
                {hasWork && (
                  <span role="cell" class="num">
                    {work === null ? "–" : duration(work)}
                  </span>
                )}
                <span role="cell" class="clip bad-text" title={error}>
                  <bdi>{error}</bdi>
                </span>
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}

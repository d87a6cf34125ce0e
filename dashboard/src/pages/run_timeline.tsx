// A run as a waterfall: waiting apart from work, attempts on one row, idle stretches folded.
import { useMemo, useRef, useState } from "preact/hooks";
import { has } from "../api/features";
import { getState } from "../api/operations";
import type { StateNode } from "../api/types";
import { useResource } from "../lib/resource";
import type { LiveRun } from "../lib/run";
import { clock, count, duration, instant, now } from "../lib/time";
import { useVirtual } from "../lib/virtual";
import { lookOfState } from "../model/status";
import { Scale, rowsOf, type Span } from "../model/timeline";
import { timesOf, type Times } from "../model/times";
import { to } from "../router";
import { Empty, Loading, Missing } from "../ui/basics";
import { Icon, toneIcon } from "../ui/icons";

const ROW = 28;
const BUCKETS = 160;
const TICKS = 7;
const MOST_READ = 200;
const READ_AT_ONCE = 6;

export function RunTimeline({ ns, run, live }: { ns: string; run: string; live: LiveRun }) {
  const graph = live.graph!;
  const isTold = graph.nodes.some((node) => node.created_at);
  const isByState = !isTold && !has("events");
  const single = useResource(isByState ? `${ns}/${run}/${graph.nodes.length}` : null, (signal) => readTimes(ns, graph.graph_name, run, graph.nodes, signal));

  const times = useMemo(() => {
    const found = new Map<string, Times>();
    for (const node of graph.nodes) {
      const known = single.data?.get(node.id) ?? timesOf(node, live.times);
      if (known && known.created !== null) found.set(node.id, known);
    }
    return found;
  }, [graph, live.timesVersion, single.data]);
  const rows = useMemo(() => rowsOf(graph.nodes.filter((node) => times.has(node.id)), graph.edges, times), [graph, times]);

  if (!rows.length) {
    return single.isLoading || has("events") || isTold ? <Loading what="the times" /> : <Empty icon="wait" title="No times are known" />;
  }
  return (
    <>
      <Waterfall ns={ns} run={run} live={live} times={times} rows={rows} isByState={isByState} />
      {isByState && (
        <Missing extension="events">
          Waiting and work cannot be told apart: a bar goes from a state's creation to its last change.
          {graph.nodes.length > MOST_READ && ` The first ${MOST_READ} of ${count(graph.nodes.length)} states are shown.`}
        </Missing>
      )}
    </>
  );
}

/** From each state in full, where nothing else has times. */
async function readTimes(ns: string, graph: string, run: string, nodes: readonly StateNode[], signal: AbortSignal): Promise<Map<string, Times>> {
  const found = new Map<string, Times>();
  const waiting = nodes.slice(0, MOST_READ);
  const work = async (): Promise<void> => {
    for (let node = waiting.shift(); node; node = waiting.shift()) {
      const state = await getState(ns, graph, run, node.id, signal);
      const created = instant(state.created_at);
      found.set(node.id, { created, started: created, ended: lookOfState(String(state.status)).tone === "wait" ? null : instant(state.updated_at) });
    }
  };
  await Promise.all(Array.from({ length: READ_AT_ONCE }, work));
  return found;
}

interface WaterfallProps {
  ns: string;
  run: string;
  live: LiveRun;
  times: ReadonlyMap<string, Times>;
  rows: ReturnType<typeof rowsOf>;
  isByState: boolean;
}

function Waterfall({ ns, run, live, times, rows, isByState }: WaterfallProps) {
  const scroller = useRef<HTMLDivElement>(null);
  const virtual = useVirtual(rows.length, ROW, scroller);
  const [zoom, setZoom] = useState<Span | null>(null);
  const [brush, setBrush] = useState<[number, number] | null>(null);
  const strip = useRef<HTMLDivElement>(null);
  const states = useMemo(() => new Map(live.graph!.nodes.map((node) => [node.id, node])), [live.graph]);
  const at = live.isPending ? now.value : 0;

  const { spans, whole } = useMemo(() => {
    const found: Span[] = [...times.values()].map(({ created, started, ended }) => ({ from: created!, to: ended ?? (at || (started ?? created!)) }));
    const from = found.reduce((least, span) => Math.min(least, span.from), Infinity);
    const until = found.reduce((most, span) => Math.max(most, span.to), from + 1);
    // Waiting long for a retry is idle, too: what was at work says where something happened.
    const busy = [...times.values()].flatMap(({ created, started, ended }) => [
      { from: created!, to: created! + 1 },
      ...(started !== null ? [{ from: started, to: ended ?? (at || started + 1) }] : []),
    ]);
    return { spans: found, whole: new Scale(from, until, busy) };
  }, [times, at]);
  const scale = useMemo(() => (zoom ? new Scale(zoom.from, zoom.to, spans) : whole), [zoom, whole]);
  const density = useMemo(() => densityOf(spans, whole), [spans, whole]);

  const partAt = (event: PointerEvent): number => {
    const box = strip.current!.getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientX - box.x) / box.width));
  };
  const percent = (part: number): string => `${(part * 100).toFixed(3)}%`;
  const window = zoom && { left: whole.place(zoom.from), right: whole.place(zoom.to) };

  return (
    <div class="timeline">
      <div class="timeline-top">
        <div class="timeline-label">
          <span class="key">
            <i class="waits" /> waiting
          </span>
          <span class="key">
            <i class="works" /> {isByState ? "created to changed" : "working"}
          </span>
        </div>
        <div
          class="strip"
          ref={strip}
          role="img"
          aria-label={`From ${clock(whole.from)} to ${clock(whole.to)}, ${duration(whole.to - whole.from)}. Drag to look at a part.`}
          onPointerDown={(event) => {
            strip.current!.setPointerCapture(event.pointerId);
            setBrush([partAt(event), partAt(event)]);
          }}
          onPointerMove={(event) => brush && setBrush([brush[0], partAt(event)])}
          onPointerUp={() => {
            if (brush && Math.abs(brush[1] - brush[0]) > 0.005) {
              const [a, b] = [Math.min(...brush), Math.max(...brush)];
              setZoom({ from: whole.time(a), to: whole.time(b) });
            }
            setBrush(null);
          }}
        >
          <svg viewBox={`0 0 ${BUCKETS} 24`} preserveAspectRatio="none" aria-hidden="true">
            <path d={density} />
          </svg>
          {window && <span class="window" style={{ left: percent(window.left), width: percent(window.right - window.left) }} />}
          {brush && <span class="window" style={{ left: percent(Math.min(...brush)), width: percent(Math.abs(brush[1] - brush[0])) }} />}
        </div>
        {zoom && (
          <button type="button" class="ghost small" onClick={() => setZoom(null)}>
            <Icon name="fit" /> Whole run
          </button>
        )}
      </div>
      <div class="timeline-axis" aria-hidden="true">
        <div class="timeline-label" />
        <div class="track">
          {scale.ticks(TICKS).map((tick) => (
            <span key={tick} class="tick" style={{ left: percent(scale.place(tick)) }}>
              +{duration(tick - whole.from)}
            </span>
          ))}
          {scale.folds.map((fold) => (
            <span key={fold.from} class="fold-label" style={{ left: percent(fold.at + fold.width / 2) }} title={`Nothing happened for ${duration(fold.to - fold.from)}`}>
              ⋯
            </span>
          ))}
        </div>
      </div>
      <div class="scroller" ref={scroller} tabIndex={0} role="group" aria-label={`Timeline, ${count(rows.length)} rows`}>
        <div class="rows" style={{ height: `${virtual.getTotalSize()}px` }}>
          <div class="folds" aria-hidden="true">
            {scale.folds.map((fold) => (
              <i key={fold.from} style={{ left: percent(fold.at), width: percent(fold.width) }} />
            ))}
          </div>
          {virtual.getVirtualItems().map(({ index, start }) => {
            const row = rows[index];
            if (!row) return null;
            const last = states.get(row.attempts.at(-1)!)!;
            const look = lookOfState(String(last.status));
            return (
              <div key={row.id} class="timeline-row" style={{ transform: `translateY(${start}px)`, height: `${ROW}px` }}>
                <a class="timeline-label" href={to.state(ns, run, last.id)} style={{ paddingLeft: `${8 + Math.min(row.depth, 8) * 12}px` }} title={`${last.identifier}: ${look.word}`}>
                  <span class={`tone-${look.tone}`}>
                    <Icon name={toneIcon(look.tone)} label={look.word} />
                  </span>
                  <bdi class="clip">{last.identifier}</bdi>
                  {row.attempts.length > 1 && <span class="tag">×{row.attempts.length}</span>}
                </a>
                <div class="track">
                  {row.attempts.map((id) => {
                    const known = times.get(id);
                    const state = states.get(id);
                    if (!known || !state) return null;
                    const { created, started, ended } = known;
                    const until = ended ?? (at || (started ?? created)!);
                    const tone = lookOfState(String(state.status)).tone;
                    const [a, b, c] = [scale.place(created!), scale.place(started ?? until), scale.place(until)];
                    const isOut = until < scale.from || created! > scale.to;
                    if (isOut) return null;
                    const waited = (started ?? until) - created!;
                    const worked = started === null ? null : until - started;
                    const text = `${lookOfState(String(state.status)).word}${isByState ? "" : `, waited ${duration(waited)}`}${worked === null ? "" : `, ${isByState ? "took" : "worked"} ${duration(worked)}`}`;
                    return (
                      <span key={id} class="attempt" title={text}>
                        {!isByState && b > a && <i class="waits" style={{ left: percent(a), width: percent(b - a) }} />}
                        {started !== null && <i class={`works fill-${tone}`} style={{ left: percent(b), width: percent(Math.max(c - b, 0)) }} />}
                        {started === null && ended !== null && <i class={`works dot fill-${tone}`} style={{ left: percent(c) }} />}
                      </span>
                    );
                  })}
                  <Worked times={times} attempts={row.attempts} scale={scale} at={at} />
                </div>
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}

/** How long a row's last attempt worked, in words beside its bar. */
function Worked({ times, attempts, scale, at }: { times: ReadonlyMap<string, Times>; attempts: readonly string[]; scale: Scale; at: number }) {
  const last = times.get(attempts.at(-1)!);
  if (last?.started == null) return null;
  const until = last.ended ?? (at || last.started);
  const part = scale.place(until);
  if (part > 0.92 || until < scale.from || last.started > scale.to) return null;
  return (
    <span class="worked" style={{ left: `${(part * 100).toFixed(3)}%` }}>
      {duration(until - last.started)}
    </span>
  );
}

/** How many states there were at each moment, as a path. */
function densityOf(spans: readonly Span[], scale: Scale): string {
  const changes = new Array<number>(BUCKETS + 1).fill(0);
  for (const { from, to: until } of spans) {
    changes[Math.floor(scale.place(from) * (BUCKETS - 1))]! += 1;
    changes[Math.floor(scale.place(until) * (BUCKETS - 1)) + 1]! -= 1;
  }
  let height = 0;
  const heights = changes.slice(0, BUCKETS).map((change) => (height += change));
  const most = Math.max(...heights, 1);
  return `M0 24${heights.map((h, i) => `V${(24 - (h / most) * 22).toFixed(1)}H${i + 1}`).join("")}V24Z`;
}

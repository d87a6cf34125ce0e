// A waterfall: rows nested under what made them, and a scale on which idle stretches are folded.
import type { Times } from "./times";

/** What the timeline needs to know of a state and of an edge. */
export interface StateNodeLike {
  id: string;
  identifier: string;
  status: string;
  retry_of?: string | null;
}
export interface RunGraphEdge {
  source: string;
  target: string;
}

export interface Row {
  id: string;
  depth: number;
  /** The states that are attempts of one another, the first first. */
  attempts: string[];
}

function push<K>(map: Map<K, string[]>, key: K, id: string): void {
  const found = map.get(key);
  if (found) found.push(id);
  else map.set(key, [id]);
}

/** Rows in the order of a tree: each state under the one that it followed from. Attempts share a row. */
export function rowsOf(states: readonly StateNodeLike[], edges: readonly RunGraphEdge[], times: ReadonlyMap<string, Times>): Row[] {
  const above = new Map(edges.map(({ source, target }) => [target, source]));
  const known = new Map(states.map((state) => [state.id, state]));
  const firstOf = findAttempts(states, above, times);
  const attempts = new Map<string, string[]>();
  for (const { id } of states) {
    const first = firstOf.get(id) ?? id;
    push(attempts, first, id);
  }
  const below = new Map<string | null, string[]>();
  for (const { id } of states) {
    if (firstOf.has(id)) continue;
    let parent = above.get(id) ?? null;
    if (parent !== null && !known.has(parent)) parent = null;
    if (parent !== null) parent = firstOf.get(parent) ?? parent;
    push(below, parent, id);
  }
  const rows: Row[] = [];
  const stack = [...(below.get(null) ?? [])].reverse().map((id) => ({ id, depth: 0 }));
  const seen = new Set<string>();
  for (let top = stack.pop(); top; top = stack.pop()) {
    if (seen.has(top.id)) continue;
    seen.add(top.id);
    rows.push({ ...top, attempts: attempts.get(top.id) ?? [top.id] });
    for (const id of [...(below.get(top.id) ?? [])].reverse()) stack.push({ id, depth: top.depth + 1 });
  }
  return rows;
}

/** The attempts that a state is one of, the first first; itself alone where it is the only one, or that is not known. */
export function attemptsOf(id: string, states: readonly StateNodeLike[], edges: readonly RunGraphEdge[], times: ReadonlyMap<string, Times>): string[] {
  const of = states.find((state) => state.id === id)?.identifier;
  const same = states.filter((state) => state.identifier === of);
  const firstOf = findAttempts(same, new Map(edges.map(({ source, target }) => [target, source])), times);
  const first = firstOf.get(id) ?? id;
  return same.filter((state) => (firstOf.get(state.id) ?? state.id) === first).map((state) => state.id);
}

/**
 * The first attempt of each state that is a later one. `retry_of` says so; without it, a state that was created the
 * moment another with the same identifier and parent became RETRY_CREATED is its retry, if just one pair fits.
 */
function findAttempts(states: readonly StateNodeLike[], above: ReadonlyMap<string, string>, times: ReadonlyMap<string, Times>): Map<string, string> {
  const before = new Map<string, string>();
  const place = (state: StateNodeLike, at: number | null | undefined) => JSON.stringify([state.identifier, above.get(state.id) ?? "", at]);
  const created = new Map<string, string[]>();
  const retried = new Map<string, string[]>();
  for (const state of states) {
    if (state.retry_of) {
      before.set(state.id, state.retry_of);
      continue;
    }
    const known = times.get(state.id);
    if (!known) continue;
    push(created, place(state, known.created), state.id);
    if (state.status === "RETRY_CREATED") push(retried, place(state, known.ended), state.id);
  }
  for (const [key, originals] of retried) {
    const retries = (created.get(key) ?? []).filter((id) => !originals.includes(id));
    if (originals.length === 1 && retries.length === 1) before.set(retries[0]!, originals[0]!);
  }
  const first = new Map<string, string>();
  for (const id of before.keys()) {
    let origin = id;
    const passed = new Set<string>();
    while (before.has(origin) && !passed.has(origin)) {
      passed.add(origin);
      origin = before.get(origin)!;
    }
    if (origin !== id) first.set(id, origin);
  }
  return first;
}

export interface Span {
  from: number;
  to: number;
}
export interface Fold extends Span {
  /** Where it is drawn, as parts of the whole width. */
  at: number;
  width: number;
}

/** Maps times to parts of a width, from 0 to 1. Stretches in which nothing happens are folded to one small width. */
export class Scale {
  readonly folds: Fold[] = [];
  readonly #pieces: { from: number; to: number; at: number; width: number }[] = [];

  constructor(
    readonly from: number,
    readonly to: number,
    busy: readonly Span[],
  ) {
    const whole = Math.max(to - from, 1);
    const gaps = idle(busy, from, to).filter((gap) => gap.to - gap.from > Math.max(whole * 0.1, 2_000));
    const folded = gaps.reduce((total, gap) => total + gap.to - gap.from, 0);
    const foldWidth = 0.03;
    const rest = whole - folded;
    const unit = (1 - foldWidth * gaps.length) / Math.max(rest, 1);
    let at = 0;
    let time = from;
    const put = (until: number, width: number): void => {
      this.#pieces.push({ from: time, to: until, at, width });
      at += width;
      time = until;
    };
    for (const gap of gaps) {
      put(gap.from, (gap.from - time) * unit);
      this.folds.push({ ...gap, at, width: foldWidth });
      put(gap.to, foldWidth);
    }
    put(to, Math.max(to - time, rest > 0 ? 0 : 1) * unit);
  }

  place(time: number): number {
    const clamped = Math.min(Math.max(time, this.from), this.to);
    const piece = this.#pieces.find((entry) => clamped <= entry.to) ?? this.#pieces.at(-1)!;
    const length = piece.to - piece.from;
    return piece.at + (length ? ((clamped - piece.from) / length) * piece.width : 0);
  }

  time(part: number): number {
    const piece = this.#pieces.find((entry) => part <= entry.at + entry.width) ?? this.#pieces.at(-1)!;
    return piece.width ? piece.from + ((part - piece.at) / piece.width) * (piece.to - piece.from) : piece.from;
  }

  /** Round times that fall outside of the folds. */
  ticks(most: number): number[] {
    const unfolded = this.folds.reduce((total, fold) => total - (fold.to - fold.from), this.to - this.from);
    const step = niceStep(unfolded / most);
    const found: number[] = [];
    for (const piece of this.#pieces) {
      if (this.folds.some((fold) => fold.from === piece.from && fold.to === piece.to)) continue;
      for (let t = Math.ceil((piece.from - this.from) / step) * step; t <= piece.to - this.from; t += step) found.push(this.from + t);
    }
    return found;
  }
}

const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 216e5, 864e5];

export function niceStep(ms: number): number {
  return STEPS.find((step) => step >= ms) ?? Math.ceil(ms / 864e5) * 864e5;
}

function idle(busy: readonly Span[], from: number, to: number): Span[] {
  const gaps: Span[] = [];
  let until = from;
  for (const span of [...busy].sort((a, b) => a.from - b.from)) {
    if (span.from > until) gaps.push({ from: until, to: span.from });
    until = Math.max(until, span.to);
  }
  if (to > until) gaps.push({ from: until, to });
  return gaps;
}

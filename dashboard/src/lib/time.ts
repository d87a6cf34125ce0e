// Times and durations as a person reads them.
import { signal } from "@preact/signals";

/** Goes on while the page is looked at. */
export const now = signal(Date.now());
setInterval(() => {
  if (typeof document === "undefined" || !document.hidden) now.value = Date.now();
}, 1_000);

/** Epoch milliseconds; a time without an offset, as the hosted service writes it, is in UTC. */
export function instant(text: string | null | undefined): number | null {
  if (!text) return null;
  const ms = Date.parse(/(?:Z|[+-]\d\d:?\d\d)$/.test(text) ? text : `${text}Z`);
  return Number.isNaN(ms) ? null : ms;
}

export function duration(ms: number): string {
  if (ms < 0) return "0 ms";
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  const s = ms / 1_000;
  if (s < 59.95) return `${s < 10 ? s.toFixed(2) : s.toFixed(1)} s`;
  const whole = Math.round(s);
  const [d, h, m, rest] = [whole / 86_400, (whole / 3_600) % 24, (whole / 60) % 60, whole % 60].map(Math.floor) as [
    number,
    number,
    number,
    number,
  ];
  if (d) return `${d} d ${h} h`;
  if (h) return `${h} h ${m} min`;
  return `${m} min ${rest} s`;
}

export function ago(at: number, reference: number): string {
  const s = Math.round((reference - at) / 1_000);
  if (s < 0) return at - reference < 5_000 ? "just now" : `in ${coarse(-s)}`;
  return s < 5 ? "just now" : `${coarse(s)} ago`;
}

function coarse(s: number): string {
  if (s < 60) return `${s} s`;
  if (s < 3_600) return `${Math.floor(s / 60)} min`;
  if (s < 86_400) return `${Math.floor(s / 3_600)} h`;
  return `${Math.floor(s / 86_400)} d`;
}

const ABSOLUTE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

export function absolute(at: number): string {
  return `${ABSOLUTE.format(at)} (${new Date(at).toISOString()})`;
}

export function clock(at: number): string {
  return CLOCK.format(at);
}

const COUNT = new Intl.NumberFormat("en-GB");

export function count(n: number): string {
  return COUNT.format(n);
}

export function counted(n: number, noun: string, plural = `${noun}s`): string {
  return `${count(n)} ${n === 1 ? noun : plural}`;
}

// Signs, drawn in the colour of the text.
import type { Tone } from "../model/status";

const PATHS = {
  good: "M3.5 8.5l3 3 6-7",
  bad: "M4.5 4.5l7 7m0-7l-7 7",
  busy: "M8 2.5a5.5 5.5 0 1 1-5.5 5.5",
  wait: "M8 4.5V8l2.5 1.5M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11z",
  again: "M12.5 6A5 5 0 1 0 13 9.5M12.8 2.8V6H9.6",
  mute: "M4 8h8",
  runs: "M3 4h10M3 8h6M3 12h8",
  graphs: "M5 4.5h3.5A2.5 2.5 0 0 1 11 7v0a2 2 0 0 0 0 0M3.5 3h2v3h-2zM10.5 6.5h2v3h-2zM3.5 10h2v3h-2zM5.5 11.5H8A3 3 0 0 0 11 9.5",
  nodes: "M8 2.5l5 2.75v5.5L8 13.5l-5-2.75v-5.5zM3 5.25L8 8l5-2.75M8 8v5.5",
  api: "M5.5 5L2.5 8l3 3M10.5 5l3 3-3 3M9 3.5l-2 9",
  home: "M2.5 8.5h3l1.5-5 2.5 9 1.5-4h2.5",
  search: "M7 3a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM10 10l3.5 3.5",
  copy: "M6 6h7v7H6zM10 6V3H3v7h3",
  check: "M3.5 8.5l3 3 6-7",
  chevron: "M6 4l4 4-4 4",
  down: "M4 6l4 4 4-4",
  play: "M5 3.5l7 4.5-7 4.5z",
  stop: "M4.5 4.5h7v7h-7z",
  out: "M6 3H3v10h3M10 5l3 3-3 3M13 8H6",
  plus: "M8 3.5v9M3.5 8h9",
  minus: "M3.5 8h9",
  fit: "M3 6V3h3M10 3h3v3M13 10v3h-3M6 13H3v-3",
  warn: "M8 2.8l6 10.4H2zM8 6.5v3M8 11.4v.2",
  close: "M4.5 4.5l7 7m0-7l-7 7",
  join: "M3 3.5h2.5L8 8l-2.5 4.5H3M8 8h5",
  down_load: "M8 3v7M5 7.5L8 10.5l3-3M3 13h10",
  clock: "M8 4.5V8l2.5 1.5M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11z",
  info: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM8 7.5v3.3M8 5.2v.2",
  key: "M10.5 3a2.8 2.8 0 1 0 .1 0zM8.5 7.6L3 13M4.5 11.5L6 13",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, label }: { name: IconName; label?: string }) {
  return (
    <svg class={`icon icon-${name}`} viewBox="0 0 16 16" role={label ? "img" : undefined} aria-label={label} aria-hidden={label ? undefined : true}>
      <path d={PATHS[name]} />
    </svg>
  );
}

export const toneIcon = (tone: Tone): IconName => tone;

export function Logo() {
  return (
    <svg class="logo" viewBox="0 0 32 32" aria-hidden="true">
      <defs>
        <linearGradient id="logo-sky" x1="0" y1="0" x2="1" y2="1">
          <stop offset="0" stop-color="#7c8cff" />
          <stop offset="1" stop-color="#16b8a6" />
        </linearGradient>
      </defs>
      <circle cx="16" cy="16" r="7.5" fill="url(#logo-sky)" />
      <path d="M5 21.5A12.3 12.3 0 0 1 21.5 5" class="orbit-a" />
      <path d="M27 10.5A12.3 12.3 0 0 1 10.5 27" class="orbit-b" />
    </svg>
  );
}

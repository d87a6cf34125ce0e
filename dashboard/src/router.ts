// Addresses: every view that can be kept or shared is one.
import { signal } from "@preact/signals";

const BASE = "/ui";

export interface Place {
  /** What stands between the slashes, decoded. */
  parts: string[];
  query: URLSearchParams;
}

function read(): Place {
  const parts = location.pathname.slice(BASE.length).split("/").filter(Boolean).map(decode);
  return { parts, query: new URLSearchParams(location.search) };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export const place = signal<Place>(read());

addEventListener("popstate", () => {
  place.value = read();
});

export function go(href: string, { replace = false } = {}): void {
  if (href === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", href);
  place.value = read();
  if (!replace) document.querySelector("main")?.scrollTo(0, 0);
}

/** The address of a page, each part encoded; empty values are left out of the query. */
export function hrefTo(parts: string[], query: Record<string, string | number | undefined> = {}): string {
  const path = [BASE, ...parts.map(encodeURIComponent)].join("/");
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined && value !== "") search.set(name, String(value));
  const text = search.toString();
  return text ? `${path}?${text}` : path;
}

export const to = {
  overview: (ns: string) => hrefTo(["n", ns, "overview"]),
  schedules: (ns: string) => hrefTo(["n", ns, "schedules"]),
  runs: (ns: string, query = {}) => hrefTo(["n", ns, "runs"], query),
  run: (ns: string, run: string, query = {}) => hrefTo(["n", ns, "runs", run], query),
  state: (ns: string, run: string, state: string) => hrefTo(["n", ns, "runs", run, "states", state]),
  graphs: (ns: string) => hrefTo(["n", ns, "graphs"]),
  graph: (ns: string, graph: string, query = {}) => hrefTo(["n", ns, "graphs", graph], query),
  nodes: (ns: string, query = {}) => hrefTo(["n", ns, "nodes"], query),
  api: (query = {}) => hrefTo(["api"], query),
};

/** Changes the query of the page that is shown, and nothing else. */
export function setQuery(changes: Record<string, string | undefined>, { replace = true } = {}): void {
  const query = Object.fromEntries(place.value.query);
  go(hrefTo(place.value.parts, { ...query, ...changes }), { replace });
}

/** Follows links within the page without loading it anew. */
export function followLinks(event: MouseEvent): void {
  if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = (event.target as Element | null)?.closest?.("a[href]");
  const href = link?.getAttribute("href");
  if (!href?.startsWith(`${BASE}/`) || link?.hasAttribute("download") || link?.hasAttribute("target")) return;
  event.preventDefault();
  go(href);
}

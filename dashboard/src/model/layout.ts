// Where the boxes of a graph go, and how its edges run.
import { Graph as Dagre, layout as runDagre } from "@dagrejs/dagre";

export interface Link {
  from: string;
  to: string;
  /** A `next` edge, the dashed one from a united node to its join, or one that only states have. */
  kind: "next" | "unites" | "seen";
}
export interface Point {
  x: number;
  y: number;
}
export interface Box extends Point {
  id: string;
}
export interface Placed {
  boxes: Box[];
  links: (Link & { points: Point[] })[];
  width: number;
  height: number;
}
export interface Size {
  width: number;
  height: number;
}
export type Direction = "LR" | "TB";

// Beyond this, minimising crossings takes seconds; layers alone are then drawn.
const MOST_FOR_DAGRE = 250;
const GAP = { along: 64, across: 24, margin: 16 };

interface Linked {
  identifier: string;
  next_nodes?: string[] | null;
  unites?: { identifier: string } | null;
}

/** The edges of a template. */
export function linksOf(nodes: readonly Linked[]): Link[] {
  return nodes.flatMap((node) => [
    ...(node.next_nodes ?? []).map((to): Link => ({ from: node.identifier, to, kind: "next" })),
    ...(node.unites ? [{ from: node.unites.identifier, to: node.identifier, kind: "unites" } as Link] : []),
  ]);
}

export function layOut(ids: readonly string[], links: readonly Link[], size: Size, direction: Direction): Placed {
  const known = new Set(ids);
  const usable = links.filter(({ from, to }) => known.has(from) && known.has(to) && from !== to);
  return ids.length > MOST_FOR_DAGRE ? inLayers(ids, usable, size, direction) : byDagre(ids, usable, size, direction);
}

function byDagre(ids: readonly string[], links: readonly Link[], size: Size, direction: Direction): Placed {
  const graph = new Dagre({ multigraph: true });
  graph.setGraph({ rankdir: direction, nodesep: GAP.across, ranksep: GAP.along, marginx: GAP.margin, marginy: GAP.margin });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const id of ids) graph.setNode(id, { ...size });
  // An edge to a join says less about the order than those that lead there.
  for (const { from, to, kind } of links) graph.setEdge(from, to, { weight: kind === "unites" ? 0 : 2 }, kind);
  runDagre(graph);
  const { width = 0, height = 0 } = graph.graph() as Partial<Size>;
  return {
    boxes: ids.map((id) => {
      const { x, y } = graph.node(id) as Point;
      return { id, x: x - size.width / 2, y: y - size.height / 2 };
    }),
    links: links.map((link) => {
      // Of what is between, the points beside boxes alone: those in the gaps would make it wind.
      const between = (graph.edge(link.from, link.to, link.kind) as { points: Point[] }).points.slice(1, -1).filter((_, i) => i % 2);
      const [a, b] = [graph.node(link.from) as Point, graph.node(link.to) as Point];
      return { ...link, points: [leave(a, size, direction), ...between, arrive(b, size, direction)] };
    }),
    width,
    height,
  };
}

// An edge leaves and arrives in the middle of the side that the layout's direction gives.
const leave = ({ x, y }: Point, { width, height }: Size, direction: Direction): Point =>
  direction === "LR" ? { x: x + width / 2, y } : { x, y: y + height / 2 };
const arrive = ({ x, y }: Point, { width, height }: Size, direction: Direction): Point =>
  direction === "LR" ? { x: x - width / 2, y } : { x, y: y - height / 2 };

function inLayers(ids: readonly string[], links: readonly Link[], size: Size, direction: Direction): Placed {
  const layer = new Map(ids.map((id) => [id, 0]));
  const incoming = new Map(ids.map((id) => [id, 0]));
  const outgoing = new Map<string, string[]>(ids.map((id) => [id, []]));
  for (const { from, to } of links) {
    incoming.set(to, incoming.get(to)! + 1);
    outgoing.get(from)!.push(to);
  }
  const ready = ids.filter((id) => !incoming.get(id));
  for (let id = ready.shift(); id !== undefined; id = ready.shift()) {
    for (const to of outgoing.get(id)!) {
      layer.set(to, Math.max(layer.get(to)!, layer.get(id)! + 1));
      incoming.set(to, incoming.get(to)! - 1);
      if (!incoming.get(to)) ready.push(to);
    }
  }
  const filled: number[] = [];
  const isAcross = direction === "LR";
  const along = (isAcross ? size.width : size.height) + GAP.along;
  const across = (isAcross ? size.height : size.width) + GAP.across;
  const at = new Map<string, Point>();
  for (const id of ids) {
    const [u, v] = [layer.get(id)! * along, (filled[layer.get(id)!] ?? 0) * across];
    filled[layer.get(id)!] = (filled[layer.get(id)!] ?? 0) + 1;
    at.set(id, { x: GAP.margin + (isAcross ? u : v), y: GAP.margin + (isAcross ? v : u) });
  }
  const far = (pick: (point: Point) => number, extent: number) =>
    [...at.values()].reduce((most, point) => Math.max(most, pick(point)), 0) + extent + GAP.margin;
  return {
    boxes: ids.map((id) => ({ id, ...at.get(id)! })),
    links: links.map((link) => {
      const middle = ({ x, y }: Point): Point => ({ x: x + size.width / 2, y: y + size.height / 2 });
      return { ...link, points: [leave(middle(at.get(link.from)!), size, direction), arrive(middle(at.get(link.to)!), size, direction)] };
    }),
    width: far(({ x }) => x, size.width),
    height: far(({ y }) => y, size.height),
  };
}

/** A smooth path through points, level where it leaves a point in the direction of the layout. */
export function pathThrough(points: readonly Point[], direction: Direction): string {
  const [first, ...rest] = points;
  if (!first) return "";
  let before = first;
  const parts = [`M${round(first.x)} ${round(first.y)}`];
  for (const point of rest) {
    const [dx, dy] = [(point.x - before.x) / 2, (point.y - before.y) / 2];
    const [a, b] =
      direction === "LR"
        ? [
            { x: before.x + dx, y: before.y },
            { x: point.x - dx, y: point.y },
          ]
        : [
            { x: before.x, y: before.y + dy },
            { x: point.x, y: point.y - dy },
          ];
    parts.push(`C${[a, b, point].map(({ x, y }) => `${round(x)} ${round(y)}`).join(" ")}`);
    before = point;
  }
  return parts.join("");
}

/** The point half-way along straight lines through points. */
export function middleOf(points: readonly Point[]): Point {
  const steps = points.slice(1).map((point, i) => ({ from: points[i]!, to: point, length: Math.hypot(point.x - points[i]!.x, point.y - points[i]!.y) }));
  let left = steps.reduce((total, { length }) => total + length, 0) / 2;
  for (const { from, to, length } of steps) {
    if (left <= length && length > 0) return { x: from.x + ((to.x - from.x) * left) / length, y: from.y + ((to.y - from.y) * left) / length };
    left -= length;
  }
  return points[0] ?? { x: 0, y: 0 };
}

const round = (n: number) => Math.round(n * 10) / 10;

// A graph that can be moved and zoomed: boxes are HTML, so that they can be read and reached; edges are SVG.
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { layOut, middleOf, pathThrough, type Direction, type Link, type Point, type Size } from "../model/layout";
import { count } from "../lib/time";
import { Icon } from "./icons";

interface Props {
  ids: readonly string[];
  links: readonly Link[];
  size: Size;
  label: string;
  selected: string | null;
  onSelect: (id: string | null) => void;
  /** What stands in a box. */
  children: (id: string) => ComponentChildren;
  boxClass?: (id: string) => string;
  /** How many states took an edge; 0 for an edge that none has taken yet. */
  flow?: (link: Link) => number | undefined;
}

interface View {
  x: number;
  y: number;
  k: number;
}

const SMALLEST = 0.05;
// What is smaller cannot be read: rather a part is shown, and the rest by moving.
const LEGIBLE = 0.7;
const LARGEST = 1.6;
const NARROW = 820;

export function Canvas({ ids, links, size, label, selected, onSelect, children, boxClass, flow }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const [view, setView] = useState<View>({ x: 0, y: 0, k: 1 });
  const [direction, setDirection] = useState<Direction>("LR");
  const drag = useRef<{ start: Point; view: View; moved: boolean } | null>(null);
  const moved = useRef(false);

  const key = JSON.stringify([ids, links, direction]);
  const placed = useMemo(() => layOut(ids, links, size, direction), [key, size]);

  const fit = (smallest: number): void => {
    const box = frame.current?.getBoundingClientRect();
    if (!box?.width || !placed.width) return;
    const k = Math.max(smallest, Math.min(1, box.width / placed.width, box.height / placed.height));
    // What does not fit begins with its first box.
    const first = placed.boxes[0]!;
    const start = (whole: number, room: number, at: number, isAlong: boolean): number =>
      whole * k <= room ? (room - whole * k) / 2 : isAlong ? 0 : Math.min(0, Math.max(room - whole * k, room / 2 - at * k));
    setView({
      k,
      x: start(placed.width, box.width, first.x + size.width / 2, direction === "LR"),
      y: start(placed.height, box.height, first.y + size.height / 2, direction === "TB"),
    });
  };
  const chosen = useRef(selected);
  chosen.current = selected;

  useLayoutEffect(() => {
    // By the window: a panel that opens beside the graph does not turn it.
    const turn = (): void => setDirection(innerWidth < NARROW ? "TB" : "LR");
    turn();
    const observer = new ResizeObserver(() => {
      turn();
      if (chosen.current !== null) show(chosen.current);
      else if (!moved.current) fit(LEGIBLE);
    });
    observer.observe(frame.current!);
    return () => observer.disconnect();
  }, [placed]);
  useLayoutEffect(() => {
    if (!moved.current) fit(LEGIBLE);
    if (chosen.current !== null) show(chosen.current);
  }, [placed]);

  const zoom = (factor: number, at?: Point): void => {
    moved.current = true;
    setView((before) => {
      const box = frame.current!.getBoundingClientRect();
      const { x, y } = at ?? { x: box.width / 2, y: box.height / 2 };
      const k = Math.max(SMALLEST, Math.min(LARGEST, before.k * factor));
      return { k, x: x - ((x - before.x) * k) / before.k, y: y - ((y - before.y) * k) / before.k };
    });
  };

  useEffect(() => {
    const element = frame.current!;
    const onWheel = (event: WheelEvent): void => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const box = element.getBoundingClientRect();
      zoom(Math.exp(-event.deltaY / 300), { x: event.clientX - box.x, y: event.clientY - box.y });
    };
    element.addEventListener("wheel", onWheel, { passive: false });
    return () => element.removeEventListener("wheel", onWheel);
  }, []);

  // What is reached by the keyboard comes into view.
  const show = (id: string): void => {
    const box = placed.boxes.find((entry) => entry.id === id);
    const area = frame.current;
    if (!box || !area) return;
    area.scrollTo(0, 0);
    setView((before) => {
      const left = box.x * before.k + before.x;
      const top = box.y * before.k + before.y;
      const isSeen = left >= 0 && top >= 0 && left + size.width * before.k <= area.clientWidth && top + size.height * before.k <= area.clientHeight;
      if (isSeen) return before;
      return { ...before, x: area.clientWidth / 2 - (box.x + size.width / 2) * before.k, y: area.clientHeight / 2 - (box.y + size.height / 2) * before.k };
    });
  };

  return (
    <div class="canvas" ref={frame} role="group" aria-label={label}
      onPointerDown={(event) => {
        if (event.button) return;
        drag.current = { start: { x: event.clientX, y: event.clientY }, view, moved: false };
      }}
      onPointerMove={(event) => {
        const held = drag.current;
        if (!held) return;
        const [dx, dy] = [event.clientX - held.start.x, event.clientY - held.start.y];
        if (!held.moved && Math.abs(dx) + Math.abs(dy) < 5) return;
        if (!held.moved) frame.current!.setPointerCapture(event.pointerId);
        held.moved = moved.current = true;
        setView({ ...held.view, x: held.view.x + dx, y: held.view.y + dy });
      }}
      onPointerUp={(event) => {
        if (drag.current && !drag.current.moved && !(event.target as Element).closest(".box, .zoom")) onSelect(null);
        drag.current = null;
      }}
      onPointerCancel={() => (drag.current = null)}
    >
      <div class="plane" style={{ transform: `translate(${view.x}px, ${view.y}px) scale(${view.k})`, width: `${placed.width}px`, height: `${placed.height}px` }}>
        <svg width={placed.width} height={placed.height} aria-hidden="true">
          <defs>
            <marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse">
              <path d="M1 1l6 3-6 3" class="tip" />
            </marker>
          </defs>
          {placed.links.map((link) => {
            const n = flow?.(link);
            const isNear = selected !== null && (link.from === selected || link.to === selected);
            const middle = middleOf(link.points);
            return (
              <g key={`${link.from}\n${link.to}\n${link.kind}`} class={`edge edge-${link.kind}${n === 0 ? " unused" : ""}${isNear ? " near" : ""}`}>
                <path d={pathThrough(link.points, direction)} marker-end="url(#tip)" />
                {n !== undefined && n > 1 && (
                  <text x={middle.x} y={middle.y} dy="0.35em" text-anchor="middle">
                    ×{count(n)}
                  </text>
                )}
              </g>
            );
          })}
        </svg>
        {placed.boxes.map(({ id, x, y }) => (
          <button
            key={id}
            type="button"
            class={`box ${boxClass?.(id) ?? ""}`}
            aria-pressed={selected === id}
            data-identifier={id}
            style={{ transform: `translate(${x}px, ${y}px)`, width: `${size.width}px`, height: `${size.height}px` }}
            onFocus={() => show(id)}
            onClick={() => onSelect(selected === id ? null : id)}
          >
            {children(id)}
          </button>
        ))}
      </div>
      <div class="zoom">
        <button type="button" aria-label="Zoom in" title="Zoom in (Ctrl and wheel)" onClick={() => zoom(1.25)}>
          <Icon name="plus" />
        </button>
        <button type="button" aria-label="Zoom out" title="Zoom out" onClick={() => zoom(0.8)}>
          <Icon name="minus" />
        </button>
        <button
          type="button"
          aria-label="Show all"
          title="Show all"
          onClick={() => {
            moved.current = false;
            fit(SMALLEST);
          }}
        >
          <Icon name="fit" />
        </button>
      </div>
    </div>
  );
}

// The keyboard: one listener, and whoever is shown says what its keys do.
import { useEffect, useRef } from "preact/hooks";

type Keys = Record<string, (event: KeyboardEvent) => void>;

const stack: { current: Keys }[] = [];
let before = "";
let beforeAt = 0;

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (isTyping(event.target)) {
    if (event.key === "Escape") (event.target as HTMLElement).blur();
    return;
  }
  if (document.querySelector("dialog[open]")) return;
  const isPair = event.timeStamp - beforeAt < 2_000;
  const names = isPair ? [`${before} ${event.key}`, event.key] : [event.key];
  before = event.key;
  beforeAt = event.timeStamp;
  for (const name of names) {
    const keys = [...stack].reverse().find(({ current }) => name in current);
    if (!keys) continue;
    // A button that has the focus takes Enter for itself.
    if (name === "Enter" && event.target instanceof HTMLElement && event.target.matches("button, a, summary")) return;
    // What moves through a list takes the focus from the button that had it, so that Enter opens the row.
    if (name === "j" || name === "k") (document.activeElement as HTMLElement | null)?.blur();
    event.preventDefault();
    before = "";
    keys.current[name]!(event);
    return;
  }
});

export function useKeys(keys: Keys): void {
  const held = useRef(keys);
  held.current = keys;
  useEffect(() => {
    stack.push(held);
    return () => void stack.splice(stack.indexOf(held), 1);
  }, []);
}

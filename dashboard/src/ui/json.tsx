// JSON as a tree: folded where it is deep, cut where it is long, and always there in full.
import { useState } from "preact/hooks";
import { withoutAnsi } from "../model/run";
import { count } from "../lib/time";
import { CopyButton } from "./basics";
import { Icon } from "./icons";

const LONGEST_TEXT = 1_000;
const AT_ONCE = 100;
const OPEN_DEPTH = 2;

export function JsonCard({ title, value }: { title: string; value: unknown }) {
  const [parses, setParses] = useState(true);
  const hasParsable = holdsJson(value, 0);
  const isEmpty = value === null || (typeof value === "object" && Object.keys(value as object).length === 0);
  return (
    <section class="card" aria-label={title}>
      <header>
        <h2>{title}</h2>
        <span class="tools">
          {hasParsable && (
            <label class="switch" title="Show text that holds JSON as a tree">
              <input type="checkbox" checked={parses} onChange={() => setParses(!parses)} /> Parse JSON in text
            </label>
          )}
          <CopyButton text={JSON.stringify(value, null, 2)} label={`Copy the ${title.toLowerCase()}`} />
        </span>
      </header>
      {isEmpty ? <p class="muted none">None</p> : <div class="json">{<Value value={value} depth={0} parses={parses && hasParsable} isRoot />}</div>}
    </section>
  );
}

function parsed(text: string): unknown {
  if (!/^\s*[[{]/.test(text)) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function holdsJson(value: unknown, depth: number): boolean {
  if (typeof value === "string") return parsed(value) !== undefined;
  if (value === null || typeof value !== "object" || depth > 4) return false;
  return Object.values(value).slice(0, AT_ONCE).some((item) => holdsJson(item, depth + 1));
}

interface Shown {
  value: unknown;
  depth: number;
  parses: boolean;
  isRoot?: boolean;
}

function Value({ value, depth, parses, isRoot = false }: Shown) {
  if (typeof value === "string") {
    const inner = parses ? parsed(value) : undefined;
    return inner === undefined ? <Text text={value} /> : <Branch value={inner as object} depth={depth} parses={parses} note="text" isRoot={false} />;
  }
  if (value !== null && typeof value === "object") return <Branch value={value} depth={depth} parses={parses} isRoot={isRoot} />;
  return <span class={`json-${value === null ? "null" : typeof value}`}>{String(value)}</span>;
}

function Branch({ value, depth, parses, isRoot, note }: { value: object; depth: number; parses: boolean; isRoot: boolean; note?: string }) {
  const isList = Array.isArray(value);
  const entries = Object.entries(value);
  const [isOpen, setOpen] = useState(isRoot || (depth < OPEN_DEPTH && entries.length <= AT_ONCE));
  const [shown, setShown] = useState(AT_ONCE);
  const size = `${count(entries.length)} ${isList ? (entries.length === 1 ? "item" : "items") : entries.length === 1 ? "field" : "fields"}`;
  const body = isOpen && (
    <ul>
      {entries.slice(0, shown).map(([key, item]) => (
        <li key={key}>
          <span class={isList ? "json-index" : "json-key"}>{key}</span>
          <Value value={item} depth={depth + 1} parses={parses} />
        </li>
      ))}
      {entries.length > shown && (
        <li>
          <button type="button" class="link" onClick={() => setShown(shown + AT_ONCE * 10)}>
            {count(entries.length - shown)} more
          </button>
        </li>
      )}
    </ul>
  );
  if (isRoot) return body || null;
  return (
    <>
      <button type="button" class="json-fold" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
        <Icon name={isOpen ? "down" : "chevron"} />
        <span class="muted">
          {isList ? "[" : "{"} {size} {isList ? "]" : "}"}
          {note && <em> {note}</em>}
        </span>
      </button>
      {body}
    </>
  );
}

export function Text({ text }: { text: string }) {
  const [isWhole, setWhole] = useState(false);
  const isLong = text.length > LONGEST_TEXT;
  const shown = withoutAnsi(isLong && !isWhole ? text.slice(0, LONGEST_TEXT) : text);
  return (
    <span class={shown.includes("\n") || isLong ? "json-string long" : "json-string"}>
      <bdi>{shown}</bdi>
      {isLong && (
        <button type="button" class="link" onClick={() => setWhole(!isWhole)}>
          {isWhole ? "Show less" : `… show all ${count(text.length)} characters`}
        </button>
      )}
    </span>
  );
}

// The placeholders in a graph's inputs, as the contract reads them.

export interface Piece {
  text: string;
  /** What it refers to, if it is a placeholder. */
  refers?: { kind: "outputs"; identifier: string; field: string } | { kind: "store"; key: string } | { kind: "gather"; identifier: string; field: string };
}

const PLACEHOLDER = /\$\{\{(.*?)\}\}/gs;

export function piecesOf(template: string): Piece[] {
  const pieces: Piece[] = [];
  let end = 0;
  for (const match of template.matchAll(PLACEHOLDER)) {
    if (match.index > end) pieces.push({ text: template.slice(end, match.index) });
    const refers = read(match[1]!);
    pieces.push(refers ? { text: match[0], refers } : { text: match[0] });
    end = match.index + match[0].length;
  }
  if (end < template.length) pieces.push({ text: template.slice(end) });
  return pieces;
}

function read(content: string): Piece["refers"] {
  const parts = content.split(".").map((part) => part.trim());
  const [first = "", second = "", third = "", fourth = ""] = parts;
  if (first === "store" && (parts.length === 2 || (parts.length === 3 && second === "outputs"))) {
    return { kind: "store", key: parts.at(-1)! };
  }
  if (parts.length === 3 && second === "outputs") return { kind: "outputs", identifier: first, field: third };
  if (parts.length === 4 && first === "gather" && third === "outputs") return { kind: "gather", identifier: second, field: fourth };
  return undefined;
}

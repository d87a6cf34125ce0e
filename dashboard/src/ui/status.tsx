// Statuses and bars of counts.
import { lookOfRun, lookOfState, ordered, sum, type Counts, type Look } from "../model/status";
import { count } from "../lib/time";
import { Icon, toneIcon } from "./icons";

function Badge({ look, title }: { look: Look; title?: string | undefined }) {
  return (
    <span class={`badge tone-${look.tone}`} title={title ?? look.means}>
      <Icon name={toneIcon(look.tone)} />
      {look.word}
    </span>
  );
}

export const StateBadge = ({ status }: { status: string }) => <Badge look={lookOfState(status)} title={`${status}: ${lookOfState(status).means}`} />;
export const RunBadge = ({ status }: { status: string }) => <Badge look={lookOfRun(status)} />;

/** A bar of counts: one part for each status, each at least wide enough to be seen. */
export function Bar({ counts, label, word = lookOfState }: { counts: Counts; label?: string; word?: (status: string) => Look }) {
  const parts = ordered(counts);
  const total = sum(counts);
  const text = parts.map(([status, n]) => `${count(n)} ${word(status).word}`).join(", ");
  return (
    <span class="bar" role="img" aria-label={`${label ? `${label}: ` : ""}${text || "no states"}`} title={text}>
      {total > 0 && parts.map(([status, n]) => <i key={status} class={`part-${status}`} style={{ flexGrow: n / total }} />)}
    </span>
  );
}

/** Counts in words and signs, beside a bar. */
export function Legend({ counts, word = lookOfState, isShort = false }: { counts: Counts; word?: (status: string) => Look; isShort?: boolean }) {
  return (
    <span class="legend">
      {ordered(counts).map(([status, n]) => (
        <span key={status} class={`count tone-${word(status).tone}`} title={`${count(n)} ${word(status).word}: ${word(status).means}`}>
          <Icon name={toneIcon(word(status).tone)} />
          {count(n)}
          {isShort ? <span class="offscreen"> {word(status).word}</span> : <span class="word">{word(status).word}</span>}
        </span>
      ))}
    </span>
  );
}

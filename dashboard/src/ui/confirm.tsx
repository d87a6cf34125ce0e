// An action on many things: says how many first, then does them and shows how far it is.
import { useRef, useState } from "preact/hooks";
import { messageOf } from "../api/client";
import { count } from "../lib/time";
import { Dialog } from "./basics";
import { Icon } from "./icons";

export interface Plan {
  title: string;
  text: string;
  verb: string;
  isDangerous?: boolean;
  /** Each is a request of its own, four at a time. */
  steps: (() => Promise<unknown>)[];
  after?: () => void;
}

const AT_ONCE = 4;
const MOST_ERRORS = 5;

export function Confirm({ plan, onClose }: { plan: Plan; onClose: () => void }) {
  const [done, setDone] = useState(-1);
  const [errors, setErrors] = useState<string[]>([]);
  const isStopped = useRef(false);
  const total = plan.steps.length;

  async function carryOut(): Promise<void> {
    const waiting = [...plan.steps];
    const failed: string[] = [];
    let finished = 0;
    setDone(0);
    const work = async (): Promise<void> => {
      for (let step = waiting.shift(); step && !isStopped.current; step = waiting.shift()) {
        try {
          await step();
        } catch (error) {
          failed.push(messageOf(error));
          setErrors([...failed]);
        }
        finished += 1;
        setDone(finished);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    plan.after?.();
    if (!failed.length) onClose();
  }

  return (
    <Dialog
      title={plan.title}
      onClose={() => {
        isStopped.current = true;
        if (done >= 0) plan.after?.();
        onClose();
      }}
    >
      <p class="prewrap">{plan.text}</p>
      {done >= 0 && total > 1 && (
        <p role="status">
          {count(done)} of {count(total)}
          <progress max={total} value={done} aria-label={plan.title} />
        </p>
      )}
      {errors.length > 0 && (
        <div class="callout tone-bad" role="alert">
          <strong>{count(errors.length)} refused</strong>
          {[...new Set(errors)].slice(0, MOST_ERRORS).map((error) => (
            <p key={error}>{error}</p>
          ))}
        </div>
      )}
      <footer>
        {done < 0 ? (
          <button type="button" data-first class={plan.isDangerous ? "danger" : "primary"} onClick={() => void carryOut()}>
            {plan.verb}
          </button>
        ) : (
          done < total && (
            <span class="muted">
              <Icon name="busy" /> Working…
            </span>
          )
        )}
      </footer>
    </Dialog>
  );
}

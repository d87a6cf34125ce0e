// What a page reads from the service, and keeps reading while it is looked at.
import { useEffect, useRef, useState } from "preact/hooks";
import { Unreachable } from "../api/errors";
import { session } from "../api/session";

export interface Resource<T> {
  data: T | null;
  error: unknown;
  /** Whether nothing has come yet. */
  isLoading: boolean;
  reload: () => void;
}

const AFTER_OUTAGE_MS = 2_000;

/**
 * Reads once for each key and then again and again. What came last stays while the service is gone.
 *
 * @param key Read anew when it changes; null reads nothing.
 * @param every Milliseconds between readings; 0 for once. A function decides by what came last.
 */
export function useResource<T>(
  key: string | null,
  read: (signal: AbortSignal) => Promise<T>,
  every: number | ((data: T) => number) = 0,
): Resource<T> {
  const [state, setState] = useState<{ key: string | null; data: T | null; error: unknown }>({ key: null, data: null, error: null });
  const again = useRef<() => void>(() => undefined);
  const reader = useRef(read);
  reader.current = read;
  const pace = useRef(every);
  pace.current = every;

  useEffect(() => {
    if (key === null) return;
    let timer = 0;
    let isOver = false;
    let aborter = new AbortController();
    const plan = (ms: number) => {
      clearTimeout(timer);
      if (ms > 0 && !isOver) timer = window.setTimeout(run, ms);
    };
    const run = async (): Promise<void> => {
      if (document.hidden) {
        plan(1_000);
        return;
      }
      aborter.abort();
      aborter = new AbortController();
      const { signal } = aborter;
      try {
        const data = await reader.current(signal);
        if (isOver || signal.aborted) return;
        setState({ key, data, error: null });
        plan(typeof pace.current === "function" ? pace.current(data) : pace.current);
      } catch (error) {
        if (isOver || signal.aborted || !session.value) return;
        setState((before) => ({ key, data: before.key === key ? before.data : null, error }));
        if (error instanceof Unreachable) plan(AFTER_OUTAGE_MS);
        else if (pace.current) plan(AFTER_OUTAGE_MS * 2);
      }
    };
    again.current = () => void run();
    void run();
    return () => {
      isOver = true;
      clearTimeout(timer);
      aborter.abort();
    };
  }, [key]);

  const isCurrent = state.key === key;
  return {
    data: isCurrent ? state.data : null,
    error: isCurrent ? state.error : null,
    isLoading: key !== null && (!isCurrent || (state.data === null && state.error === null)),
    reload: () => again.current(),
  };
}

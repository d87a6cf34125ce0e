// Small things that every page uses.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { messageOf } from "../api/client";
import { ApiError, Unreachable } from "../api/errors";
import { copyText } from "../lib/copy";
import { absolute, ago, instant, now } from "../lib/time";
import { Icon, type IconName } from "./icons";

export function Time({ at }: { at: string | number | null | undefined }) {
  const ms = typeof at === "number" ? at : instant(at);
  if (ms === null) return <span class="muted">–</span>;
  return (
    <time dateTime={new Date(ms).toISOString()} title={absolute(ms)}>
      {ago(ms, now.value)}
    </time>
  );
}

/** A name from elsewhere: set apart, so that its direction and its length change nothing around it. */
export const Name = ({ children, mono = false }: { children: string; mono?: boolean }) => (
  <bdi class={mono ? "name mono" : "name"} title={children}>
    {children || "(empty)"}
  </bdi>
);

export function CopyButton({ text, label = "Copy" }: { text: string; label?: string }) {
  const [done, setDone] = useState(false);
  return (
    <button
      type="button"
      class="ghost small"
      aria-label={done ? "Copied" : label}
      title={done ? "Copied" : label}
      onClick={(event) => {
        event.stopPropagation();
        event.preventDefault();
        void copyText(text).then((ok) => {
          setDone(ok);
          setTimeout(() => setDone(false), 1_500);
        });
      }}
    >
      <Icon name={done ? "check" : "copy"} />
    </button>
  );
}

export const Command = ({ children }: { children: string }) => (
  <span class="command">
    <code>{children}</code>
    <CopyButton text={children} label="Copy the command" />
  </span>
);

export function Empty({ icon, title, children }: { icon: IconName; title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <span class="empty-sign">
        <Icon name={icon} />
      </span>
      <h2>{title}</h2>
      {children}
    </div>
  );
}

export function Loading({ what }: { what: string }) {
  // Only when it takes long enough to be noticed.
  return (
    <p class="loading" role="status">
      <Icon name="busy" /> Loading {what}…
    </p>
  );
}

/** Why something is not there, and what to do about it. */
export function Failure({ error, what }: { error: unknown; what: string }) {
  if (error instanceof Unreachable) return <Loading what={what} />;
  const status = error instanceof ApiError ? error.status : 0;
  const title = status === 403 ? "The service refuses this key" : status === 404 ? `There is no such ${what}` : `The ${what} could not be read`;
  return (
    <Empty icon="warn" title={title}>
      <p class="prewrap">{messageOf(error)}</p>
      {status === 403 && <p>Choose another namespace, or sign in with a key for this one.</p>}
    </Empty>
  );
}

/** Says which part is not shown for want of an extension. */
export const Missing = ({ extension, children }: { extension: string; children: ComponentChildren }) => (
  <p class="missing">
    <Icon name="info" />
    <span>
      {children} This service does not have the extension <code>{extension}</code>.
    </span>
  </p>
);

export function Dialog({ title, onClose, children }: { title: string; onClose: () => void; children: ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current?.showModal();
    dialog.current?.querySelector<HTMLElement>("[data-first]")?.focus();
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-label={title}
      onClose={onClose}
      onClick={(event) => {
        if (event.target === dialog.current) dialog.current?.close();
      }}
    >
      <div class="dialog">
        <header>
          <h2>{title}</h2>
          <button type="button" class="ghost small" aria-label="Close" onClick={() => dialog.current?.close()}>
            <Icon name="close" />
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}

export function Search({ value, onInput, label }: { value: string; onInput: (text: string) => void; label: string }) {
  const timer = useRef(0);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (field.current && field.current !== document.activeElement) field.current.value = value;
  }, [value]);
  return (
    <label class="search">
      <Icon name="search" />
      <input
        ref={field}
        type="search"
        data-search
        placeholder={label}
        aria-label={label}
        defaultValue={value}
        onInput={(event) => {
          const text = event.currentTarget.value;
          clearTimeout(timer.current);
          timer.current = window.setTimeout(() => onInput(text), 120);
        }}
      />
      <kbd>/</kbd>
    </label>
  );
}

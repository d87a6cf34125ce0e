// The session: a token in the place of the key. It lives in sessionStorage, so a tab's end is its end; the key is
// sent once to get it and kept nowhere.
import { signal } from "@preact/signals";
import { detailOf } from "./errors";

export interface Session {
  session: string;
  expires_at: string;
  /** The namespaces that it is for; null for all. */
  namespaces: string[] | null;
}

const STORED_AS = "exospherehost.session";
const PATH = "/ui/session";
export const SESSION_HEADER = "x-exosphere-session";

export const session = signal<Session | null>(read());
/** Whether even what needs no key elsewhere needs one here, as behind `exospherehost ui`. */
export const needsSignIn = signal(false);
/** Why there is no session any longer, for the page of the sign-in. */
export const signedOutBecause = signal("");

function read(): Session | null {
  try {
    return JSON.parse(sessionStorage.getItem(STORED_AS) ?? "null") as Session | null;
  } catch {
    return null;
  }
}

function keep(found: Session | null): void {
  session.value = found;
  if (found) sessionStorage.setItem(STORED_AS, JSON.stringify(found));
  else sessionStorage.removeItem(STORED_AS);
}

// A tab that is opened beside asks those that are there, which pages of this origin alone can hear.
// Answers mostly come before the page is drawn first; a later one is still taken.
const WAITED_MS = 15;
const ASKED_MS = 2_000;
let channel: BroadcastChannel | null = null;

/** Shares the session with the other tabs: what one has, a new one has too, and signing out ends it in each. */
export function shareWithTabs(): Promise<void> {
  channel = new BroadcastChannel(STORED_AS);
  return new Promise((resolve) => {
    let isAsking = session.value === null;
    channel!.onmessage = ({ data }: MessageEvent<{ kind: string; held?: Session }>) => {
      if (data.kind === "ask" && session.value) channel!.postMessage({ kind: "have", held: session.value });
      else if (data.kind === "have" && isAsking && !session.value && data.held) {
        isAsking = false;
        keep(data.held);
        resolve();
      } else if (data.kind === "out" && data.held?.session === session.value?.session) keep(null);
    };
    if (!isAsking) resolve();
    else {
      channel!.postMessage({ kind: "ask" });
      setTimeout(resolve, WAITED_MS);
      setTimeout(() => (isAsking = false), ASKED_MS);
    }
  });
}

async function open(init: RequestInit): Promise<void> {
  const response = await fetch(PATH, { method: "POST", cache: "no-store", ...init });
  if (!response.ok) throw new Error(await detailOf(response));
  signedOutBecause.value = "";
  needsSignIn.value = false;
  keep((await response.json()) as Session);
}

export function signInWithKey(key: string): Promise<void> {
  return open({ headers: { "x-api-key": key } });
}

export function signInWithLink(link: string): Promise<void> {
  return open({ headers: { "content-type": "application/json" }, body: JSON.stringify({ link }) });
}

/** Takes a link's token out of the address, so that neither history nor a copied address holds it. */
export function takeLink(): string | null {
  const match = /^#link=([\w-]+)$/.exec(location.hash);
  if (location.hash.startsWith("#link=")) history.replaceState(null, "", location.pathname + location.search);
  return match?.[1] ?? null;
}

export function forget(because: string): void {
  signedOutBecause.value = because;
  keep(null);
}

export async function signOut(): Promise<void> {
  const token = session.value?.session;
  channel?.postMessage({ kind: "out", held: session.value });
  forget("");
  if (token) await fetch(PATH, { method: "DELETE", headers: { [SESSION_HEADER]: token } }).catch(() => undefined);
}

// A run's events, read as they come. Not by EventSource, which can send no header.
import { inNamespace, send } from "./client";
import type { RunEvent } from "./types";

export interface Message {
  kind: string;
  event: RunEvent;
}

/** Turns the text of a stream of server-sent events into messages; what is cut off waits for the rest. */
export class EventReader {
  #rest = "";

  read(text: string): Message[] {
    const parts = (this.#rest + text).split("\n\n");
    this.#rest = parts.pop() ?? "";
    return parts.map(parse).filter((message) => message !== null);
  }
}

function parse(part: string): Message | null {
  let kind = "message";
  let data = "";
  for (const line of part.split("\n")) {
    if (line.startsWith("event:")) kind = line.slice(6).trim();
    else if (line.startsWith("data:")) data += line.slice(5).trimStart();
  }
  return data ? { kind, event: JSON.parse(data) as RunEvent } : null;
}

/** Follows a run until its end, the stream's or the signal; returns whether the run has ended. */
export async function followRun(
  ns: string,
  run: string,
  after: string | null,
  onMessages: (messages: Message[]) => void,
  signal: AbortSignal,
): Promise<boolean> {
  const headers: Record<string, string> = { accept: "text/event-stream" };
  if (after) headers["last-event-id"] = after;
  const response = await send(inNamespace(ns, "runs", run, "events"), { headers, signal });
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  const events = new EventReader();
  let ended = false;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return ended;
    const messages = events.read(value);
    ended ||= messages.some((message) => message.kind === "end");
    if (messages.length) onMessages(messages);
  }
}

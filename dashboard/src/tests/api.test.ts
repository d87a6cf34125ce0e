import { expect, test } from "vitest";
import { EventReader } from "../api/events";
import { ApiError, detailOf } from "../api/errors";
import { toCsv } from "../lib/copy";
import { ago, duration, instant } from "../lib/time";

const answer = (status: number, body: string) => new Response(body, { status, statusText: "Said So" });

test("a refusal is shown in the service's words", async () => {
  expect(await detailOf(answer(400, '{"detail":"State is not queued"}'))).toBe("State is not queued");
  expect(await detailOf(answer(422, '{"detail":[{"loc":["body","store","k"],"msg":"Field required"},{"loc":["body"],"msg":"Bad"}]}'))).toBe(
    "store.k: Field required\nBad",
  );
  expect(await detailOf(answer(502, "<html>"))).toBe("The service answered 502 Said So");
  expect(new ApiError(404, "gone").status).toBe(404);
});

test("events are read whole, wherever the stream is cut", () => {
  const text = 'id: 0.1.0\nevent: state\ndata: {"event_id":"0.1.0","status":"SUCCESS"}\n\n:\n\nid: 0.2.0\nevent: end\ndata: {"event_id":"0.2.0"}\n\n';
  for (let cut = 0; cut <= text.length; cut++) {
    const reader = new EventReader();
    const messages = [...reader.read(text.slice(0, cut)), ...reader.read(text.slice(cut))];
    expect(messages.map(({ kind, event }) => [kind, event.event_id])).toEqual([
      ["state", "0.1.0"],
      ["end", "0.2.0"],
    ]);
  }
});

test("a table of text is safe in a spreadsheet", () => {
  expect(toCsv([["a", 1, null], ['say "hi"', "=1+1", "x,y\nz"]])).toBe('a,1,\r\n"say ""hi""",\'=1+1,"x,y\nz"\r\n');
});

test.each([
  [0, "0 ms"],
  [999, "999 ms"],
  [1_234, "1.23 s"],
  [59_949, "59.9 s"],
  [59_960, "1 min 0 s"],
  [3_599_999, "1 h 0 min"],
  [90_000_000, "1 d 1 h"],
  [-5, "0 ms"],
])("durations: %i", (ms, text) => expect(duration(ms)).toBe(text));

test.each([
  [0, "just now"],
  [-60_000, "1 min ago"],
  [-90_000_000, "1 d ago"],
  [120_000, "in 2 min"],
])("times as they are told: %i", (offset, text) => expect(ago(1e12 + offset, 1e12)).toBe(text));

test("a time without an offset is in UTC, as the hosted service means it", () => {
  expect(instant("2026-03-01T09:30:00.123000")).toBe(Date.UTC(2026, 2, 1, 9, 30, 0, 123));
  expect(instant("2026-03-01T10:30:00+01:00")).toBe(Date.UTC(2026, 2, 1, 9, 30));
  expect(instant("nonsense")).toBeNull();
  expect(instant(null)).toBeNull();
});

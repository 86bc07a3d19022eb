import { expect, test } from "bun:test";
import { progressLine } from "../../src/core/progress-line.ts";
import type { Clock } from "../../src/core/seams/clock.ts";

function terminal(isTty: boolean) {
  const written: string[] = [];
  return { written, isTty, write: (text: string) => void written.push(text) };
}

test("a terminal sees at most five lines a second, each over the last, and none when it is over", () => {
  const output = terminal(true);
  let nowMs = 0;
  const line = progressLine(output, { monotonicMs: () => nowMs } as Clock);
  for (; nowMs <= 1000; nowMs += 50) line.show(`at ${nowMs}`);
  line.end();
  const start = "\r\u001b[K";
  const shown = [0, 200, 400, 600, 800, 1000].map((ms) => `${start}at ${ms}`);
  expect(output.written).toEqual([...shown, start]);
});

test("a pipe sees nothing", () => {
  const output = terminal(false);
  const line = progressLine(output, { monotonicMs: () => 0 } as Clock);
  line.show("x");
  line.end();
  expect(output.written).toEqual([]);
});

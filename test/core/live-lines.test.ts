/** Lines that change in place: what a person sees, on a terminal and in a file. */
import { expect, test } from "bun:test";
import { LiveLines } from "../../src/core/live-lines.ts";
import { sleep } from "../../src/core/seams/clock.ts";
import { SimClock } from "../../src/core/sim/clock.ts";
import { Scheduler } from "../../src/core/sim/scheduler.ts";
import { Screen } from "../screen.ts";

function inTime(
  rows: number | undefined,
  work: (lines: LiveLines, seen: () => string[], pass: (ms: number) => Promise<void>) => Promise<void>,
): string[] {
  const scheduler = new Scheduler(1);
  const clock = new SimClock(scheduler);
  const screen = new Screen();
  const output = {
    isTty: rows !== undefined,
    columns: rows === undefined ? undefined : 40,
    rows,
    write: (text: string) => screen.write(text),
  };
  scheduler.run(async () => {
    const lines = new LiveLines(output, clock);
    await work(
      lines,
      () => screen.lines,
      (ms) => sleep(clock, ms),
    );
    lines.end();
  });
  return screen.lines;
}

test("on a terminal each thing has one line, with how long it has been at it; what is over stays with its time", () => {
  const left = inTime(24, async (lines, seen, pass) => {
    lines.title("[1/2] upload");
    lines.set("a", "uploading", "10 %");
    lines.set("b", "uploading");
    await pass(3000);
    lines.set("a", "uploading", "90 %");
    lines.set("b", "done");
    expect(seen()).toEqual(["[1/2] upload  3 s", "  a:    3 s  uploading: 90 %", "  b:    0 s  done"]);
    // Time goes on by itself.
    await pass(2500);
    expect(seen()).toEqual(["[1/2] upload  5 s", "  a:    5 s  uploading: 90 %", "  b:    2 s  done"]);
    lines.say("b: something that stays");
    lines.title("[2/2] replace dht");
    lines.set("a", "dht0 starting", "two\nlines\u0007and much more than fits on one line");
    expect(seen()).toEqual([
      "b: something that stays",
      "[1/2] upload  5 s",
      "[2/2] replace dht  0 s",
      "  a:    0 s  dht0 starting: two lines a",
    ]);
    await pass(1000);
  });
  expect(left).toEqual(["b: something that stays", "[1/2] upload  5 s", "[2/2] replace dht  1 s"]);
});

test("there are never more lines than the terminal has, and the newest are shown", () => {
  inTime(8, async (lines, seen) => {
    lines.title("all");
    for (let index = 0; index < 50; index++) lines.set(`h${index}`, "connecting");
    lines.set("h7", "ready");
    expect(seen()).toEqual([
      "all  0 s",
      "  h7:    0 s  ready",
      ...["h46", "h47", "h48", "h49"].map((host) => `  ${host}:    0 s  connecting`),
      "  and 45 more",
    ]);
  });
});

test("elsewhere each change is a line, once", () => {
  const left = inTime(undefined, async (lines, _, pass) => {
    lines.title("[1/1] restart dht");
    lines.set("a", "dht0 stopping");
    lines.set("a", "dht0 stopping");
    await pass(5000);
    lines.set("a", "dht0 healthy");
    lines.say("that is it");
  });
  expect(left).toEqual(["[1/1] restart dht", "a: dht0 stopping", "a: dht0 healthy", "that is it"]);
});

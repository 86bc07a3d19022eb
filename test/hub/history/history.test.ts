/** What graphs are drawn from: kept over restarts, coarser with age, bounded, and never in the way of the hub. */
import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmdirSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { SERIES_MAX } from "../../../src/hub/history/history.ts";
import { START_MS, TestHistory } from "./harness.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

function alter(path: string, statement: string): void {
  const database = new Database(path);
  database.run(statement);
  database.close();
}

describe("a line", () => {
  test("has every value of the last minutes, and gaps where there was none", async () => {
    using place = new TestHistory();
    const history = await place.open();
    place.fill(history, 5, (index) => (index === 2 ? undefined : index * 10));
    const { atMs, mean } = history.read("p.dht0", "requests", START_MS, place.nowMs);
    expect(atMs).toEqual([0, 1, 2, 3, 4].map((second) => START_MS + second * 1000));
    expect(mean).toEqual([0, 10, null, 30, 40]);
    expect(history.read("p.dht0", "other", START_MS, place.nowMs).atMs).toEqual([]);
    history.close();
  });

  test("is there after a restart, by ten seconds, with means and largest values", async () => {
    using place = new TestHistory();
    const first = await place.open();
    place.fill(first, 60, (index) => index % 10);
    first.close();
    const second = await place.open();
    const { atMs, mean, max } = second.read("p.dht0", "requests", START_MS, place.nowMs);
    expect(atMs).toEqual([0, 10, 20, 30, 40, 50].map((seconds) => START_MS + seconds * 1000));
    expect(mean).toEqual([4.5, 4.5, 4.5, 4.5, 4.5, 4.5]);
    expect(max).toEqual([9, 9, 9, 9, 9, 9]);
    second.close();
  });

  test("is left alone by whoever records after the end", async () => {
    using place = new TestHistory();
    const first = await place.open();
    place.fill(first, 30, () => 7);
    first.close();
    place.fill(first, 3, () => 8);
    first.addHappening({ atMs: place.nowMs, instance: "p.dht0", kind: "silent", text: "" });
    first.close();
    expect(place.lines).toEqual([]);
    expect(existsSync(`${place.path}.damaged`)).toBe(false);
    const second = await place.open();
    expect(second.read("p.dht0", "requests", START_MS, place.nowMs).mean).toEqual([7, 7, 7]);
    second.close();
  });

  test("continues after a restart where it ended, and shows the time in between as a gap", async () => {
    using place = new TestHistory();
    const first = await place.open();
    place.fill(first, 30, () => 7);
    first.close();
    place.nowMs += 2 * MINUTE_MS;
    const second = await place.open();
    place.fill(second, 3, () => 9);
    const { mean } = second.read("p.dht0", "requests", START_MS, place.nowMs);
    expect(mean).toEqual([7, 7, 7, 9, 9, 9]);
    place.fill(second, 30 * 60, () => 9, 1000);
    const wide = second.read("p.dht0", "requests", START_MS, place.nowMs);
    expect(wide.mean.slice(0, 5)).toEqual([7, 7, 7, null, 9]);
    second.close();
  });

  test("of a day is drawn by the minute, of a month by the quarter of an hour", async () => {
    using place = new TestHistory();
    const history = await place.open();
    place.fill(history, 6 * 360, (index) => index, 10_000);
    const day = history.read("p.dht0", "requests", place.nowMs - DAY_MS, place.nowMs);
    expect((day.atMs[1] ?? 0) - (day.atMs[0] ?? 0)).toBe(MINUTE_MS);
    expect(day.mean[0]).toBe(2.5); // of 0 to 5
    const month = history.read("p.dht0", "requests", place.nowMs - 30 * DAY_MS, place.nowMs);
    expect((month.atMs[1] ?? 0) - (month.atMs[0] ?? 0)).toBe(15 * MINUTE_MS);
    expect(month.mean[0]).toBe(44.5); // of 0 to 89
    expect(month.max[0]).toBe(89);
    history.close();
  });

  test("keeps its coarse points right over restarts at any moment", async () => {
    using place = new TestHistory();
    for (let life = 0; life < 12; life++) {
      const history = await place.open();
      place.fill(history, 27, () => 1 + life, 10_000);
      history.close();
    }
    const history = await place.open();
    const { mean } = history.read("p.dht0", "requests", START_MS - 20 * DAY_MS, place.nowMs);
    // 27 values of 1, 27 of 2 …; a quarter of an hour is 90 of them. A life's last ten seconds may be begun anew.
    expect(mean[0] ?? 0).toBeCloseTo((27 + 54 + 81 + 9 * 4) / 90, 1);
    expect(mean[1] ?? 0).toBeCloseTo((18 * 4 + 27 * 5 + 27 * 6 + 18 * 7) / 90, 1);
    history.close();
  });
});

describe("the file", () => {
  test("holds rows of each detail only as long as they are wanted", async () => {
    using place = new TestHistory();
    const history = await place.open(1);
    place.fill(history, 3 * 24 * 60, () => 1, MINUTE_MS);
    history.close();
    const database = new Database(place.path);
    const rows = database.query("select level, count(*) as count from row group by level").all();
    database.close();
    const counts = Object.fromEntries(
      (rows as { level: number; count: number }[]).map(({ level, count }) => [level, count]),
    );
    expect(counts[0]).toBeLessThanOrEqual(122);
    expect(counts[1]).toBeLessThanOrEqual(24 * 60 + 2);
    expect(counts[2]).toBeLessThanOrEqual(98);
  });

  test("does not grow beyond its limit: the finest and oldest rows go first", async () => {
    using place = new TestHistory();
    place.bytesMax = 1024 * 1024;
    const history = await place.open();
    const figures = new Map(Array.from({ length: 300 }, (_, index) => [`f${index}`, index]));
    for (let step = 0; step < 900; step++) {
      history.record(place.nowMs, new Map([["p.dht0", figures]]));
      place.nowMs += 10_000;
    }
    expect(history.bytes).toBeLessThan(2 * place.bytesMax);
    expect(history.read("p.dht0", "f7", place.nowMs - HOUR_MS, place.nowMs).mean).toContain(7);
    history.close();
  });

  test("has a bounded number of lines, whatever instances say", async () => {
    using place = new TestHistory();
    const history = await place.open();
    const figures = new Map(Array.from({ length: SERIES_MAX + 10 }, (_, index) => [`f${index}`, 1]));
    history.record(place.nowMs, new Map([["p.dht0", figures]]));
    place.nowMs += 1000;
    expect(history.read("p.dht0", `f${SERIES_MAX - 1}`, START_MS, place.nowMs).atMs).toHaveLength(1);
    expect(history.read("p.dht0", `f${SERIES_MAX + 1}`, START_MS, place.nowMs).atMs).toHaveLength(0);
    history.close();
  });

  const damages: [string, (path: string) => void][] = [
    [
      "garbage",
      (path) =>
        writeFileSync(path, "this is no database at all, but it is long enough to look at".repeat(100)),
    ],
    ["a file that was cut", (path) => truncateSync(path, Math.floor(statSync(path).size / 2) - 100)],
    [
      "flipped bytes",
      (path) => {
        const file = openSync(path, "r+");
        for (let at = 4096; at < statSync(path).size; at += 997)
          writeSync(file, Buffer.from([0xa5]), 0, 1, at);
      },
    ],
    ["one of another version", (path) => alter(path, "pragma user_version = 99")],
    ["somebody else's database", (path) => alter(path, "pragma application_id = 7")],
  ];
  test.each(damages)(
    "that is %s is put aside with an error that says so, and a fresh one is begun",
    async (_, damage) => {
      using place = new TestHistory();
      const first = await place.open();
      place.fill(first, 600, () => 1);
      first.close();
      damage(place.path);
      const second = await place.open();
      expect(place.lines.join()).toContain("the history of the graphs cannot be read and is begun anew");
      expect(place.lines.join()).toContain("NX_DATA_CORRUPT");
      expect(existsSync(`${place.path}.damaged`)).toBe(true);
      place.fill(second, 3, () => 2);
      expect(second.read("p.dht0", "requests", place.nowMs - 3000, place.nowMs).mean).toEqual([2, 2, 2]);
      second.close();
      expect(readFileSync(place.path, "latin1")).toStartWith("SQLite format 3");
    },
  );

  test("that cannot be opened leaves live graphs, and is written once it can", async () => {
    using place = new TestHistory();
    const first = await place.open();
    place.fill(first, 30, () => 7);
    first.close();
    const bytes = readFileSync(place.path);
    renameSync(place.path, `${place.path}.there`);
    mkdirSync(place.path); // SQLite cannot open a directory
    const second = await place.open();
    place.fill(second, 3, () => 8);
    expect(second.read("p.dht0", "requests", START_MS, place.nowMs).mean).toEqual([8, 8, 8]);
    expect(place.lines.join()).toContain("the history of the graphs is not written");
    expect(existsSync(`${place.path}.damaged`)).toBe(false);
    rmdirSync(place.path);
    renameSync(`${place.path}.there`, place.path);
    expect(readFileSync(place.path).equals(bytes)).toBe(true);
    place.nowMs += MINUTE_MS;
    for (let tries = 0; tries < 100 && second.bytes === 0; tries++) {
      place.fill(second, 1, () => 9);
      await Bun.sleep(1);
    }
    place.fill(second, 30, () => 9);
    second.close();
    const third = await place.open();
    const { mean } = third.read("p.dht0", "requests", START_MS, place.nowMs);
    expect([mean.includes(7), mean.includes(9)]).toEqual([true, true]);
    third.close();
  });

  test("that breaks while the hub runs costs the graphs so far and nothing else", async () => {
    using place = new TestHistory();
    const history = await place.open();
    place.fill(history, 30, () => 1);
    alter(place.path, "drop table row");
    place.fill(history, 30, () => 2);
    expect(place.lines.join()).toContain("is begun anew");
    const deadline = performance.now() + 60_000;
    for (;;) {
      place.fill(history, 1, () => 3);
      const { mean } = history.read("p.dht0", "requests", place.nowMs - 1000, place.nowMs);
      if (mean.includes(3) || performance.now() > deadline) break;
      await Bun.sleep(1);
    }
    expect(history.read("p.dht0", "requests", place.nowMs - 1000, place.nowMs).mean).toContain(3);
    history.close();
  });
});

test("what happened is kept over a restart, newest first, and bounded", async () => {
  using place = new TestHistory();
  const first = await place.open();
  for (let index = 0; index < 5100; index++)
    first.addHappening({ atMs: START_MS + index, instance: "p.dht0", kind: "restarted", text: `${index}` });
  first.close();
  const second = await place.open();
  const found = second.happenings(0, 10_000);
  expect(found[0]).toEqual({ atMs: START_MS + 5099, instance: "p.dht0", kind: "restarted", text: "5099" });
  expect(found).toHaveLength(5000);
  expect(second.happenings(START_MS + 5098, 10)).toHaveLength(2);
  second.close();
});

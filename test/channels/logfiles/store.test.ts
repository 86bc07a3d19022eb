/** The store of a logfiles node on a simulated disk: moving into files, joining, removing, retention, slow readers. */
import { describe, expect, test } from "bun:test";
import { everything } from "../../../src/channels/logfiles/scan/request.ts";
import type { LogStore } from "../../../src/channels/logfiles/store/log-store.ts";
import { seededRandom } from "../../../src/core/seams/random.ts";
import { SimClock } from "../../../src/core/sim/clock.ts";
import { SimDisk } from "../../../src/core/sim/disk.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";
import { type HarnessOptions, openStore, put, read, readAll } from "./store-harness.ts";

class Place {
  readonly scheduler = new Scheduler(1);
  readonly disk = new SimDisk(this.scheduler);
  readonly clock = new SimClock(this.scheduler);

  run<Value>(main: () => Promise<Value>): Value {
    return this.scheduler.run(main, { timeLimitMs: 36_000_000 });
  }

  open(options: HarnessOptions = {}): Promise<LogStore> {
    return openStore({ disk: this.disk, clock: this.clock, random: this.scheduler.fork() }, options);
  }
}

const segmentsIn = async (place: Place, channel: string) =>
  (await place.disk.list(`/data/channels/${channel}`)).filter(({ name }) => name.endsWith(".nxr"));

/** Random keys in few buckets, and in many; what a plain model says the order is. */
function model(records: readonly { key: number; value: string }[], low = 0, high = Number.MAX_SAFE_INTEGER) {
  return records
    .filter(({ key }) => key >= low && key <= high)
    .toSorted((a, b) => Math.floor(a.key / 4096) - Math.floor(b.key / 4096))
    .map(({ key, value }) => `${key} ${value}`);
}

describe.each(["segments", "classic"] as const)("layout %s", (layout) => {
  test("agrees with a plain model through seals, restarts and any ranges", () => {
    const random = seededRandom(11);
    const place = new Place();
    place.run(async () => {
      let store = await place.open({ layout, joinCount: 3 });
      const records: { key: number; value: string }[] = [];
      for (let round = 0; round < 12; round++) {
        for (let count = random.integer(60); count > 0; count--) {
          const key = random.integer(random.integer(2) === 0 ? 20_000 : 1e9);
          const value = `${records.length} ${"x".repeat(random.integer(300))}`;
          records.push({ key, value });
          put(store, "ch", BigInt(key), value);
        }
        if (random.integer(2) === 0) await store.sealAll();
        if (random.integer(4) === 0) {
          await store.close();
          store = await place.open({ layout, joinCount: 3 });
        }
        expect(await read(store, "ch")).toEqual(model(records));
        const [a, b] = [random.integer(30_000), random.integer(30_000)];
        const found = await read(store, "ch", { low: BigInt(a), high: BigInt(b) });
        expect(found).toEqual(a > b ? [] : model(records, a, b));
        const filter = { mode: "regex" as const, pattern: Buffer.from("^1\\d* x*$") };
        const matching = model(records.filter(({ value }) => /^1\d* x*$/.test(value)));
        expect(await read(store, "ch", { filter })).toEqual(matching);
        expect(store.channel("ch")?.figures.records ?? 0).toBe(records.length);
      }
      await store.close();
    });
  });

  test("a file that is given away goes; one that was written to, joined or removed meanwhile stays", () => {
    const place = new Place();
    place.run(async () => {
      const store = await place.open({ layout, joinCount: 2 });
      const first = async () => {
        for await (const movable of store.movables()) return movable;
        throw new Error("there is no file");
      };
      put(store, "ch", 1n, "one");
      put(store, "ch", 2n, "two");
      const before = await first();
      put(store, "ch", 3n, "three");
      // Into the same bucket file, or into a segment that is then joined with the first.
      await store.sealAll();
      expect(await store.removeMoved(before, 2)).toBe(false);
      const all = ["1 one", "2 two", "3 three"];
      expect(await read(store, "ch")).toEqual(all);
      expect(await store.removeMoved(await first(), all.length + 1)).toBe(false);
      expect(await store.removeMoved(await first(), all.length)).toBe(true);
      expect(await read(store, "ch")).toEqual([]);
      expect(store.channel("ch")?.figures.records).toBe(0);
      put(store, "ch", 4n, "four");
      const last = await first();
      store.remove("ch");
      await store.settleRemovals();
      expect(await store.removeMoved(last, 1)).toBe(false);
      await store.close();
    });
  });

  test("a scan is not disturbed by what is written, sealed and removed meanwhile", () => {
    const place = new Place();
    place.run(async () => {
      const store = await place.open({ layout, joinCount: 2 });
      const wanted: string[] = [];
      for (let index = 0; index < 40; index++) {
        const value = `${index} ${"y".repeat(30_000)}`;
        put(store, "ch", BigInt(index * 1000), value);
        wanted.push(`${index * 1000} ${value}`);
        if (index === 20) await store.sealAll();
      }
      const pieces = store.scan("ch", { ...everything, output: "lines", batchBytes: 0 });
      const parts: Uint8Array[] = [];
      for (
        let piece = await pieces?.next(), step = 0;
        piece !== undefined;
        piece = await pieces?.next(), step++
      ) {
        parts.push(piece);
        if (step === 0) await store.sealAll();
        put(store, "ch", 50n, "later");
        if (step === 1) await store.sealAll();
        // The classic layout has no files of its own to keep for a reader: a removal may cut its answer short.
        if (step === 2 && layout === "segments") store.remove("ch");
      }
      await pieces?.close();
      const lines = Buffer.concat(parts).toString().trimEnd().split("\n");
      expect(lines.map((line) => JSON.parse(line).value)).toEqual(
        wanted.map((line) => line.slice(line.indexOf(" ") + 1)),
      );
      await store.close();
    });
  });

  test("retention removes what is old, and only that", () => {
    const place = new Place();
    place.run(async () => {
      const nowSeconds = Math.floor(place.clock.nowMs() / 1000);
      const store = await place.open({ layout, retention: { ageSecondsMax: 50_000, fileBytesMax: 0 } });
      for (const age of [200_000, 190_000]) put(store, "ch", BigInt(nowSeconds - age), "old");
      await store.sealAll();
      put(store, "ch", BigInt(nowSeconds - 10), "young");
      await store.sealAll();
      await store.expire();
      expect(await read(store, "ch")).toEqual([`${nowSeconds - 10} young`]);
      expect(store.channel("ch")?.figures.records).toBe(1);
      await store.close();
      const again = await place.open({ layout });
      expect(await readAll(again)).toEqual({ ch: [`${nowSeconds - 10} young`] });
      await again.close();
    });
  });

  test("retention by size removes the oldest first", () => {
    const place = new Place();
    place.run(async () => {
      const random = seededRandom(3);
      const retention = { ageSecondsMax: 0, fileBytesMax: 40_000 };
      const store = await place.open({ layout, joinCount: 100, retention });
      for (let index = 0; index < 10; index++) {
        put(store, "ch", BigInt(index * 10_000), Buffer.from(random.bytes(5000)).toString("hex"));
        await store.sealAll();
      }
      await store.expire();
      const left = (await read(store, "ch")).map((line) => Number(line.split(" ")[0]));
      expect(left.length).toBeGreaterThan(2);
      expect(left.length).toBeLessThan(9);
      expect(left.at(-1)).toBe(90_000);
      expect(left).toEqual(
        Array.from({ length: left.length }, (_, index) => (10 - left.length + index) * 10_000),
      );
      await store.close();
    });
  });

  test("a seal that fails keeps everything, and is tried again", () => {
    const place = new Place();
    place.run(async () => {
      const store = await place.open({ layout });
      put(store, "ch", 1n, "one");
      put(store, "ch", 9000n, "two");
      await store.flush();
      place.disk.failLater({ nth: 3, isSticky: false, errno: "ENOSPC", operations: ["write"] });
      await store.sealAll();
      expect(place.disk.hasFailed).toBe(true);
      expect(store.trouble).toContain("full");
      expect(await read(store, "ch")).toEqual(["1 one", "9000 two"]);
      put(store, "ch", 2n, "three");
      await store.sealAll();
      expect(store.trouble).toBeUndefined();
      expect(await read(store, "ch")).toEqual(["1 one", "2 three", "9000 two"]);
      await store.close();
      const again = await place.open({ layout });
      expect(await read(again, "ch")).toEqual(["1 one", "2 three", "9000 two"]);
      await again.close();
    });
  });
});

test("small segments are joined, and keys in any order make no file each", () => {
  const place = new Place();
  place.run(async () => {
    const random = seededRandom(5);
    const store = await place.open({ joinCount: 4 });
    for (let seal = 0; seal < 16; seal++) {
      for (let count = 0; count < 200; count++) put(store, "ch", BigInt(random.integer(2 ** 47)) << 16n, "x");
      await store.sealAll();
    }
    expect((await segmentsIn(place, "ch")).length).toBeLessThan(7);
    expect((await read(store, "ch")).length).toBe(3200);
    await store.close();
  });
});

test("a reader that stalls is cut off before memory runs out for it", () => {
  const place = new Place();
  place.run(async () => {
    const store = await place.open({ memtableBytes: 65_536 });
    const aborted: number[] = [];
    const scans = [];
    for (let round = 0; round < 12; round++) {
      for (let count = 0; count < 3; count++) put(store, "ch", BigInt(round), "z".repeat(60_000));
      scans.push(
        store.scan("ch", { ...everything, output: "lines", batchBytes: 0 }, () => aborted.push(round)),
      );
      await store.sealAll();
    }
    expect(aborted.length).toBeGreaterThan(0);
    expect(aborted).toEqual(Array.from({ length: aborted.length }, (_, index) => index));
    await expect(scans[0]?.next()).rejects.toThrow("not read fast enough");
    for (const scan of scans) await scan?.close();
    await store.close();
  });
});

test("buffered: nothing waits for the disk, and an orderly stop keeps everything", () => {
  const place = new Place();
  place.run(async () => {
    const store = await place.open({ durability: "buffered" });
    put(store, "ch", 1n, "one");
    expect(store.position).toBe(0);
    expect(store.durablePosition).toBe(0);
    await store.close();
    const again = await place.open({ durability: "buffered" });
    expect(await read(again, "ch")).toEqual(["1 one"]);
    await again.close();
  });
});

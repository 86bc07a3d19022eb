/**
 * What every engine of a frontend keeps (src/reactive/engines/engine.ts), asked of two of one store.
 *
 * The interleavings and histories that tell isolation levels apart are asked of whole frontends, by hermitage.test.ts and
 * store-isolation.test.ts.
 */
import { describe, expect, test } from "bun:test";
import { elementPart, fieldPart, indexPart } from "../../../src/reactive/shard/operations.ts";
import { Level } from "../../../src/reactive/shard/transaction.ts";
import type { KeyRange } from "../../../src/reactive/engines/engine.ts";
import type { Rig } from "./rigs.ts";
import { add, Asking, key, type Offer, plain, put, transaction, watch } from "./words.ts";

const levels = Object.entries(Level);

export function engineContract(name: string, open: () => Rig): void {
  const scene = (claim: string, play: (rig: Rig, one: Asking, other: Asking) => Promise<void>) =>
    test(claim, async () => {
      const rig = open();
      try {
        await play(rig, new Asking(rig, rig.engines[0]), new Asking(rig, rig.engines[1]));
      } finally {
        rig.close();
      }
    });

  describe(`${name}, reads`, () => {
    scene(
      "a timestamp is at or above all that was acknowledged, and shows it whole",
      async (_, one, other) => {
        const first = await one.write({ a: [put("1")], b: [put("1")] });
        const at = await other.fresh();
        expect(at).toBeGreaterThanOrEqual(first);
        const second = await other.write({ a: [put("2")], b: [put("2")] });
        expect(second).toBeGreaterThan(first);
        expect(await one.read(["a", "b"], at)).toEqual(["1", "1"]);
        expect(await one.read(["a", "b"])).toEqual(["2", "2"]);
        expect(await other.read(["a", "b"], second)).toEqual(["2", "2"]);
        expect((await one.versions(["a", "c"])).map(({ start }) => start)).toEqual([second, 0]);
      },
    );

    scene(
      "what is read is valid up to its end, and a deleted key has the version of its delete",
      async (_, one) => {
        const first = await one.write({ a: [put("1")] });
        const gone = await one.write({ a: [{ kind: "delete" }] });
        const [then, now] = [await one.versions(["a"], first), await one.versions(["a"], await one.fresh())];
        expect(then[0]?.end).toBeLessThan(gone);
        expect(now[0]).toMatchObject({ start: gone, type: 0 });
      },
    );

    scene(
      "a range is of one moment, in order, goes on behind a key, and passes over what is deleted",
      async (rig, one) => {
        const names = Array.from({ length: 30 }, (_, index) => `k${String(index).padStart(2, "0")}`);
        await one.write(Object.fromEntries(names.map((each) => [each, [put(each)]])));
        await one.write({ k03: [{ kind: "delete" }], l: [put("outside")] });
        const at = await one.fresh();
        await one.write({ k05: [put("later")], k055: [put("later")] });
        const seen: unknown[] = [];
        let from: KeyRange = { from: key("k"), after: false, to: key("l") };
        for (let isMore = true; isMore;) {
          const page = await rig.run(rig.engines[1].scan(from, 7, at));
          expect(page.timestamp).toBe(at);
          seen.push(...page.entries.map(plain));
          isMore = page.isMore;
          from = { ...from, from: page.entries.at(-1)?.key ?? key("l"), after: true };
        }
        expect(seen).toEqual(names.filter((each) => each !== "k03"));
      },
    );

    scene("many keys are read at one moment, however many requests that takes", async (rig, one, other) => {
      const names = Array.from({ length: 300 }, (_, index) => `many${index}`);
      for (let at = 0; at < 300; at += 100)
        await one.write(Object.fromEntries(names.slice(at, at + 100).map((each) => [each, [put("old")]])));
      const reading = rig.engines[0].read(names.map(key), undefined);
      const writing = rig.engines[1].commit(
        transaction({ writes: { many0: [put("new")], many299: [put("new")] } }),
      );
      await rig.run(Promise.all([reading, writing]));
      const values = (await reading).versions.map(plain);
      expect(values).toHaveLength(300);
      expect(values[0]).toEqual(values[299]);
      expect(await other.read(["many0", "many299"])).toEqual(["new", "new"]);
    });
  });

  describe(`${name}, read committed`, () => {
    scene(
      "each key is read as it was committed; what is acknowledged is there when nothing is under way",
      async (rig, one, other) => {
        expect(await one.committed(["a", "b"])).toEqual([undefined, undefined]);
        await other.write({ a: [put("1")], b: [put("1")] });
        expect(await one.committed(["a", "b", "c"])).toEqual(["1", "1", undefined]);
        const writing = rig.engines[1].commit(
          transaction({ level: Level.readCommitted, writes: { a: [put("2")], b: [put("2")] } }),
        );
        const seen = rig.engines[0].readCommitted(["a", "b"].map(key));
        await rig.run(Promise.all([writing, seen]));
        for (const version of (await seen).versions) expect(plain(version)).toBeOneOf(["1", "2"]);
        expect(await one.committed(["a", "b"])).toEqual(["2", "2"]);
      },
    );
  });

  describe(`${name}, isolation`, () => {
    scene(
      "strict: what was read and has changed is refused, unchanged it is committed",
      async (_, one, other) => {
        await one.write({ a: [put("1")] });
        const [seen] = await one.versions(["a"]);
        const reads = { a: seen as never };
        expect(await one.commit({ reads, writes: { b: [put("on 1")] } })).toMatchObject({
          kind: "committed",
        });
        await other.write({ a: [put("2")] });
        expect(await one.commit({ reads, writes: { b: [put("on 1")] } })).toMatchObject({
          kind: "refused",
          reason: "stale",
        });
        expect(await one.commit({ reads })).toMatchObject({ kind: "refused", reason: "stale" });
        expect(await one.read(["b"])).toEqual(["on 1"]);
      },
    );

    scene("strict: a key that was seen to be absent is part of what was read", async (_, one, other) => {
      const [seen] = await one.versions(["a"]);
      await other.write({ a: [put("there")] });
      const offer: Offer = { reads: { a: seen as never }, writes: { b: [put("alone")] } };
      expect(await one.commit(offer)).toMatchObject({ kind: "refused", reason: "stale" });
    });

    scene("strict: of two that read each other's key one is refused at least", async (rig, one) => {
      await one.write({ a: [put("1")], b: [put("1")] });
      const [a, b] = await one.versions(["a", "b"]);
      const offers = [
        transaction({ reads: { b: b as never }, writes: { a: [put("2")] } }),
        transaction({ reads: { a: a as never }, writes: { b: [put("2")] } }),
      ];
      const results = await rig.run(
        Promise.all(offers.map((offer, index) => (rig.engines[index] as Rig["engines"][0]).commit(offer))),
      );
      expect(results.filter(({ kind }) => kind === "committed").length).toBeLessThan(2);
    });

    scene("snapshot: the first who writes wins, write skew is allowed", async (_, one, other) => {
      await one.write({ a: [put("1")], b: [put("1")] });
      const snapshot = await one.fresh();
      const level = Level.snapshot;
      const [a, b] = await one.versions(["a", "b"], snapshot);
      const both = { a: a as never, b: b as never };
      expect(await one.commit({ level, snapshot, reads: both, writes: { a: [put("2")] } })).toMatchObject({
        kind: "committed",
      });
      expect(await other.commit({ level, snapshot, reads: both, writes: { b: [put("2")] } })).toMatchObject({
        kind: "committed",
      });
      expect(await other.commit({ level, snapshot, writes: { a: [put("3")] } })).toMatchObject({
        kind: "refused",
        reason: "overwritten",
      });
      expect(await other.commit({ level, snapshot, reads: both })).toEqual({
        kind: "committed",
        timestamp: snapshot,
      });
    });

    scene("read committed: nothing is refused, what commutes is added up", async (_, one, other) => {
      await one.write({ a: [put("1")], n: [add(1)] });
      const [a] = await one.versions(["a"]);
      await other.write({ a: [put("2")], n: [add(10)] });
      const level = Level.readCommitted;
      expect(
        await one.commit({ level, reads: { a: a as never }, writes: { a: [put("3")], n: [add(100)] } }),
      ).toMatchObject({ kind: "committed" });
      expect(await one.read(["a", "n"])).toEqual(["3", 111]);
    });

    scene("operations that cannot be read are refused as invalid, for good", async (rig, one) => {
      const broken = transaction({ writes: { a: [put("1")] } });
      const { id } = broken;
      broken.accesses[0] = { key: key("a"), reads: [], operations: Uint8Array.of(99) };
      expect(await rig.run(rig.engines[0].commit(broken))).toMatchObject({
        kind: "refused",
        reason: "invalid",
      });
      expect(await one.commit({ number: id.number, writes: { a: [put("1")] } })).toEqual({ kind: "aborted" });
      expect(await one.read(["a"])).toEqual([undefined]);
    });
  });

  describe(`${name}, data types`, () => {
    test.each(levels)(
      "operations that commute never abort each other, and each counts once: %s",
      async (_name, level) => {
        const rig = open();
        try {
          const writes = (index: number) => ({
            n: [add(1)],
            log: [{ kind: "append", element: key(`e${index}`) } as const],
            all: [{ kind: "insert", element: key(`e${index % 5}`) } as const],
          });
          const snapshot = level === Level.snapshot ? await rig.run(rig.engines[0].nextTimestamp()) : 0;
          const results = await rig.run(
            Promise.all(
              Array.from({ length: 20 }, (_, index) =>
                (rig.engines[index % 2] as Rig["engines"][0]).commit(
                  transaction({ level, snapshot, writes: writes(index) }),
                ),
              ),
            ),
          );
          expect(new Set(results.map(({ kind }) => kind))).toEqual(new Set(["committed"]));
          const [n, log, all] = await new Asking(rig, rig.engines[0]).read(["n", "log", "all"]);
          expect([n, (log as string[]).length, new Set(log as string[]).size, all]).toEqual([
            20,
            20,
            20,
            ["e0", "e1", "e2", "e3", "e4"],
          ]);
        } finally {
          rig.close();
        }
      },
    );

    scene("who read one part of a value is not refused for another one", async (_, one, other) => {
      const at = await one.write({
        list: [
          { kind: "append", element: key("first") },
          { kind: "append", element: key("second") },
        ],
        set: [{ kind: "insert", element: key("x") }],
        map: [
          { kind: "mapSet", field: key("f"), value: key("1") },
          { kind: "mapSet", field: key("g"), value: key("1") },
        ],
      });
      const read = (part: ReturnType<typeof fieldPart>) => [{ part, version: at, wasPresent: true }];
      await other.write({
        list: [
          { kind: "setIndex", index: 1, element: key("changed") },
          { kind: "append", element: key("third") },
        ],
        set: [{ kind: "insert", element: key("y") }],
        map: [{ kind: "mapSet", field: key("g"), value: key("2") }],
      });
      const commit = (reads: NonNullable<Offer["reads"]>) =>
        one.commit({ reads, writes: { seen: [put("yes")] } });
      const fine = {
        list: read(indexPart(0)),
        set: read(elementPart(key("x"))),
        map: read(fieldPart(key("f"))),
      };
      expect(await commit(fine)).toMatchObject({ kind: "committed" });
      const changed: NonNullable<Offer["reads"]>[] = [
        { list: read(indexPart(1)) },
        { set: read(elementPart(key("y"))) },
        { map: read(fieldPart(key("g"))) },
      ];
      for (const reads of changed)
        expect(await commit(reads)).toMatchObject({ kind: "refused", reason: "stale" });
    });

    scene(
      "snapshot: writes of different parts are both kept, of one part the second is refused",
      async (_, one, other) => {
        await one.write({ map: [{ kind: "mapSet", field: key("f"), value: key("1") }] });
        const snapshot = await one.fresh();
        const set = (field: string, value: string): Offer => ({
          level: Level.snapshot,
          snapshot,
          writes: { map: [{ kind: "mapSet", field: key(field), value: key(value) }] },
        });
        expect(await one.commit(set("f", "2"))).toMatchObject({ kind: "committed" });
        expect(await other.commit(set("g", "2"))).toMatchObject({ kind: "committed" });
        expect(await other.commit(set("f", "3"))).toMatchObject({ kind: "refused", reason: "overwritten" });
        expect(await one.read(["map"])).toEqual([{ f: "2", g: "2" }]);
      },
    );
  });

  describe(`${name}, outcomes`, () => {
    scene(
      "a transaction that is sent again is not executed again, and gets the same answer",
      async (rig, one) => {
        const offer = transaction({ writes: { n: [add(1)] } });
        const answers = [];
        for (const engine of [0, 1, 0] as const)
          answers.push(await rig.run(rig.engines[engine].commit(offer)));
        expect(answers[1]).toEqual(answers[0] as never);
        expect(answers[2]).toEqual(answers[0] as never);
        expect(await one.read(["n"])).toEqual([1]);
        expect(await rig.run(rig.engines[1].resolve(offer.id, [key("n")]))).toEqual(answers[0] as never);
      },
    );

    scene("sent to two frontends at once it is executed once", async (rig, one) => {
      const offers = Array.from({ length: 5 }, (_, index) =>
        transaction({ writes: { n: [add(10 ** index)] } }),
      );
      const pairs = await rig.run(
        Promise.all(offers.map((offer) => Promise.all(rig.engines.map((engine) => engine.commit(offer))))),
      );
      for (const [first, second] of pairs) expect(second).toEqual(first as never);
      expect(await one.read(["n"])).toEqual([11111]);
    });

    scene("asked for while it is committed, it has one outcome, whatever else it read", async (rig, one) => {
      const names = ["a", "b", "c", "d"];
      for (const read of names)
        for (const written of names.filter((each) => each !== read)) {
          const [version] = await one.versions([read]);
          const offer = transaction({ reads: { [read]: version as never }, writes: { [written]: [add(1)] } });
          const [committed, asked] = await rig.run(
            Promise.all([rig.engines[0].commit(offer), rig.engines[1].resolve(offer.id, [key(written)])]),
          );
          expect([committed.kind, asked.kind]).toBeOneOf([
            ["committed", "committed"],
            ["aborted", "aborted"],
          ]);
        }
    });

    scene("one that nobody knows is aborted by who asks for it, and never committed", async (rig, one) => {
      const offer = transaction({ writes: { a: [put("1")] } });
      expect(await rig.run(rig.engines[0].resolve(offer.id, [key("a")]))).toEqual({ kind: "aborted" });
      expect((await rig.run(rig.engines[1].commit(offer))).kind).toBe("aborted");
      expect(await one.read(["a"])).toEqual([undefined]);
    });

    scene(
      "a refusal is final: sent again it is not committed, although nothing stands in its way",
      async (rig, one) => {
        const [seen] = await one.versions(["a"]);
        await one.write({ a: [put("1")] });
        const offer = transaction({ reads: { a: seen as never }, writes: { b: [put("1")] } });
        expect(await rig.run(rig.engines[0].commit(offer))).toMatchObject({ kind: "refused" });
        const willing = { ...offer, accesses: offer.accesses.map((access) => ({ ...access, reads: [] })) };
        expect((await rig.run(rig.engines[1].commit(willing))).kind).toBe("aborted");
        expect(await one.read(["b"])).toEqual([undefined]);
      },
    );

    scene("a transaction of many keys is done whole, or refused where there is a limit", async (rig, one) => {
      const { transactionKeysMax = 1000 } = rig.engines[0].capabilities;
      const writes = (count: number) =>
        Object.fromEntries(Array.from({ length: count }, (_, index) => [`w${index}`, [add(1)]]));
      await one.write(writes(transactionKeysMax));
      const more = rig.run(rig.engines[0].commit(transaction({ writes: writes(transactionKeysMax + 1) })));
      const isLimited = rig.engines[0].capabilities.transactionKeysMax !== undefined;
      if (isLimited) expect(await more.catch((error: unknown) => error)).toMatchObject({ code: "tooMany" });
      else await more;
      expect(await one.read(["w0", `w${transactionKeysMax - 1}`])).toEqual(isLimited ? [1, 1] : [2, 2]);
    });
  });

  describe(`${name}, capabilities`, () => {
    scene(
      "timestamps are given out once, or are the same while nothing is committed",
      async (rig, one, other) => {
        const at = await one.write({ a: [put("1")] });
        const [first, second] = [await one.fresh(), await other.fresh()];
        if (rig.engines[0].capabilities.hasUniqueTimestamps) expect(second).toBeGreaterThan(first);
        else expect([first, second]).toEqual([at, at]);
      },
    );

    scene(
      "a part that was changed and changed back is refused where operations are compared",
      async (rig, one, other) => {
        const set = (value: string) =>
          other.write({ map: [{ kind: "mapSet", field: key("f"), value: key(value) }] });
        const version = await set("1");
        await set("2");
        await set("1");
        const reads = { map: [{ part: fieldPart(key("f")), version, wasPresent: true }] };
        const { comparesOperations } = rig.engines[0].capabilities;
        const { kind } = await one.commit({ reads, writes: { a: [put("1")] } });
        expect(kind).toBe(comparesOperations ? "refused" : "committed");
      },
    );

    scene(
      "below its client's floor a transaction is forgotten, or has the outcome that it had",
      async (rig) => {
        const [engine] = rig.engines;
        const settled = transaction({ writes: { n: [add(1)] } });
        const outcome = await rig.run(engine.commit(settled));
        const next = transaction({ writes: { n: [add(1)] } });
        await rig.run(engine.commit({ ...next, floor: next.id.number }));
        const again = await rig.run(engine.commit(settled));
        expect(again).toEqual(engine.capabilities.forgetsBelowFloor ? { kind: "forgotten" } : outcome);
        expect(await new Asking(rig, engine).read(["n"])).toEqual([2]);
      },
    );

    scene("a commit is foretold where that is promised, with its timestamp", async (rig, one) => {
      const [engine] = rig.engines;
      const foretold: number[] = [];
      engine.onOrdering = (at) => void foretold.push(at);
      const at = await one.write({ a: [put("1")] });
      expect(foretold).toEqual(engine.capabilities.foretellsCommits ? [at] : []);
    });
  });

  describe(`${name}, watches`, () => {
    scene(
      "a run at first, and one behind each change, whoever commits it, at one moment over all keys",
      async (rig, one, other) => {
        const reader = await watch(rig, 0, { keys: ["a", "b"] });
        await rig.until("the first run", () => reader.runs.length === 1);
        for (let turn = 1; turn <= 10; turn++)
          await (turn % 2 === 0 ? one : other).write({ a: [add(1)], b: [add(1)] });
        await rig.until("the last state", () => reader.value("a") === 10 && reader.value("b") === 10);
        for (const run of reader.runs.slice(1)) {
          expect(run.cause).toBe("changed");
          expect(run.changes).toBeGreaterThan(0);
          expect(run.values).toHaveLength(2);
          expect(plain(run.values[0] as never)).toEqual(plain(run.values[1] as never));
        }
      },
    );

    scene(
      "who comes back to another frontend is told what changed since, and only that",
      async (rig, one) => {
        await one.write({ a: [put("1")], b: [put("1")] });
        const first = await watch(rig, 0, { keys: ["a", "b"] });
        await rig.until("the first run", () => first.runs.length === 1);
        const { at } = first.runs[0] as { at: number };
        const idle = await watch(rig, 1, { keys: ["a", "b"] }, at);
        const written = await one.write({ b: [put("2")] });
        const later = await watch(rig, 1, { keys: ["a", "b"] }, at);
        for (const reader of [idle, later]) {
          await rig.until("what changed", () => reader.runs.length === 1);
          expect(reader.runs[0]).toMatchObject({ cause: "changed", since: at, at: written });
          expect(reader.runs[0]?.values.map(plain)).toEqual(["2"]);
        }
      },
    );

    scene("deletes lead to runs, also for who was away", async (rig, one) => {
      await one.write({ a: [put("1")] });
      const here = await watch(rig, 0, { keys: ["a"] });
      await rig.until("the first run", () => here.runs.length === 1);
      const { at } = here.runs[0] as { at: number };
      await one.write({ a: [{ kind: "delete" }] });
      const away = await watch(rig, 1, { keys: ["a"] }, at);
      for (const reader of [here, away])
        await rig.until(
          "the delete",
          () => reader.runs.at(-1)?.values.map(plain).length === 1 && reader.value("a") === undefined,
        );
    });

    scene("a prefix: a run when a key under it changes, and none for others", async (rig, one) => {
      await one.write({ "p:1": [put("1")] });
      const reader = await watch(rig, 0, { prefixes: ["p:"] });
      await rig.until("the first run", () => reader.runs.length === 1);
      await one.write({ q: [put("1")] });
      await one.write({ "p:2": [put("2")] });
      await rig.until("the change", () => reader.runs.length > 1);
      expect(reader.runs.map(({ cause }) => cause)).toEqual(["first", "changed"]);
    });

    scene("progress reaches who misses nothing, behind all that was committed", async (rig, one, other) => {
      const reader = await watch(rig, 0, { keys: ["a"] });
      await rig.until("the first run", () => reader.runs.length === 1);
      const unrelated = await other.write({ z: [put("1")] });
      await rig.until("progress", () => {
        const polled = one.fresh().then((issued) => rig.run(rig.watchings[0].poll(issued)));
        polled.catch(() => undefined);
        return reader.progress.some((at) => at >= unrelated);
      });
      expect(reader.runs).toHaveLength(1);
    });

    scene("a timestamp that nobody issued is refused", async (rig, one) => {
      await one.write({ a: [put("1")] });
      const future = watch(rig, 0, { keys: ["a"] }, 1_000_000_000);
      expect(await future.catch((error: Error) => error.name)).toBe("FutureError");
    });
  });
}

/** What can happen between a frontend and etcd: lost requests and answers, watches that end, compaction, and what etcd refuses. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import {
  LimitError,
  OutcomeUnknownError,
  RefusedError,
  TooOldError,
} from "../../../src/reactive/failures.ts";
import { realClock } from "../../../src/core/seams/clock.ts";
import type { ChangedKeys, WholeTransaction } from "../../../src/reactive/engines/engine.ts";
import type { EtcdEngineOptions } from "../../../src/reactive/engines/etcd/engine.ts";
import type { ReadVersion } from "../../../src/reactive/shard/query-messages.ts";
import { fieldPart } from "../../../src/reactive/shard/operations.ts";
import { Level } from "../../../src/reactive/shard/transaction.ts";
import { EtcdProcesses } from "../../e2e/etcd-processes.ts";
import { randomOf } from "../shard/shard-harness.ts";
import { FaultyMember } from "./faulty-member.ts";
import { type EtcdRig, etcdRig } from "./rigs.ts";
import { add, Asking, key, plain, put, transaction, watch } from "./words.ts";

setDefaultTimeout(120_000);

let etcd: EtcdProcesses;
beforeAll(async () => {
  etcd = await EtcdProcesses.start();
});
afterAll(() => etcd[Symbol.dispose]());

interface Scene {
  rig: EtcdRig;
  member: FaultyMember;
  /** Over the faulty way, and directly. */
  one: Asking;
  other: Asking;
}

async function scene(
  play: (scene: Scene) => Promise<void>,
  options: Partial<EtcdEngineOptions> = {},
): Promise<void> {
  using member = new FaultyMember(etcd.endpoints[0] as string);
  const rig = etcdRig(etcd, options, [member.endpoint]);
  try {
    await play({ rig, member, one: new Asking(rig, rig.engines[0]), other: new Asking(rig, rig.engines[1]) });
  } finally {
    rig.close();
  }
}

test("requests and answers that are lost: what is committed happened once, what is not did not", () =>
  scene(async ({ rig, member, other }) => {
    const random = randomOf(7);
    member.loses = () => (random() < 0.3 ? "requests" : random() < 0.4 ? "answers" : "nothing");
    const offers = Array.from({ length: 15 }, (_, index) =>
      transaction({ writes: { n: [add(1)], [`k${index}`]: [put(String(index))] } }),
    );
    const results = await Promise.all(offers.map((offer) => rig.engines[0].commit(offer)));
    expect(member.lost).toBeGreaterThan(5);
    expect(new Set(results.map(({ kind }) => kind))).toEqual(new Set(["committed"]));
    expect(await other.read(["n", "k0", "k14"])).toEqual([15, "0", "14"]);
    // Each is told the revision at which it happened.
    for (const [index, result] of results.entries()) {
      const [version] = await other.versions([`k${index}`]);
      expect(result).toEqual({ kind: "committed", timestamp: version?.start as number });
    }
  }));

test("an outcome that stays unknown is said to be, and found out by asking or by sending it again", async () => {
  // The time for an answer is over with the first one that is lost.
  let aheadMs = 0;
  const clock = { ...realClock, monotonicMs: () => realClock.monotonicMs() + aheadMs };
  await scene(
    async ({ rig, member, other }) => {
      const [engine, direct] = rig.engines;
      // What a frontend asks for once, it has.
      await engine.commit(transaction({ writes: { a: [put("1")] } }));
      for (const loss of ["answers", "requests"] as const) {
        const wasDone = loss === "answers";
        const offers = [1, 2].map(() =>
          transaction({ writes: { [loss]: [put(loss)], [`${loss}s`]: [add(1)] } }),
        );
        const [asked, repeated] = offers as [WholeTransaction, WholeTransaction];
        member.loses = () => {
          aheadMs += 60_000;
          return loss;
        };
        for (const offer of offers)
          expect(await engine.commit(offer).catch((error: unknown) => error)).toBeInstanceOf(
            OutcomeUnknownError,
          );
        member.loses = () => "nothing";
        expect((await direct.resolve(asked.id)).kind).toBe(wasDone ? "committed" : "aborted");
        expect((await direct.commit(repeated)).kind).toBe("committed");
        expect(await other.read([loss, `${loss}s`])).toEqual([loss, wasDone ? 2 : 1]);
      }
    },
    { clock },
  );
});

test("a watch that ends goes on behind the last change: none is missed, none is told twice", () =>
  scene(async ({ rig, member, other }) => {
    const told: number[] = [];
    const [engine] = rig.engines;
    const onChange = ({ timestamp }: ChangedKeys) => void told.push(timestamp);
    const onGap = () => told.push(Number.NaN);
    const feed = engine.follow({ onChange, onCaughtUp: () => {}, onGap, isWanted: () => true });
    await feed.started({ keys: [], prefixes: [] });
    const reader = await watch(rig, 0, { keys: ["n"] });
    const written: number[] = [];
    for (let cut = 1; cut <= 3; cut++) {
      member.cutWatches(true);
      written.push(await other.write({ n: [add(1)] }), await other.write({ other: [add(1)] }));
      member.holdsWatches = false;
      await rig.until(`the last change of cut ${cut}`, () => told.at(-1) === written.at(-1));
      expect(told).toEqual(written);
    }
    await rig.until("the last state", () => reader.value("n") === 3);
    expect(new Set(reader.runs.slice(1).map(({ cause }) => cause))).toEqual(new Set(["changed"]));
  }));

test("a watch that cannot be made tells of no progress, and of the change when it can", () =>
  scene(
    async ({ rig, member, one, other }) => {
      const reader = await watch(rig, 0, { keys: ["a"] });
      await rig.until("the first run", () => reader.runs.length === 1);
      member.cutWatches(true);
      const written = await other.write({ a: [put("1")] });
      await rig.watchings[0].poll(await one.fresh());
      expect(reader.progress.filter((at) => at >= written)).toEqual([]);
      member.holdsWatches = false;
      await rig.until("the change", () => reader.value("a") === "1");
    },
    { silenceMs: 100 },
  ));

test("a watch that is silent, although its connection is open, is found out and made anew", () =>
  scene(
    async ({ rig, member, one, other }) => {
      const reader = await watch(rig, 0, { keys: ["a"] });
      await rig.until("the first run", () => reader.runs.length === 1);
      const { watches } = rig.engines[0].figures;
      member.mutesWatches = true;
      const written = await other.write({ a: [put("1")] });
      await rig.watchings[0].poll(await one.fresh());
      expect(reader.progress.filter((at) => at >= written)).toEqual([]);
      member.mutesWatches = false;
      await rig.until("a new watch", () => (rig.engines[0].figures.watches ?? 0) > (watches ?? 0));
      await rig.until("the change", () => reader.value("a") === "1");
    },
    { silenceMs: 100 },
  ));

test("a read at a revision that the watch has not reached, or has passed, is etcd's to answer", () =>
  scene(async ({ rig, member, one, other }) => {
    const old = await other.write({ a: [put("0")] });
    const reader = await watch(rig, 0, { keys: ["a"] });
    await rig.until("the first run", () => reader.runs.length === 1);
    const told = await other.write({ a: [put("1")] });
    await rig.until("what is told", () => reader.value("a") === "1");
    let calls = 0;
    member.beforeCall = (body) => {
      if (body.includes("request_range")) calls += 1;
      return undefined;
    };
    expect(await one.read(["a"], told)).toEqual(["1"]);
    expect(calls).toBe(0);
    expect(await one.read(["a"], old)).toEqual(["0"]);
    member.cutWatches(true);
    const later = await other.write({ a: [put("2")] });
    expect(await one.read(["a"], later)).toEqual(["2"]);
    expect(await one.read(["a", "b"], told)).toEqual(["1", undefined]);
  }));

test("changes that etcd has compacted away lead to a refetch, and then to runs as before", () =>
  scene(async ({ rig, member, one, other }) => {
    await other.write({ a: [put("0")], b: [put("0")] });
    const reader = await watch(rig, 0, { keys: ["a", "b"] });
    await rig.until("the first run", () => reader.runs.length === 1);
    member.cutWatches(true);
    for (let turn = 1; turn <= 3; turn++) await other.write({ a: [put(String(turn))] });
    await etcd.compact();
    member.holdsWatches = false;
    await rig.until(
      "the gap",
      () => rig.engines[0].figures.gaps === 1 && rig.engines[0].figures.followedTo > 0,
    );
    // Who asked for a timestamp because of the gap has it by then.
    await one.fresh();
    await other.write({ b: [put("1")] });
    await rig.until("a run behind it", () => reader.value("b") === "1");
    expect(reader.runs[1]).toMatchObject({ cause: "refetch", values: [{}, {}] });
    expect(reader.value("a")).toBe("3");
    await other.write({ b: [put("2")] });
    await rig.until("a run as before", () => reader.value("b") === "2");
    expect(reader.runs.at(-1)).toMatchObject({ cause: "changed", changes: 1 });
  }));

test("a read, a range and a snapshot at a compacted revision are refused as too old", () =>
  scene(async ({ rig, one, other }) => {
    const at = await one.write({ map: [{ kind: "mapSet", field: key("f"), value: key("1") }] });
    await other.write({ map: [{ kind: "mapSet", field: key("g"), value: key("1") }] });
    await etcd.compact();
    const [engine] = rig.engines;
    expect(await one.versions(["map"], at).catch((error: unknown) => error)).toBeInstanceOf(TooOldError);
    const range = { from: key(""), after: false, to: key("") };
    expect(await engine.scan(range, 10, at).catch((error: unknown) => error)).toBeInstanceOf(TooOldError);
    const writes = { map: [{ kind: "mapSet", field: key("f"), value: key("2") } as const] };
    expect(await one.commit({ level: Level.snapshot, snapshot: at, writes })).toMatchObject({
      reason: "tooOld",
    });
    const part = [{ part: fieldPart(key("f")), version: at, wasPresent: true }];
    expect(await one.commit({ reads: { map: part }, writes: { a: [put("1")] } })).toMatchObject({
      reason: "stale",
    });
  }));

test("a delete whose mark was collected is told, as a refetch, to who was away since before it", () =>
  scene(async ({ rig, one, other }) => {
    const at = await one.write({ a: [put("1")], b: [put("1")] });
    const gone = await other.write({ a: [{ kind: "delete" }] });
    const again = await other.write({ c: [{ kind: "delete" }] });
    await other.write({ c: [put("is back")] });
    await rig.engines[0].collector.collect(again);
    expect(rig.engines[0].collector.collected).toBe(1);
    expect((await one.versions(["a", "b", "c"])).map(({ start }) => start > 0)).toEqual([false, true, true]);
    const before = await watch(rig, 1, { keys: ["a", "b"] }, at);
    await other.write({ b: [put("2")] });
    await rig.until("a run", () => before.value("b") === "2");
    expect(before.runs[0]).toMatchObject({ cause: "refetch", values: [{ type: 0 }, {}] });
    const snapshot = { level: Level.snapshot, snapshot: gone, writes: { a: [put("2")] } };
    expect(await one.commit(snapshot)).toMatchObject({ reason: "tooOld" });
  }));

test("a read of more keys than one request takes is of one revision, whatever is committed between the requests", () =>
  scene(async ({ rig, member, other }) => {
    const names = Array.from({ length: 300 }, (_, index) => `many${index}`);
    await other.write({ many0: [put("old")], many299: [put("old")] });
    let calls = 0;
    let writing: Promise<number> | undefined;
    member.beforeCall = (body) => {
      // Others ask for the newest revision.
      if (body.split("request_range").length < 40) return undefined;
      calls += 1;
      // All behind the first one find it done.
      if (calls > 1) writing ??= other.write({ many0: [put("new")], many299: [put("new")] });
      return writing;
    };
    const { versions } = await rig.engines[0].read(names.map(key), undefined);
    expect(calls).toBeGreaterThan(2);
    expect([versions[0], versions[299]].map((version) => plain(version as ReadVersion))).toEqual([
      "old",
      "old",
    ]);
  }));

test("an etcd that was put back to an earlier state is noticed", async () => {
  using earlier = await EtcdProcesses.start();
  const wentBack: number[][] = [];
  await scene(
    async ({ rig, one, other, member }) => {
      const written = await other.write({ a: [put("1")] });
      expect(await one.fresh()).toBe(written);
      member.passTo(earlier.endpoints[0] as string);
      expect(await one.fresh()).toBeLessThan(written);
      expect(wentBack).toEqual([[written, 1]]);
    },
    { onWentBack: (from, to) => void wentBack.push([from, to]) },
  );
});

test("a store of a later format is not touched", () =>
  scene(async ({ rig, one, other }) => {
    await other.write({ a: [put("1")] });
    // An engine looks at the format once, before its first request.
    expect(await one.read(["a"])).toEqual(["1"]);
    const base64 = (text: string) => Buffer.from(text).toString("base64");
    await etcd.ask("/kv/put", { key: base64(`${rig.prefix}v`), value: base64("2") });
    const later = etcdRig(etcd, {}, etcd.endpoints, rig.prefix);
    const refused = await later.engines[0]
      .commit(transaction({ writes: { a: [put("2")] } }))
      .catch((error: Error) => error);
    expect(refused).toBeInstanceOf(RefusedError);
    expect(String(refused)).toContain('is of format "2", this node-x knows format 1');
    later.close();
    expect(await one.read(["a"])).toEqual(["1"]);
  }));

test("what etcd does not take is refused with a code, and nothing is done", () =>
  scene(async ({ rig, one }) => {
    for (const length of [1_600_000, 3_000_000]) {
      const large = rig.engines[1].commit(transaction({ writes: { a: [put("x".repeat(length))] } }));
      const error = await large.catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(LimitError);
      expect(error).toMatchObject({ code: "tooLarge" });
    }
    const deletes = Object.fromEntries(
      Array.from({ length: 100 }, (_, index) => [`d${index}`, [{ kind: "delete" as const }]]),
    );
    const many = rig.engines[1].commit(transaction({ writes: deletes }));
    expect(await many.catch((thrown: unknown) => thrown)).toMatchObject({ code: "tooMany" });
    expect(await one.read(["a", "d0"])).toEqual([undefined, undefined]);
  }));

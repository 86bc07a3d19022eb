/** What of each round is recorded: values of figures, and what happened to instances. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Answer } from "../../src/core/watch/answer.ts";
import { oddBuilds } from "../../src/core/watch/builds.ts";
import { Watched } from "../../src/core/watch/watched.ts";
import { concernsOf, replicationLag, furthestOfGroups } from "../../src/hub/concerns.ts";
import { bounded, detailOf } from "../../src/hub/details.ts";
import { ReplicationWatch } from "../../src/hub/replication-lag.ts";
import { figures, numberAt } from "../../src/hub/figures.ts";
import { HappeningsWatch, valuesOf } from "../../src/hub/recorder.ts";
import { answer } from "./answer.ts";

function watch(name: string, ...answers: (Answer | string)[]): Watched {
  const watched = new Watched({ name, group: undefined as never });
  answers.forEach((each, index) =>
    typeof each === "string" ? watched.fail(each) : watched.accept(each, 1000 * (index + 1)),
  );
  return watched;
}

describe("values", () => {
  test("are gauges as they are and counters per second, CPU in percent of a core", () => {
    const later = answer({
      process: { rssBytes: 6, cpuUserSeconds: 1.5, cpuSystemSeconds: 1 },
      dht: { records: 9, commandsTotal: 350 },
    });
    const values = valuesOf(watch("p.dht0", answer(), later));
    expect(values.get("dht.records")).toBe(9);
    expect(values.get("dht.commands")).toBe(250);
    expect(values.get("cpu.user")).toBe(50);
    expect(values.has("queue.pushed")).toBe(false);
  });

  test("have no counter across a restart, after a silence, or when it went backwards", () => {
    const restarted = answer({ uptimeSeconds: 1, pid: 11, dht: { commandsTotal: 5_000_000 } });
    expect(valuesOf(watch("p.dht0", answer(), restarted)).has("dht.commands")).toBe(false);
    expect(valuesOf(watch("p.dht0", answer(), "gone", answer())).has("dht.commands")).toBe(false);
    expect(
      valuesOf(watch("p.dht0", answer(), answer({ dht: { commandsTotal: 1 } }))).has("dht.commands"),
    ).toBe(false);
    // The same process number and a longer life can still be another process: its pid says so.
    expect(valuesOf(watch("p.dht0", answer(), answer({ pid: 99 }))).has("dht.commands")).toBe(false);
  });

  test("of an instance that says nonsense are absent", () => {
    expect(numberAt({ a: { b: [] } }, "a.b.c")).toBeUndefined();
    expect(numberAt({ a: Number.NaN }, "a")).toBeUndefined();
    expect(numberAt({ list: [{ x: 1 }, { x: "no" }, null, { x: 2 }] }, "list[].x")).toBe(3);
    expect(numberAt(undefined, "a")).toBeUndefined();
    expect(numberAt({ isOpen: true }, "isOpen")).toBe(1);
  });
});

describe("what happened", () => {
  test("is told once: silence, return, a restart, not ready, another version", () => {
    const happenings = new HappeningsWatch();
    const watched = watch("p.dht0", answer());
    const next = (given: Answer | string) => {
      if (typeof given === "string") watched.fail(given);
      else watched.accept(given, 1);
      return happenings.round([watched], 5).map(({ kind }) => kind);
    };
    expect(happenings.round([watched], 1)).toEqual([]);
    expect(next(answer())).toEqual([]);
    expect(next("gone")).toEqual(["silent"]);
    expect(next("gone")).toEqual([]);
    expect(next(answer({ uptimeSeconds: 200 }))).toEqual(["answers"]);
    expect(next("gone")).toEqual(["silent"]);
    expect(next(answer({ pid: 11, uptimeSeconds: 2, version: "2" }))).toEqual([
      "restarted",
      "version",
      "ready",
    ]);
    expect(next(answer({ pid: 11, ready: false, reasons: ["loading"], version: "2" }))).toEqual([
      "not ready",
    ]);
    expect(next(answer({ pid: 11, version: "2" }))).toEqual(["ready"]);
    expect(next(answer({ pid: 12, uptimeSeconds: 0, version: "2" }))).toEqual(["restarted"]);
  });
});

test("the first answer of an instance that was not up yet is no news", () => {
  const happenings = new HappeningsWatch();
  const watched = watch("p.dht0", "nobody listens");
  happenings.round([watched], 1);
  watched.accept(answer(), 1);
  expect(happenings.round([watched], 2)).toEqual([]);
});

describe("concerns", () => {
  const of = (watched: Watched[], restarts = 0) =>
    concernsOf({ watched, restartsOf: () => restarts, problems: [] }).map(
      ({ severity, text }) => `${severity} ${text}`,
    );

  test("are none when all is well", () => {
    expect(of([watch("p.dht0", answer())])).toEqual([]);
  });

  test.each([
    ["a silent instance", watch("a", "nobody listens"), "bad does not answer: nobody listens"],
    ["reasons", watch("a", answer({ ready: false, reasons: ["loading: 3 %"] })), "bad is not ready: loading: 3 %"],
    ["a full disk", watch("a", answer({ dht: { log: { isSpaceShort: true } } })), "bad its disk is nearly full"],
    ["a late event loop", watch("a", answer({ process: { rssBytes: 1, cpuUserSeconds: 1, cpuSystemSeconds: 1, eventLoopLagSeconds: 0.4 } })), "warn its event loop runs 400 ms late"],
    ["a full queue", watch("a", answer({ role: "queue", queue: { channels: [{ usedBytes: 95, capacityBytes: 100 }] } })), "warn its fullest channel is 95 % full"],
    ["a proxy that gave up", watch("a", answer({ role: "proxy", proxy: { volumes: [{ archives: [{ hasGivenUp: true }] }] } })), "bad has given up"],
    ["an archive that lags", watch("a", answer({ role: "storage", storage: { volumes: [{ lagSeconds: 5 }, { lagSeconds: 1500 }] } })), "warn its archive is 25 min behind"],
    ["a bucket that lags", watch("a", answer({ role: "archive", archive: { bucketLagSeconds: 1200 } })), "warn its bucket is 20 min behind"],
    ["a mirror that lags", watch("a", answer({ dht: { mirror: { follower: { behindBytes: 2 ** 27 } } } })), "warn its copy is 128 MiB behind"],
    ["checkpoints that stall", watch("a", answer({ role: "worker", worker: { cluster: { checkpointAgeMs: 90_000 } } })), "warn its checkpoint is 90 s old"],
    ["a group without primary", watch("a", answer({ role: "shard", shard: { group: "shard0", isPrimary: false, commit: 1 } })), "bad has no primary"],
  ])("tell of %s", (_, watched, expected) => {
    expect(of([watched]).join()).toContain(expected);
  }); // prettier-ignore

  test("tell of restarts and of builds that differ, the worst first", () => {
    const all = [
      watch("a", answer()),
      watch("b", answer()),
      watch("c", answer({ commit: "def" })),
      watch("d", "gone"),
    ];
    expect(oddBuilds(all)).toEqual(new Set(["1 def"]));
    const found = of(all, 3);
    expect(found[0]).toBe("bad does not answer: gone");
    expect(found).toContain("warn was started 3 times in the last day");
    expect(found).toContain("warn 2 builds run side by side: 1 abc, 1 def");
  });

  test("tell of a presence server that serves an old epoch", () => {
    const server = (role: string, epoch: number) => watch(role, answer({ role, [role]: { epoch } }));
    expect(of([server("regserver", 8), server("lookup", 7)])).toEqual([]);
    expect(of([server("regserver", 8), server("lookup", 5)])).toEqual(["warn its epoch is 3 behind"]);
  });

  test("tell of a replica far behind its group", () => {
    const replica = (commit: number, isPrimary: boolean) =>
      watch(`r${commit}`, answer({ role: "shard", shard: { group: "shard0", isPrimary, commit } }));
    const all = [replica(5000, true), replica(10, false)];
    expect(replicationLag(all[1] as Watched, furthestOfGroups(all))).toBe(4990);
    expect(of(all)).toEqual(["warn is 4,990 entries behind its group"]);
  });
});

test("a replica's lag is shown when it is large, or when it lasts, and not for an entry that is on its way", () => {
  const replication = new ReplicationWatch();
  const round = (primary: number, replica: number) => {
    const of = (name: string, commit: number) =>
      watch(name, answer({ role: "shard", shard: { group: "shard0", isPrimary: name === "p", commit } }));
    replication.round([of("p", primary), of("r", replica)]);
    return replication.textOf("r");
  };
  round(10, 10);
  // It has what its group had a round ago.
  expect(round(500, 10)).toBeUndefined();
  expect(round(501, 499)).toBeUndefined();
  expect(round(502, 501)).toBeUndefined();
  expect(round(2000, 502)).toBeUndefined();
  expect(round(2001, 503)).toBe("1,497 entries behind");
  expect(round(2001, 2001)).toBeUndefined();
  // One entry that does not come.
  expect([1, 2, 3, 4, 5].map(() => round(2001, 2000))).toEqual([
    ...[undefined, undefined, undefined, undefined, "1 entries behind"],
  ]);
});

test("what a page gets of an instance is bounded in length, width and depth", () => {
  const deep = { a: { b: { c: { d: { e: { f: { g: 1 } } } } } } };
  expect(JSON.stringify(bounded(deep))).not.toContain('"g"');
  expect((bounded({ list: new Array(5000).fill(1) }) as { list: number[] }).list).toHaveLength(300);
  expect((bounded({ text: "x".repeat(5000) }) as { text: string }).text).toHaveLength(500);
  const wide = Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`k${index}`, index]));
  expect(Object.keys(bounded(wide) as object)).toHaveLength(200);
});

test("whatever an instance says of itself, its values, concerns and details can be made", () => {
  const roleNames = [...new Set(figures.flatMap(({ roles = [] }) => roles))];
  const keys = [
    "volumes",
    "channels",
    "archives",
    "log",
    "journal",
    "group",
    "commit",
    "isPrimary",
    "cluster",
    "mirror",
    "epoch",
  ];
  const own = fc.dictionary(fc.constantFrom(...keys, "records", "scans"), fc.jsonValue({ maxDepth: 4 }));
  fc.assert(
    fc.property(fc.constantFrom(...roleNames), own, own, (role, first, second) => {
      const watched = watch("x", answer({ role, [role]: first }), answer({ role, [role]: second }));
      for (const value of valuesOf(watched).values()) expect(Number.isFinite(value)).toBe(true);
      concernsOf({ watched: [watched], restartsOf: () => 0, problems: [] });
      JSON.stringify(detailOf(watched));
    }),
  );
});

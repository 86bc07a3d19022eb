/** Maintenance: which points a rule keeps, which task comes next, and an archive that does them by itself. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { clean, type MetaDiff, steady } from "../../../src/backup/algebra/snapshot.ts";
import {
  bestMerge,
  type MaintenanceRules,
  nextTask,
  type VolumeSight,
} from "../../../src/backup/archive/maintenance/plan.ts";
import { keptGids, pointsToLetGo } from "../../../src/backup/archive/maintenance/retention.ts";
import { parsePeriod } from "../../../src/backup/formats/units.ts";
import { temporaryDirectory } from "../../cli/helpers.ts";
import { gidsOf, Group, until } from "../group.ts";
import { VOLUME } from "../servers.ts";

const HOUR = 3600;
const DAY = 86_400;
/** Monday, 2 November 2026, 00:00 UTC. */
const MONDAY = 1_793_577_600;

describe("what a retention rule keeps", () => {
  const points = Array.from({ length: 100 }, (_, index) => ({
    gid: BigInt(index),
    timestamp: MONDAY + index * 6 * HOUR + 60,
    isExplicit: true,
  }));
  const kept = (rule: Parameters<typeof keptGids>[1]) =>
    [...keptGids(points, rule)].map(Number).sort((a, b) => a - b);

  test.each([
    [{}, [99]],
    [{ last: 3 }, [97, 98, 99]],
    [{ hourly: 2 }, [98, 99]],
    // Four points a day: the newest of each.
    [{ daily: 3 }, [91, 95, 99]],
    // Sunday evenings, and the newest.
    [{ weekly: 3 }, [55, 83, 99]],
    // All points are in one month.
    [{ monthly: 3 }, [99]],
    [{ last: 2, daily: 2 }, [95, 98, 99]],
  ])("%j", (rule, wanted) => {
    expect(kept(rule)).toEqual(wanted);
  });

  test("points that nobody asked for are nobody's to let go", () => {
    const some = points.slice(-4).map((point, index) => ({ ...point, isExplicit: index % 2 === 0 }));
    expect(pointsToLetGo(some, { last: 1 })).toEqual([96n, 98n]);
  });

  test("periods as people write them", () => {
    expect(["90", "30m", "6h", "14d", "12:30:00", "5s", "1w", ""].map(parsePeriod)).toEqual([
      90,
      1800,
      21_600,
      14 * DAY,
      45_000,
      5,
      undefined,
      undefined,
    ]);
  });
});

const diff = (from: number, to: number, more: Partial<MetaDiff> = {}): MetaDiff => ({
  isMergeable: true,
  isComparison: false,
  timestamp: MONDAY + to * HOUR,
  from: clean(BigInt(from)),
  to: clean(BigInt(to)),
  dataBytes: 1000,
  ...more,
});
const sight = (name: string, more: Partial<VolumeSight> = {}): VolumeSight => ({
  name,
  base: steady(clean(0n), MONDAY),
  diffs: [1, 2, 3, 4, 5].map((to) => diff(to - 1, to)),
  lastApply: 0,
  lastMerge: 0,
  replicas: new Map(),
  ...more,
});
const merge = { intervalSeconds: HOUR, thresholdDiffs: 100, diffsMax: 100, bytesMax: 1e9 };

describe("which diffs are merged", () => {
  const ends = (view: VolumeSight, rule = merge) => bestMerge(view, rule)?.map(({ to }) => Number(to.begin));

  test("never the newest, never more than the rule says, never across a replica's place", () => {
    expect(ends(sight("v"))).toEqual([1, 2, 3, 4]);
    expect(ends(sight("v"), { ...merge, diffsMax: 2 })).toEqual([1, 2]);
    expect(ends(sight("v"), { ...merge, bytesMax: 3000 })).toEqual([1, 2, 3]);
    const replicas = new Map([["a1", { lastTime: 1, gid: 3n }]]);
    expect(ends(sight("v", { replicas }))).toEqual([1, 2, 3]);
  });

  test("never across a point that the rule keeps, though nobody asked for it by name", () => {
    // One point each hour; a newest one each two hours is kept.
    const hours = sight("v", {
      diffs: [1, 2, 3, 4, 5, 6].map((to) =>
        diff(to - 1, to, { timestamp: MONDAY + Math.floor(to / 2) * HOUR }),
      ),
    });
    expect(bestMerge(hours, merge)?.map(({ to }) => Number(to.begin))).toEqual([1, 2, 3, 4, 5]);
    expect(bestMerge(hours, merge, { hourly: 24 })?.map(({ to }) => Number(to.begin))).toEqual([2, 3]);
    expect(bestMerge(hours, merge, { hourly: 1 })?.map(({ to }) => Number(to.begin))).toEqual([
      1, 2, 3, 4, 5,
    ]);
  });

  test("never across a point that somebody keeps or a comparison; the smallest ones first", () => {
    const kept = [
      diff(0, 1),
      diff(1, 2),
      diff(2, 3, { isMergeable: false }),
      diff(3, 4),
      diff(4, 5),
      diff(5, 6),
    ];
    expect(ends(sight("v", { diffs: kept }))).toEqual([1, 2]);
    const smaller = kept.map((each) => (each.from.begin >= 2n ? { ...each, dataBytes: 10 } : each));
    expect(ends(sight("v", { diffs: smaller }))).toEqual([3, 4, 5]);
    const compared = [diff(0, 1), diff(1, 2, { isComparison: true }), diff(2, 3), diff(3, 4)];
    expect(ends(sight("v", { diffs: compared }))).toBeUndefined();
  });
});

describe("which task comes next", () => {
  const now = MONDAY + 100 * DAY;
  const replicas = [{ name: "a1", intervalSeconds: HOUR, disabledVolumes: ["off"] }];
  const rules: MaintenanceRules = {
    apply: { olderThanSeconds: HOUR, intervalSeconds: DAY },
    merge,
    replicas,
  };
  const next = (volumes: VolumeSight[], more: Partial<MaintenanceRules> = {}) => {
    const task = nextTask(volumes, { ...rules, ...more }, now);
    return task === undefined ? undefined : `${task.kind} ${task.volume}`;
  };

  test("an interrupted apply before all, then retention, apply, crowded volumes, replicas, merges that are due", () => {
    const applying = sight("b", { base: { ...steady(clean(0n), MONDAY), isApplying: true, to: clean(2n) } });
    expect(next([sight("a"), applying])).toBe("apply b");
    const asked = sight("b", { diffs: [1, 2, 3].map((to) => diff(to - 1, to, { isMergeable: false })) });
    expect(next([sight("a"), asked], { keep: { last: 1 } })).toBe("letGo b");
    const large = sight("b", { diffs: [1, 2, 3].map((to) => diff(to - 1, to, { dataBytes: 5000 })) });
    expect(next([sight("a"), large])).toBe("apply b");
    const applied = { lastApply: now - HOUR };
    const crowded = { ...merge, thresholdDiffs: 5 };
    expect(
      next([sight("a", { ...applied, diffs: [diff(0, 1)] }), sight("b", applied)], { merge: crowded }),
    ).toBe("merge b");
    const done = (lastTime: number) => new Map([["a1", { lastTime, gid: undefined }]]);
    const waiting = [
      sight("a", { ...applied, replicas: done(now - 2 * HOUR) }),
      sight("b", { ...applied, replicas: done(now - 3 * HOUR) }),
      sight("off", applied),
    ];
    expect(next(waiting)).toBe("replicate b");
    expect(next([sight("a", { ...applied, replicas: done(now - 10) })])).toBe("merge a");
    expect(next([sight("a", { ...applied, lastMerge: now - 10, replicas: done(now - 10) })])).toBeUndefined();
  });

  test("a clock that is wrong for a while neither ends a history nor stops the maintenance", () => {
    const apply = { olderThanSeconds: 3 * HOUR, intervalSeconds: DAY };
    // Years ahead: what is old is so by the newest point, too.
    expect(nextTask([sight("a")], { apply, replicas: [] }, now + 20 * 365 * DAY)).toEqual({
      ...{ kind: "apply", volume: "a", gid: 2n },
    });
    // Years behind: by the clock.
    expect(nextTask([sight("a")], { apply, replicas: [] }, MONDAY - DAY)).toBeUndefined();
    // What was done while it was ahead is due all the same.
    const ahead = now + 365 * DAY;
    const before = sight("a", { lastApply: ahead, lastMerge: ahead });
    expect(nextTask([before], { apply, replicas: [] }, now)?.kind).toBe("apply");
    expect(nextTask([before], { merge, replicas: [] }, now)?.kind).toBe("merge");
  });

  test("without a rule nothing is done", () => {
    expect(nextTask([sight("a")], { replicas: [] }, now)).toBeUndefined();
  });
});

let place: ReturnType<typeof temporaryDirectory>;
beforeAll(() => {
  place = temporaryDirectory();
});
afterAll(() => place.remove());

test("an archive keeps what its rules say, merges the rest and replicates; the images stay what they were", async () => {
  await using group = new Group(join(place.path, "group"), 1);
  const a1 = await group.archive("a1");
  await a1.controller.command("init-vol", [VOLUME], "ok");
  const quiet = await group.archive("a0");
  const storage = await group.copied(quiet);
  const images = new Map<bigint, Buffer>();
  for (let index = 0; index < 8; index++) {
    storage.write(4);
    images.set(await group.point(quiet, storage), Buffer.from(storage.image));
  }
  await group.stop("a0");
  const maintenance = {
    intervalMs: 10,
    keep: { last: 3 },
    merge: { interval: "0", diffsMax: 100 },
    replicas: [{ name: "second", address: `127.0.0.1:${a1.port}`, interval: "1" }],
  };
  const a0 = await group.archive("a0", { maintenance });
  await until(async () => (await gidsOf(a0)).join() === "6,7,8", "three points are listed");
  await until(
    async () => ((await a0.controller.get("num-diff", VOLUME)) as bigint) <= 4n,
    "the rest is merged",
  );
  await until(
    async () =>
      (await a1.controller.get("state", VOLUME)) === "Archived" &&
      (await a1.controller.get("meta-snap", VOLUME)) === "|8|",
    "the replica has everything",
  );
  for (const gid of [6n, 7n, 8n]) await group.expectImage(a0, gid, images.get(gid) as Buffer);
  await group.expectImage(a1, 8n, images.get(8n) as Buffer, "a1");
});

test("what is older than the rule says is applied", async () => {
  await using group = new Group(join(place.path, "apply"), 50);
  const a0 = await group.archive("a0", {
    maintenance: { intervalMs: 10, apply: { olderThan: "0", interval: "0" } },
  });
  const storage = await group.copied(a0);
  storage.write(4);
  await group.point(a0, storage);
  await until(
    async () => ((await a0.controller.get("base", VOLUME)) as string).startsWith("<|1|>-"),
    "applied",
  );
  await group.expectImage(a0, 1n, storage.image);
});

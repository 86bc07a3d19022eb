/**
 * The mirror of a state log against replicas that lose their power, their disks and their connections: what `flush`
 * acknowledged can be restored from those that are left.
 */
import { describe, expect, test } from "bun:test";
import { silentLog } from "../../../src/core/logging/log.ts";
import { FaultCounts } from "../../../src/core/sim/faults.ts";
import { SimCluster } from "../../../src/core/sim/world.ts";
import { readCopy } from "../../../src/streams/replica/copy-file.ts";
import { ReplicaMirror, type ReplicaMirrorOptions } from "../../../src/streams/replica/mirror.ts";
import { findNewestCopy, type CopyRank } from "../../../src/streams/replica/restore.ts";
import { PORT, startReplica } from "./harness.ts";

const REPLICAS = ["10.0.0.1", "10.0.0.2"];
const ADDRESSES = REPLICAS.map((host) => ({ host, port: PORT }));
const DIRECTORY = "app-worker2";

/** Records of these tests: lines with a number each. */
const line = (number: number, size: number) => Buffer.from(`${number}:${"r".repeat(size)}\n`);
const numbersOf = (records: readonly Uint8Array[]) =>
  Buffer.concat(records).toString().split("\n").filter(Boolean).map((text) => Number(text.split(":")[0])); // prettier-ignore
const rank = (records: readonly Uint8Array[]): CopyRank => ({
  committed: numbersOf(records).at(-1) ?? 0,
  prepared: 0,
});

interface LifeOptions {
  seed: number;
  acks: number;
  believe?: ReplicaMirrorOptions["believe"];
  keptBytesMax?: number;
  reset?: number;
}

/** A worker that appends and waits, replicas that fail; returns what was acknowledged and what can be restored. */
function life({ seed, acks, believe, keptBytesMax = 3000, reset = 0.002 }: LifeOptions) {
  const cluster = new SimCluster(seed, { net: { reset }, disk: { latencyMinMs: 0.05, latencyMeanMs: 0.3 } });
  const random = cluster.scheduler.fork();
  const wait = (ms: number) => new Promise<void>((resolve) => cluster.scheduler.after(ms, resolve));
  let appended = 0;
  let acknowledged = 0;
  let flushes = 0;
  let compactions = 0;
  let crashes = 0;
  let isOver = false;
  const violations: string[] = [];
  cluster.scheduler.run(async () => {
    for (const host of REPLICAS) await startReplica(cluster.host(host));
    const worker = cluster.host("10.0.0.9");
    const { world } = worker.start();
    const kept: Buffer[] = [];
    const mirror: ReplicaMirror = new ReplicaMirror({
      ...{ world, log: silentLog(), addresses: ADDRESSES, acks, directory: DIRECTORY, keptBytesMax },
      ...{ timeoutMs: 50, reconnectMs: 20 },
      onSnapshotNeeded: () => void wait(1).then(() => mirror.restart([Buffer.concat(kept)])),
      ...(believe !== undefined && { believe }),
    });
    mirror.restart([]);
    const writing = (async () => {
      while (!isOver) {
        for (let count = random.integer(4); count >= 0; count--) {
          const record = line(++appended, random.integer(200));
          kept.push(record);
          mirror.append(record);
        }
        const until = appended;
        void mirror.flush().then(() => {
          acknowledged = Math.max(acknowledged, until);
          flushes++;
        });
        await wait(random.float() * 8);
        if (random.integer(60) === 0) {
          compactions++;
          mirror.restart([Buffer.concat(kept)]);
        }
      }
    })();
    // Replicas fail one at a time: with `acks` of two, one may lose its power at any moment.
    for (let round = 0; round < 6; round++) {
      await wait(20 + random.float() * 60);
      const victim = cluster.host(REPLICAS[random.integer(REPLICAS.length)] as string);
      crashes++;
      victim.losePower({ names: random.integer(2) === 0 ? "any" : "ordered", isTearing: true });
      await wait(random.float() * 100);
      await startReplica(victim);
    }
    await wait(30);
    // The worker's host is gone for good, the replicas lose their power once more.
    isOver = true;
    const due = acknowledged;
    worker.killProcess();
    for (const host of REPLICAS) cluster.host(host).losePower({ names: "any", isTearing: true });
    await writing;
    for (const host of REPLICAS) await startReplica(cluster.host(host));
    // With two acknowledgements any one replica is enough.
    const asked = acks === 2 ? [ADDRESSES[random.integer(2)] as (typeof ADDRESSES)[0]] : ADDRESSES;
    const found = await findNewestCopy({
      world: cluster.host("10.0.0.8").start().world,
      ...{ addresses: asked, directory: DIRECTORY, timeoutMs: 100, rank, onProblem: () => {} },
    }).catch(() => undefined);
    const numbers = found === undefined ? [] : numbersOf(found.copy.records);
    numbers.forEach((number, index) => {
      if (number !== index + 1) violations.push(`record ${index + 1} of the copy is ${number}`);
    });
    if (numbers.length < due)
      violations.push(`${due} records were acknowledged, ${numbers.length} are restored`);
  });
  return { violations, acknowledged, flushes, compactions, crashes, faults: cluster.faults() };
}

describe("copies at replicas", () => {
  test("what was acknowledged by one replica is restored from both; by two, from any one (A15)", () => {
    const faults = new FaultCounts();
    let [acknowledged, compactions] = [0, 0];
    for (let seed = 1; seed <= 8; seed++) {
      for (const acks of [1, 2]) {
        const result = life({ seed, acks });
        expect(result.violations, `seed ${seed}, ${acks} acks`).toEqual([]);
        acknowledged += result.acknowledged;
        compactions += result.compactions;
        faults.add(result.faults);
      }
    }
    faults.requireAll(["power loss", "unsynced change lost", "unsynced change kept"]);
    expect(acknowledged).toBeGreaterThan(500);
    expect(compactions).toBeGreaterThan(10);
  }, 60_000);

  test("negative control: what was sent taken for synced is caught", () => {
    const believe: LifeOptions["believe"] = (_channel, generation) => generation.end;
    let isCaught = false;
    for (let seed = 0; seed < 30 && !isCaught; seed++)
      isCaught = life({ seed, acks: 2, believe }).violations.some((text) =>
        text.includes("were acknowledged"),
      );
    expect(isCaught).toBe(true);
  }, 60_000);

  test("with both replicas away nothing is acknowledged, and everything is once they are back (A15)", () => {
    const cluster = new SimCluster(3);
    const wait = (ms: number) => new Promise<void>((resolve) => cluster.scheduler.after(ms, resolve));
    cluster.scheduler.run(async () => {
      for (const host of REPLICAS) await startReplica(cluster.host(host));
      const { world } = cluster.host("10.0.0.9").start();
      let snapshots = 0;
      const mirror: ReplicaMirror = new ReplicaMirror({
        ...{ world, log: silentLog(), addresses: ADDRESSES, acks: 1, directory: DIRECTORY },
        ...{ timeoutMs: 50, reconnectMs: 20 },
        onSnapshotNeeded: () => void snapshots++,
      });
      mirror.restart([line(1, 10)]);
      await mirror.flush();
      expect(mirror.troubles.length).toBeLessThan(2);
      cluster.host(REPLICAS[0] as string).killProcess();
      mirror.append(line(2, 10));
      await mirror.flush();
      cluster.host(REPLICAS[1] as string).killProcess();
      mirror.append(line(3, 10));
      let isFlushed = false;
      const flushed = mirror.flush().then(() => (isFlushed = true));
      await wait(2000);
      expect(isFlushed).toBe(false);
      expect(mirror.troubles).toHaveLength(2);
      for (const host of REPLICAS) await startReplica(cluster.host(host));
      await flushed;
      await wait(500);
      expect(mirror.troubles).toEqual([]);
      expect(mirror.figures).toMatchObject({ inSync: 2, lagBytes: 0, keptBytes: 0 });
      expect(snapshots).toBe(0);
      mirror.close();
    });
  });

  test("a new copy that is cut short anywhere leaves the one before", () => {
    for (let step = 0; step < 40; step++) {
      const cluster = new SimCluster(step);
      cluster.scheduler.run(async () => {
        const host = cluster.host("10.0.0.1");
        await startReplica(host);
        const { world } = cluster.host("10.0.0.9").start();
        const options = {
          world,
          log: silentLog(),
          addresses: ADDRESSES.slice(0, 1),
          acks: 1,
          directory: DIRECTORY,
        };
        const mirror = new ReplicaMirror({ ...options, onSnapshotNeeded: () => {} });
        mirror.restart([line(1, 20), line(2, 20)]);
        await mirror.flush();
        mirror.restart([line(1, 20), ...Array.from({ length: 40 }, (_, index) => line(2 + index, 20_000))]);
        await new Promise<void>((resolve) => cluster.scheduler.after(step * 0.25, resolve));
        host.losePower({ names: "any", isTearing: true });
        mirror.close();
        await startReplica(host);
        const found = await findNewestCopy({
          ...{ world, addresses: options.addresses, directory: DIRECTORY, timeoutMs: 100, rank },
          onProblem: () => {},
        });
        expect([2, 41]).toContain(numbersOf(found.copy.records).length);
      });
    }
  });

  test("a copy is read as far as it is whole, whatever was cut off or flipped", () => {
    const cluster = new SimCluster(4);
    cluster.scheduler.run(async () => {
      const { world: there } = await startReplica(cluster.host("10.0.0.1"));
      const { world } = cluster.host("10.0.0.9").start();
      const mirror = new ReplicaMirror({
        ...{ world, log: silentLog(), addresses: ADDRESSES.slice(0, 1), acks: 1, directory: DIRECTORY },
        onSnapshotNeeded: () => {},
      });
      mirror.restart([line(1, 20), line(2, 20)]);
      mirror.append(line(3, 20));
      await mirror.flush();
      const [name] = (await there.disk.list(`/data/files/${DIRECTORY}`)).map((entry) => entry.name);
      const file = await there.disk.open(`/data/files/${DIRECTORY}/${name}`, "read");
      const bytes = new Uint8Array(await file.size());
      await file.read(bytes, 0);
      expect(numbersOf(readCopy(bytes)?.records ?? [])).toEqual([1, 2, 3]);
      for (let length = 0; length < bytes.byteLength; length++) {
        const copy = readCopy(bytes.subarray(0, length));
        expect(numbersOf(copy?.records ?? [])).toEqual([1, 2, 3].slice(0, copy?.records.length ?? 0));
        if (copy?.isComplete === true) expect(copy.records.length).toBeGreaterThanOrEqual(2);
      }
      for (let bit = 0; bit < bytes.byteLength * 8; bit += 7) {
        const flipped = bytes.slice();
        flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
        const copy = readCopy(flipped);
        expect(numbersOf(copy?.records ?? [])).toEqual([1, 2, 3].slice(0, copy?.records.length ?? 0));
      }
      mirror.close();
    });
  });
});

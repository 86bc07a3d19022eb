/** When a volume's data file is synced. */
import { expect, test } from "bun:test";
import { CheckpointPace } from "../../../src/backup/volume/checkpoint-pace.ts";
import { Client, sleepOn, VolumeWorld } from "../../crash/volume-harness.ts";

const MIB = 1 << 20;

test("a second after the last write, ten after a copy while somebody writes, at once after a quarter of the ring", () => {
  const pace = new CheckpointPace(4 * MIB);
  expect(pace.waitMs(100, 1n, 0)).toBe(1000);
  expect(pace.waitMs(100, 2n, 900)).toBe(1000);
  expect(pace.waitMs(100, 2n, 1900)).toBe(0);
  pace.done();
  for (let ms = 2000; ms < 12_000; ms += 500) expect(pace.waitMs(100, BigInt(ms), ms)).toBeGreaterThan(0);
  expect(pace.waitMs(100, 12_000n, 12_000)).toBe(0);
  pace.done();
  expect(pace.waitMs(MIB, 12_001n, 12_001)).toBe(0);
});

test("who writes and flushes without a pause shares the disk with few syncs of the data file", () => {
  const world = new VolumeWorld(6, {});
  const syncs = { log: 0, data: 0 };
  world.run(async () => {
    const engine = await world.open();
    const client = new Client(engine);
    world.sim.onChange = (operation, path) => {
      if (operation === "sync") syncs[path.endsWith("data") ? "data" : "log"] += 1;
    };
    for (let write = 0; write < 20; write++) {
      await client.request(1, 0, 512, new Uint8Array(512).fill(write));
      await client.request(3, 0, 0);
      await sleepOn(world.clock, 900);
    }
    expect(syncs.log).toBeGreaterThanOrEqual(20);
    // The ring of this volume is small: a quarter of it is copied sooner.
    expect(syncs.data).toBeLessThanOrEqual(5);
    await sleepOn(world.clock, 3000);
    expect(engine.figures()).toMatchObject({ unappliedBytes: 0, logUsedBytes: 0 });
    world.sim.onChange = undefined;
    await engine.close();
  });
});

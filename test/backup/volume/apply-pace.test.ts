/** When a volume's log is copied into its data file. */
import { expect, test } from "bun:test";
import { ApplyPace } from "../../../src/backup/volume/apply-pace.ts";
import { Client, sleepOn, VolumeWorld } from "../../crash/volume-harness.ts";

const RING = 1600n;

test("half of the ring waits while clients write, and what is before it is due in steps", () => {
  const pace = new ApplyPace(RING, 4096);
  for (let lsid = 20n; lsid <= 1200n; lsid += 20n) pace.note(lsid, 0);
  expect(pace.due(0n, 880n, 0, false)).toBe(0n);
  expect(pace.due(0n, 880n, 0, true)).toBe(80n);
  expect(pace.due(0n, 980n, 0, false)).toBe(0n);
  expect(pace.due(0n, 1000n, 0, false)).toBe(200n);
  pace.applied(200n);
  expect(pace.due(200n, 1000n, 0, false)).toBe(200n);
});

test("what is a second old is due, but nothing that is not durable", () => {
  const pace = new ApplyPace(RING, 4096);
  pace.note(30n, 0);
  pace.note(60n, 500);
  expect(pace.due(0n, 60n, 999, false)).toBe(0n);
  expect(pace.due(0n, 60n, 1000, false)).toBe(30n);
  expect(pace.due(0n, 29n, 5000, true)).toBe(0n);
  expect(pace.due(30n, 60n, 1500, false)).toBe(60n);
  pace.reset();
  expect(pace.due(0n, 60n, 9000, true)).toBe(0n);
});

test("many writes leave few marks, each as old as its first", () => {
  const pace = new ApplyPace(RING, 4096);
  for (let lsid = 1n; lsid <= 12n; lsid += 1n) pace.note(lsid, Number(lsid));
  expect(pace.due(0n, 11n, 1001, true)).toBe(0n);
  expect(pace.due(0n, 12n, 1001, true)).toBe(12n);
});

test("a volume at rest has everything in its data file, and its ring empty", () => {
  const world = new VolumeWorld(5, {});
  world.run(async () => {
    const engine = await world.open();
    const client = new Client(engine);
    for (let fill = 1; fill <= 3; fill++) await client.request(1, 0, 2048, new Uint8Array(2048).fill(fill));
    expect(engine.figures().unappliedBytes).toBeGreaterThan(0);
    await sleepOn(world.clock, 5000);
    expect(engine.figures()).toMatchObject({ unappliedBytes: 0, logUsedBytes: 0, pendingUnits: 0 });
    await engine.close();
  });
});

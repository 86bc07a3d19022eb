/** A volume whose disk fails or is full: its clients are told, and nothing is silently lost. */
import { expect, test } from "bun:test";
import { Client, sleepOn, VolumeWorld } from "../../crash/volume-harness.ts";

const data = (fill: number) => new Uint8Array(2048).fill(fill);
const WRITE = 1;
const FLUSH = 3;
/** Why it failed. The simulation turns its own wheel: `rejects` would wait for another. */
const reason = (work: Promise<unknown>) =>
  work.then(
    () => "it did not",
    (error: Error) => error.message,
  );

test("a sync that fails ends the volume: flushes and writes get an error, reads go on", () => {
  const world = new VolumeWorld(1, {});
  world.run(async () => {
    const engine = await world.open();
    const client = new Client(engine);
    await client.request(WRITE, 0, 2048, data(1));
    world.sim.failLater({ nth: 1, isSticky: false, errno: "EIO", operations: ["sync"] });
    expect(await reason(client.request(FLUSH, 0, 0))).toContain("NBD error 5");
    expect(await reason(client.request(WRITE, 0, 2048, data(2)))).toContain("NBD error 5");
    expect(await reason(client.request(FLUSH, 0, 0))).toContain("NBD error 5");
    const image = new Uint8Array(2048);
    await engine.read(image, 0);
    expect(image).toEqual(data(1));
    expect(engine.figures().failure).toContain("EIO");
  });
});

test("a log write that fails is not acknowledged, and neither is one behind it", () => {
  const world = new VolumeWorld(2, {});
  world.run(async () => {
    const engine = await world.open();
    const client = new Client(engine);
    await client.request(WRITE, 0, 2048, data(1));
    world.sim.failLater({ nth: 1, isSticky: false, errno: "ENOSPC", operations: ["write"] });
    const answers = await Promise.allSettled([
      client.request(WRITE, 0, 2048, data(2)),
      client.request(WRITE, 4096, 2048, data(3)),
    ]);
    expect(answers.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  });
  world.sim.killProcess();
  world.restart();
  expect(world.run(() => world.image()).subarray(0, 2048)).toEqual(Buffer.from(data(1)));
});

test("a full disk under the data file stalls the copy and says so; it goes on when there is space", () => {
  const world = new VolumeWorld(3, {});
  world.run(async () => {
    const engine = await world.open();
    const client = new Client(engine);
    const capacity = world.sim.usedBytes();
    world.sim.capacityBytes = capacity;
    await client.request(WRITE, 0, 2048, data(7));
    await client.request(FLUSH, 0, 0);
    await sleepOn(world.clock, 3000);
    expect(engine.stalled).toContain("full");
    expect(engine.figures().unappliedBytes).toBeGreaterThan(0);
    world.sim.capacityBytes = capacity + 65536;
    await sleepOn(world.clock, 5000);
    expect(engine.stalled).toBeUndefined();
    expect(engine.figures()).toMatchObject({ unappliedBytes: 0, failure: undefined });
    const image = new Uint8Array(2048);
    await engine.read(image, 0);
    expect(image).toEqual(data(7));
  });
});

test("a log that began anew holds writes back for the moment, and loses none", () => {
  const world = new VolumeWorld(4, {});
  world.run(async () => {
    const engine = await world.open();
    const client = new Client(engine);
    const { salt } = engine;
    await client.request(WRITE, 0, 2048, data(1));
    const resetting = engine.reset();
    const held = client.request(WRITE, 4096, 2048, data(2));
    await Promise.all([resetting, held]);
    expect(engine.salt).not.toBe(salt);
    expect(engine.log.next).toBeLessThan(10n);
    const image = new Uint8Array(8192);
    await engine.read(image, 0);
    expect([image[0], image[4096]]).toEqual([1, 2]);
    await engine.grow(32768);
    expect(engine.bytes).toBe(32768);
    expect(await reason(engine.grow(512))).toContain("only grows");
    await engine.close();
  });
});

test("a volume that is closed while its log is copied touches its files no more afterwards", () => {
  for (let seed = 1; seed <= 30; seed++) {
    const world = new VolumeWorld(seed, {});
    world.run(async () => {
      const engine = await world.open();
      const client = new Client(engine);
      // More than makes a checkpoint due at once.
      for (let write = 0; write < 4; write++) await client.request(WRITE, write * 2048, 2048, data(write));
      await new Promise<void>((resolve) => {
        world.sim.onChange = (operation, path) => {
          if (operation === "write" && path.endsWith("data")) resolve();
        };
      });
      await engine.close();
      const later: string[] = [];
      world.sim.onChange = (operation, path) => later.push(`${operation} ${path}`);
      await sleepOn(world.clock, 5000);
      expect({ seed, later, failure: engine.failure }).toEqual({ seed, later: [], failure: undefined });
    });
  }
});

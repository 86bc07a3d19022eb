import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { realClock } from "../../../src/core/seams/clock.ts";
import { crc32c } from "../../../src/core/crc32c.ts";
import { RealDisk } from "../../../src/core/seams/disk-real.ts";
import { LogFile } from "../../../src/core/append-log/log-file.ts";
import { realRandom } from "../../../src/core/seams/random.ts";
import { SimClock } from "../../../src/core/sim/clock.ts";
import { SimDisk } from "../../../src/core/sim/disk.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);

async function roundTrip(
  world: Pick<Parameters<typeof LogFile.open>[0], "disk" | "clock" | "random">,
  directory: string,
) {
  const replayed: string[] = [];
  const replay = {
    onSnapshot: (payload: Uint8Array) => replayed.push(`S:${Buffer.from(payload)}`),
    onFrame: (payload: Uint8Array) => replayed.push(String(Buffer.from(payload))),
  };
  const durable: number[] = [];
  const options = {
    ...world,
    crc32c,
    directory,
    payloadFormat: 1,
    listener: { onDurable: (p: number) => durable.push(p) },
  };
  const log = await LogFile.open(options, replay);
  expect(log.append(bytesOf("one"))).toBe(3);
  expect(log.append(bytesOf("two"))).toBe(6);
  expect(log.durablePosition).toBe(0);
  await log.flush();
  expect(durable).toEqual([6]);
  log.append(bytesOf("three"));
  await log.compact(() => [bytesOf("one+two+three")]);
  log.append(bytesOf("four"));
  await log.flush();
  await log.close();
  expect(replayed).toEqual([]);
  const again = await LogFile.open(options, replay);
  expect(again.position).toBe(15);
  expect(replayed).toEqual(["S:one+two+three", "four"]);
  expect(again.stats.tornBytes).toBe(0);
  await again.close();
}

test("replays snapshot and log after a restart, on the simulated disk", () => {
  const scheduler = new Scheduler(1);
  const world = { disk: new SimDisk(scheduler), clock: new SimClock(scheduler), random: scheduler.fork() };
  scheduler.run(() => roundTrip(world, "/data/log"), { timeLimitMs: 60_000 });
});

test("replays snapshot and log after a restart, on a real disk", async () => {
  const directory = mkdtempSync(join(tmpdir(), "node-x-log-"));
  try {
    await roundTrip(
      { disk: new RealDisk(() => true), clock: realClock, random: realRandom },
      join(directory, "log"),
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
});

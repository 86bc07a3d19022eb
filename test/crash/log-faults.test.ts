/**
 * Failing calls, a full disk and flipped bits under the real log code.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { NxError } from "../../src/core/errors.ts";
import type { LogFile } from "../../src/core/append-log/log-file.ts";
import { SimClock } from "../../src/core/sim/clock.ts";
import { filesOf, type DirectoryNode } from "../../src/core/sim/disk-state.ts";
import { SimDisk, type PlannedFailure } from "../../src/core/sim/disk.ts";
import { Scheduler } from "../../src/core/sim/scheduler.ts";
import {
  DIRECTORY,
  judge,
  makeDataDirectory,
  openLog,
  Owner,
  perform,
  record,
  restart,
  whole,
  type Step,
  type Subject,
} from "./log-harness.ts";

setDefaultTimeout(120_000);

const history: readonly Step[] = [
  { do: "append", bytes: 300, times: 2 },
  { do: "flush" },
  { do: "append", bytes: 500, times: 3 },
  { do: "flush" },
  { do: "compact" },
  { do: "append", bytes: 700 },
  { do: "flush" },
  { do: "idle" },
  { do: "close" },
];

interface Outcome {
  hasFired: boolean;
  finished: boolean;
  /** What stopped the history early. */
  error: NxError | undefined;
}

/**
 * Runs the history while a planned call fails. A process whose log has failed stops; then the machine loses
 * power, and a restart on the healed disk must find everything that was acknowledged.
 */
function runWithFailure(plan: PlannedFailure, seed: number): Outcome {
  const scheduler = new Scheduler(seed);
  const disk = new SimDisk(scheduler);
  const clock = new SimClock(scheduler);
  let owner = new Owner(new Uint8Array(0));
  const outcome: Outcome = { hasFired: false, finished: false, error: undefined };
  const life = async () => {
    await makeDataDirectory(disk);
    disk.failLater(plan);
    const listener = { onDurable: (position: number) => owner.listener.onDurable(position) };
    const { log, replayed } = await openLog(disk, scheduler, clock, whole, listener);
    owner = new Owner(replayed);
    for (const step of history) await perform(step, log, owner, clock);
    outcome.finished = true;
  };
  // While the disk is full the log waits: the operator makes room after half a second.
  clock.after(500, () => {
    outcome.hasFired ||= disk.hasFailed;
    if (plan.errno === "ENOSPC") disk.failLater(undefined);
  });
  try {
    scheduler.run(life, { timeLimitMs: 10_000 });
  } catch (error) {
    if (!(error instanceof NxError)) throw error;
    outcome.error = error;
  }
  outcome.hasFired ||= disk.hasFailed;
  disk.failLater(undefined);
  disk.crash({ names: "any", isTearing: true });
  const recording = { points: [], stream: owner.stream, groupEnds: allPositions(owner.stream.byteLength) };
  const violation = judge(disk.capture(), owner.acknowledged, recording, whole);
  if (violation !== undefined) throw new Error(`${JSON.stringify(plan)}, seed ${seed}: ${violation}`);
  return outcome;
}

const allPositions = (end: number) => new Set(Array.from({ length: end + 1 }, (_, index) => index));

for (const errno of ["EIO", "ENOSPC"] as const) {
  for (const isSticky of [false, true]) {
    test(`loses nothing acknowledged when the n-th call fails ${isSticky ? "and all later ones" : "once"} with ${errno}`, () => {
      let fired = 0;
      let finished = 0;
      for (let nth = 1; ; nth++) {
        const outcome = runWithFailure({ nth, isSticky, errno }, nth);
        if (!outcome.hasFired) break;
        fired += 1;
        if (outcome.finished) finished += 1;
        if (errno === "EIO" && outcome.error !== undefined) expect(outcome.error.code).toBe("NX_DISK_FAILED");
      }
      console.log(`${fired} calls failed, ${finished} histories finished all the same`);
      expect(fired).toBeGreaterThan(50);
      // A full disk stops a history only where it hits the replay, a sync, or the snapshot itself.
      if (errno === "ENOSPC") expect(finished).toBeGreaterThan(fired / 4);
    });
  }
}

/** A world with a log in it, for tests that look closer. */
function inWorld(
  run: (world: { disk: SimDisk; clock: SimClock; log: LogFile; owner: Owner }) => Promise<void>,
  capacityBytes?: number,
) {
  const scheduler = new Scheduler(5);
  const disk = new SimDisk(scheduler, capacityBytes === undefined ? {} : { capacityBytes });
  const clock = new SimClock(scheduler);
  const owner = new Owner(new Uint8Array(0));
  scheduler.run(
    async () => {
      await makeDataDirectory(disk);
      const { log } = await openLog(disk, scheduler, clock, whole, owner.listener);
      await run({ disk, clock, log, owner });
    },
    { timeLimitMs: 60_000 },
  );
  return { disk, owner };
}

test("a full disk refuses appends, acknowledges nothing, and resumes by itself when there is space", () => {
  const { disk, owner } = inWorld(async ({ disk, clock, log, owner }) => {
    for (let count = 0; count < 100 && log.state === "open"; count++) {
      owner.append(log, 400);
      await perform({ do: "idle" }, log, owner, clock);
    }
    expect(log.state).toBe("full");
    expect(owner.error?.code).toBe("NX_DISK_FULL");
    expect(() => log.append(new Uint8Array(1))).toThrow(/disk is full/);
    const { acknowledged } = owner;
    expect(acknowledged).toBeLessThan(owner.stream.byteLength);
    await perform({ do: "idle" }, log, owner, clock);
    expect(owner.acknowledged).toBe(acknowledged);
    disk.capacityBytes += 10_000;
    await log.flush();
    expect(log.state).toBe("open");
    expect(owner.acknowledged).toBe(owner.stream.byteLength);
    owner.append(log, 10);
    await log.close();
  }, 6000);
  expect(disk.faults.of("disk full")).toBeGreaterThan(0);
  expect(Buffer.compare(restart(disk.capture(), whole), owner.stream)).toBe(0);
});

test("says that space is short while appends still succeed", () => {
  inWorld(async ({ clock, log, owner }) => {
    while (!log.stats.isSpaceShort) {
      owner.append(log, 100);
      await perform({ do: "idle" }, log, owner, clock);
    }
    expect(log.state).toBe("open");
    owner.append(log, 100);
    await log.flush();
    await log.close();
  }, 6000);
});

test("starts on a full disk, refuses appends, and resumes by itself", () => {
  const { disk: filled } = inWorld(async ({ log, owner }) => {
    owner.append(log, 900);
    await log.close();
  });
  const scheduler = new Scheduler(6);
  const disk = new SimDisk(scheduler);
  disk.restore(filled.capture());
  disk.capacityBytes = disk.usedBytes();
  const clock = new SimClock(scheduler);
  scheduler.run(async () => {
    const { log, replayed } = await openLog(disk, scheduler, clock, whole, { onDurable: () => undefined });
    expect(replayed.byteLength).toBe(900);
    expect(log.state).toBe("full");
    disk.capacityBytes += 10_000;
    await perform({ do: "idle" }, log, new Owner(replayed), clock);
    expect(log.state).toBe("open");
    await log.close();
  });
});

test("a failed sync is final: the log stops, and is never synced again", () => {
  inWorld(async ({ disk, log, owner }) => {
    disk.failLater({ nth: 1, isSticky: false, errno: "EIO", operations: ["sync"] });
    owner.append(log, 100);
    expect(await log.flush().catch((error: NxError) => error.code)).toBe("NX_DISK_FAILED");
    expect(log.state).toBe("failed");
    expect(owner.acknowledged).toBe(0);
    expect(() => log.append(new Uint8Array(1))).toThrow(NxError);
    expect(await log.close().catch((error: NxError) => error.code)).toBe("NX_DISK_FAILED");
  });
});

test("a full disk at a sync is a failed sync", () => {
  inWorld(async ({ disk, log, owner }) => {
    disk.failLater({ nth: 1, isSticky: false, errno: "ENOSPC", operations: ["sync"] });
    owner.append(log, 100);
    expect(await log.flush().catch((error: NxError) => error.code)).toBe("NX_DISK_FAILED");
    await log.close().catch(() => undefined);
  });
});

test("a seal that meets a full disk is written once there is space", () => {
  inWorld(async ({ disk, clock, log, owner }) => {
    owner.append(log, 100);
    await log.flush();
    disk.failLater({ nth: 1, isSticky: true, errno: "ENOSPC", operations: ["write"] });
    await perform({ do: "idle" }, log, owner, clock);
    expect(log.state).toBe("full");
    disk.failLater(undefined);
    await perform({ do: "idle" }, log, owner, clock);
    expect(log.state).toBe("open");
    await log.close();
  });
});

test("a rotation is not tried again once the new segment has its name", () => {
  const { disk, owner } = inWorld(async ({ disk, clock, log, owner }) => {
    // Opened once as the spare, once under its name: the spare for the first rotation is there already.
    await perform({ do: "idle" }, log, owner, clock);
    disk.failLater({ nth: 1, isSticky: false, errno: "ENOSPC", operations: ["open"] });
    owner.append(log, 900);
    owner.append(log, 900);
    expect(await log.flush().catch((error: NxError) => error.code)).toBe("NX_DISK_FAILED");
    await log.close().catch(() => undefined);
  });
  expect(restart(disk.capture(), whole).byteLength).toBe(owner.acknowledged);
});

// --- flipped bits
// --------------------------------------------------------------------------------------------------

/** A directory with a snapshot and two segments; the last group is sealed, the process was killed. */
function smallDirectory(subject: Subject): { disk: DirectoryNode; stream: Uint8Array } {
  const steps: Step[] = [
    { do: "append", bytes: 200 },
    { do: "compact" },
    { do: "append", bytes: 150, times: 3 },
    { do: "flush" },
    { do: "append", bytes: 900 },
    { do: "flush" },
    { do: "append", bytes: 100 },
    { do: "flush" },
    { do: "idle" },
  ];
  const recording = record(steps, subject);
  const last = recording.points.at(-1);
  if (last === undefined) throw new Error("nothing was recorded");
  return { disk: last.disk, stream: recording.stream };
}

interface Flips {
  detected: number;
  harmless: number;
  wrong: string[];
}

/** Flips each bit position of every byte of every file in turn, restarts, and compares. */
function flipEveryByte(subject: Subject): Flips {
  const { disk: original, stream } = smallDirectory(subject);
  const flips: Flips = { detected: 0, harmless: 0, wrong: [] };
  const directory = original.entries.get("data");
  const log = directory?.kind === "directory" ? directory.entries.get("log") : undefined;
  if (log?.kind !== "directory") throw new Error("no log directory");
  for (const [name, node] of log.entries) {
    if (node.kind !== "file") continue;
    for (let byte = 0; byte < node.size; byte++) {
      const disk = new SimDisk(new Scheduler(3));
      disk.restore(original);
      disk.flipBit(`${DIRECTORY}/${name}`, 8 * byte + (byte % 8));
      const verdict = judgeFlip(disk.capture(), stream, subject);
      if (verdict === "detected") flips.detected += 1;
      else if (verdict === "harmless") flips.harmless += 1;
      else flips.wrong.push(`${name}, byte ${byte}: ${verdict}`);
    }
  }
  return flips;
}

function judgeFlip(disk: DirectoryNode, stream: Uint8Array, subject: Subject): string {
  try {
    const found = restart(disk, subject);
    if (Buffer.compare(found, stream) === 0) return "harmless";
    return `${found.byteLength} of ${stream.byteLength} bytes found`;
  } catch (error) {
    if (error instanceof NxError && error.code === "NX_DATA_CORRUPT") {
      expect(error.message).toMatch(/\/data\/log\/(log|snapshot)-\d+\.nxl, byte \d+: /);
      return "detected";
    }
    return String(error);
  }
}

test("a flipped bit anywhere in a sealed directory is reported with file and byte, or harmless", () => {
  const flips = flipEveryByte(whole);
  console.log(`${flips.detected} flips detected, ${flips.harmless} harmless (unused space)`);
  expect(flips.wrong).toEqual([]);
  expect(flips.detected).toBeGreaterThan(1500);
});

test("negative control: flipped bits are served when checksums fit everything", () => {
  expect(flipEveryByte({ ...whole, crc32c: () => 0 }).wrong.length).toBeGreaterThan(100);
});

test("negative control: without a seal, damage of the last group is cut as if torn", () => {
  const flips = flipEveryByte({ ...whole, sealDelayMs: 1e9 });
  // Exactly the bytes of the last frame: 32 of header, 100 of payload, 12 of padding.
  expect(flips.wrong.length).toBe(144);
});

test("a missing segment is reported", () => {
  const { disk: original } = smallDirectory(whole);
  const scheduler = new Scheduler(4);
  const disk = new SimDisk(scheduler);
  disk.restore(original);
  const first = scheduler.run(async () => {
    const names = (await disk.list(DIRECTORY))
      .map(({ name }) => name)
      .filter((name) => name.startsWith("log-"));
    await disk.remove(`${DIRECTORY}/${names[0]}`);
    return names[0];
  });
  expect(filesOf(disk.capture()).size).toBeGreaterThan(1);
  expect(() => restart(disk.capture(), whole)).toThrow(`${first}, byte 0: this segment is missing`);
});

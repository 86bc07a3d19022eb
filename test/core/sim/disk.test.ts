import { expect, test } from "bun:test";
import { NxError } from "../../../src/core/errors.ts";
import { crashStates, type CrashModel } from "../../../src/core/sim/disk-crash.ts";
import type { DirectoryNode } from "../../../src/core/sim/disk-state.ts";
import { SimDisk, type SimDiskOptions } from "../../../src/core/sim/disk.ts";
import { SimProcess } from "../../../src/core/sim/process.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";

const SECTOR = 64;

function onDisk(run: (disk: SimDisk) => Promise<void>, options: SimDiskOptions = {}): SimDisk {
  const scheduler = new Scheduler(1);
  const disk = new SimDisk(scheduler, { sectorBytes: SECTOR, ...options });
  scheduler.run(() => run(disk));
  return disk;
}

/**
 * `a1b2` for a file of four sectors that are filled with these letters; `.` for zeros, `~` for a torn one.
 */
function describeFile(root: DirectoryNode, name: string): string {
  const node = root.entries.get(name);
  if (node?.kind !== "file") return "-";
  const letters: string[] = [];
  for (let index = 0; index * SECTOR < node.size; index++) {
    const content = node.sectors.get(index)?.durable ?? new Uint8Array(SECTOR);
    const first = content[0] as number;
    const isEven = content.every((byte) => byte === first);
    letters.push(!isEven ? "~" : first === 0 ? "." : String.fromCharCode(first));
  }
  return letters.join("");
}

function statesOf(disk: SimDisk, model: CrashModel, describe: (root: DirectoryNode) => string): string[] {
  const found = new Set<string>();
  const { isExhaustive } = crashStates(disk.capture(), model, 1000, (state) => found.add(describe(state)));
  expect(isExhaustive).toBe(true);
  return [...found].sort();
}

const filled = (letter: string, sectors: number) =>
  new Uint8Array(SECTOR * sectors).fill(letter.charCodeAt(0));

test("any subset of unsynced sectors may survive power loss, and every version of each", () => {
  const disk = onDisk(async (disk) => {
    const file = await disk.open("/f", "create");
    await file.write(filled("a", 2), 0);
    await file.sync();
    await disk.syncDirectory("/");
    await file.write(filled("b", 2), 0);
    await file.write(filled("c", 1), 0);
  });
  const states = statesOf(disk, { names: "ordered", isTearing: false }, (root) => describeFile(root, "f"));
  expect(states).toEqual(["aa", "ab", "ba", "bb", "ca", "cb"]);
});

test("at most one sector is torn", () => {
  const disk = onDisk(async (disk) => {
    const file = await disk.open("/f", "create");
    await file.write(filled("a", 2), 0);
    await file.sync();
    await disk.syncDirectory("/");
    await file.write(filled("b", 2), 0);
  });
  const states = statesOf(disk, { names: "ordered", isTearing: true }, (root) => describeFile(root, "f"));
  expect(states).toEqual(["aa", "ab", "a~", "ba", "bb", "b~", "~a", "~b"]);
});

test("an unsynced length may be lost, and lost sectors within it read as zeros", () => {
  const disk = onDisk(async (disk) => {
    const file = await disk.open("/f", "create");
    await file.write(filled("a", 1), 0);
    await file.sync();
    await disk.syncDirectory("/");
    await file.write(filled("b", 1), SECTOR);
  });
  const states = statesOf(disk, { names: "ordered", isTearing: false }, (root) => describeFile(root, "f"));
  expect(states).toEqual(["a", "a.", "ab"]);
});

test("a sync covers the writes that came before it, not those that came while it ran", () => {
  const disk = onDisk(async (disk) => {
    const file = await disk.open("/f", "create");
    await disk.syncDirectory("/");
    await file.write(filled("a", 1), 0);
    const sync = file.sync();
    const write = file.write(filled("b", 1), 0);
    await Promise.all([sync, write]);
  });
  const states = statesOf(disk, { names: "ordered", isTearing: false }, (root) => describeFile(root, "f"));
  expect(states).toEqual(["a", "b"]);
});

const nameStates = (names: CrashModel["names"]) =>
  statesOf(
    onDisk(async (disk) => {
      for (const name of ["/old", "/tmp"]) {
        const file = await disk.open(name, "create");
        await file.write(filled(name === "/old" ? "o" : "n", 1), 0);
        await file.sync();
      }
      await disk.rename("/old", "/kept");
      await disk.rename("/tmp", "/old");
    }),
    { names, isTearing: false },
    (root) =>
      [...root.entries.keys()]
        .sort()
        .map((name) => `${name}=${describeFile(root, name)}`)
        .join(" "),
  );

test("unsynced names survive as a prefix in ordered mode", () => {
  expect(nameStates("ordered")).toEqual(["", "kept=o old=n", "kept=o tmp=n", "old=o", "old=o tmp=n"]);
});

test("unsynced names survive in any combination in the harsher mode", () => {
  const states = nameStates("any");
  expect(states.length).toBeGreaterThan(5);
  // The rename became durable, the creations of both names did not.
  expect(states).toContain("old=n");
});

test("synced names and contents survive whatever is chosen", () => {
  const disk = onDisk(async (disk) => {
    const file = await disk.open("/f", "create");
    await file.write(filled("a", 3), 0);
    await file.sync();
    await disk.syncDirectory("/");
  });
  expect(statesOf(disk, { names: "any", isTearing: true }, (root) => describeFile(root, "f"))).toEqual([
    "aaa",
  ]);
});

test("more states than the limit are sampled, and it says so", () => {
  const disk = onDisk(async (disk) => {
    const file = await disk.open("/f", "create");
    await file.write(filled("a", 30), 0);
  });
  let visited = 0;
  const result = crashStates(disk.capture(), { names: "any", isTearing: true }, 100, () => visited++);
  expect(result).toEqual({ visited: 100, isExhaustive: false });
  expect(visited).toBe(100);
});

test("a call under way when the power goes never settles, and a killed process makes no more calls", () => {
  const scheduler = new Scheduler(1);
  const disk = new SimDisk(scheduler);
  const process = new SimProcess(scheduler, disk);
  let settled = 0;
  scheduler.run(async () => {
    const file = await process.disk.open("/f", "create");
    const count = () => settled++;
    file.write(new Uint8Array(10), 0).then(count, count);
    process.kill();
    file.sync().then(count, count);
    process.disk.exists("/f").then(count, count);
    await new Promise<void>((resolve) => scheduler.after(1000, resolve));
  });
  expect(settled).toBe(0);
  expect(disk.faults.of("process killed")).toBe(1);
});

test("the n-th call fails, once or from then on, and names file and reason", () => {
  onDisk(async (disk) => {
    const file = await disk.open("/f", "create");
    const outcomes = async () => {
      const results: string[] = [];
      for (let call = 0; call < 4; call++) {
        results.push(
          await file.write(new Uint8Array(1), 0).then(
            () => "ok",
            (error: NxError) => error.code,
          ),
        );
      }
      return results.join(" ");
    };
    disk.failLater({ nth: 2, isSticky: false, errno: "EIO", operations: ["write"] });
    expect(await outcomes()).toBe("ok NX_DISK_FAILED ok ok");
    disk.failLater({ nth: 2, isSticky: true, errno: "ENOSPC", operations: ["write"] });
    expect(await outcomes()).toBe("ok NX_DISK_FULL NX_DISK_FULL NX_DISK_FULL");
    expect(disk.hasFailed).toBe(true);
    disk.failLater({ nth: 1, isSticky: false, errno: "EIO" });
    const error = await file.sync().catch((reason: NxError) => reason);
    expect((error as NxError).message).toBe("cannot sync /f: EIO");
    expect(disk.faults.of("write failed with ENOSPC")).toBe(3);
  });
});

test("data that a failed sync dropped is read, but a later sync does not save it", () => {
  let losses = 0;
  for (let seed = 1; seed <= 20; seed++) {
    const scheduler = new Scheduler(seed);
    const disk = new SimDisk(scheduler, { sectorBytes: SECTOR });
    scheduler.run(async () => {
      const file = await disk.open("/f", "create");
      await disk.syncDirectory("/");
      await file.write(filled("a", 1), 0);
      disk.failLater({ nth: 1, isSticky: false, errno: "EIO", operations: ["sync"] });
      await file.sync().catch(() => undefined);
      await file.sync();
      const seen = new Uint8Array(1);
      await file.read(seen, 0);
      expect(seen[0]).toBe(97);
    });
    disk.crash({ names: "ordered", isTearing: false });
    if (describeFile(disk.capture(), "f") === ".") losses += 1;
  }
  expect(losses).toBeGreaterThan(3);
  expect(losses).toBeLessThan(20);
});

test("a full disk refuses, and takes again what was freed", () => {
  onDisk(
    async (disk) => {
      const [first, second] = [await disk.open("/a", "create"), await disk.open("/b", "create")];
      await first.write(filled("a", 3), 0);
      const full = await second.write(filled("b", 2), 0).catch((error: NxError) => error);
      expect((full as NxError).message).toContain("cannot write /b: the disk is full (ENOSPC)");
      await first.write(filled("c", 3), 0); // no new sectors
      await first.close();
      await disk.remove("/a");
      await second.write(filled("b", 4), 0);
      expect(disk.usedBytes()).toBe(4 * SECTOR);
      expect((await disk.space("/")).freeBytes).toBe(0);
    },
    { capacityBytes: 4 * SECTOR },
  );
});

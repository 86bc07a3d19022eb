/**
 * What the disk seam promises, run against the real and the simulated disk alike.
 */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RealDisk } from "../../src/core/seams/disk-real.ts";
import type { Disk, LinkingDisk } from "../../src/core/seams/disk.ts";
import { errnoOf } from "../../src/core/errors.ts";
import { SimDisk } from "../../src/core/sim/disk.ts";
import { Scheduler } from "../../src/core/sim/scheduler.ts";

const root = mkdtempSync(join(tmpdir(), "node-x-disk-"));
afterAll(() => rmSync(root, { recursive: true }));

type Case = (disk: LinkingDisk, directory: string) => Promise<void>;

const bytesOf = (text: string) => new TextEncoder().encode(text);
const errno = (promise: Promise<unknown>) => promise.then(() => "no error", errnoOf);

async function contentOf(disk: Disk, path: string): Promise<string> {
  const file = await disk.open(path, "read");
  const target = new Uint8Array(await file.size());
  await file.read(target, 0);
  await file.close();
  return Buffer.from(target).toString("latin1");
}

async function put(disk: Disk, path: string, text: string): Promise<void> {
  const file = await disk.open(path, "create");
  await file.write(bytesOf(text), 0);
  await file.sync();
  await file.close();
}

const cases: Record<string, Case> = {
  "reads what was written, across sectors and at odd offsets": async (disk, directory) => {
    const file = await disk.open(`${directory}/file`, "exclusive");
    const long = "0123456789".repeat(200);
    await file.write(bytesOf(long), 3);
    await file.write(bytesOf("xyz"), 510);
    expect(await file.size()).toBe(2003);
    const target = new Uint8Array(3000);
    expect(await file.read(target, 1)).toBe(2002);
    const expected = `\0\0\0${long}`.slice(0, 510) + "xyz" + `\0\0\0${long}`.slice(513);
    expect(Buffer.from(target.subarray(0, 2002)).toString("latin1")).toBe(expected.slice(1));
    expect(await file.read(target, 5000)).toBe(0);
    await file.close();
  },
  "a gap and an allocated range read as zeros": async (disk, directory) => {
    const file = await disk.open(`${directory}/file`, "exclusive");
    await file.write(bytesOf("end"), 2000);
    await file.allocate(4000);
    expect(await file.size()).toBe(4000);
    const target = new Uint8Array(4000).fill(9);
    expect(await file.read(target, 0)).toBe(4000);
    expect(target.filter((byte) => byte !== 0).length).toBe(3);
    await file.allocate(100); // never shrinks
    expect(await file.size()).toBe(4000);
    await file.close();
  },
  "what was truncated away stays away": async (disk, directory) => {
    const file = await disk.open(`${directory}/file`, "exclusive");
    await file.write(bytesOf("a".repeat(1500)), 0);
    await file.truncate(700);
    await file.truncate(1500);
    const target = new Uint8Array(1500);
    await file.read(target, 0);
    expect(target.filter((byte) => byte === 97).length).toBe(700);
    await file.close();
  },
  "a symbolic link is followed, replaced by a rename and removed without its target": async (
    disk,
    directory,
  ) => {
    for (const name of ["old", "new"]) {
      await disk.makeDirectory(`${directory}/releases/${name}`);
      await put(disk, `${directory}/releases/${name}/file`, name);
    }
    await disk.symlink("releases/old", `${directory}/current`);
    expect(await disk.readLink(`${directory}/current`)).toBe("releases/old");
    expect(await contentOf(disk, `${directory}/current/file`)).toBe("old");
    expect(await errno(disk.symlink("releases/new", `${directory}/current`))).toBe("EEXIST");
    await disk.symlink("releases/new", `${directory}/next`);
    await disk.rename(`${directory}/next`, `${directory}/current`);
    expect(await contentOf(disk, `${directory}/current/file`)).toBe("new");
    expect((await disk.list(directory)).map(({ name, kind }) => `${name} ${kind}`)).toEqual([
      "current other",
      "releases directory",
    ]);
    await disk.remove(`${directory}/current`);
    expect(await errno(disk.readLink(`${directory}/current`))).toBe("ENOENT");
    expect(await contentOf(disk, `${directory}/releases/new/file`)).toBe("new");
  },
  "only an empty directory is removed": async (disk, directory) => {
    await disk.makeDirectory(`${directory}/full`);
    await put(disk, `${directory}/full/file`, "content");
    const refused = await disk.removeDirectory(`${directory}/full`).catch((error: Error) => error.message);
    expect(refused).toContain("ENOTEMPTY");
    await disk.remove(`${directory}/full/file`);
    await disk.setMode(`${directory}/full`, 0o755);
    await disk.removeDirectory(`${directory}/full`);
    expect(await disk.exists(`${directory}/full`)).toBe(false);
    expect(await errno(disk.removeDirectory(`${directory}/full`))).toBe("ENOENT");
    expect(await errno(disk.setMode(`${directory}/full`, 0o755))).toBe("ENOENT");
  },
  "open modes refuse what they say": async (disk, directory) => {
    expect(await errno(disk.open(`${directory}/missing`, "read"))).toBe("ENOENT");
    expect(await errno(disk.open(`${directory}/missing`, "readWrite"))).toBe("ENOENT");
    await put(disk, `${directory}/file`, "content");
    expect(await errno(disk.open(`${directory}/file`, "exclusive"))).toBe("EEXIST");
    await put(disk, `${directory}/file`, "CON");
    expect(await contentOf(disk, `${directory}/file`)).toBe("CONtent");
  },
  "renames over a file, links, removes and lists": async (disk, directory) => {
    await put(disk, `${directory}/b`, "old");
    await put(disk, `${directory}/a`, "new");
    await disk.rename(`${directory}/a`, `${directory}/b`);
    expect(await contentOf(disk, `${directory}/b`)).toBe("new");
    await disk.link(`${directory}/b`, `${directory}/c`);
    expect(await errno(disk.link(`${directory}/b`, `${directory}/c`))).toBe("EEXIST");
    await disk.makeDirectory(`${directory}/d/e`);
    await disk.makeDirectory(`${directory}/d/e`);
    expect(await disk.list(directory)).toEqual([
      { name: "b", kind: "file" },
      { name: "c", kind: "file" },
      { name: "d", kind: "directory" },
    ]);
    await disk.remove(`${directory}/b`);
    expect(await contentOf(disk, `${directory}/c`)).toBe("new");
    expect(await disk.exists(`${directory}/b`)).toBe(false);
    expect(await disk.exists(`${directory}/c`)).toBe(true);
    expect(await errno(disk.remove(`${directory}/b`))).toBe("ENOENT");
    expect(await errno(disk.list(`${directory}/nowhere`))).toBe("ENOENT");
    await disk.syncDirectory(directory);
  },
  "an open file outlives its name": async (disk, directory) => {
    await put(disk, `${directory}/file`, "still here");
    const file = await disk.open(`${directory}/file`, "read");
    await disk.remove(`${directory}/file`);
    const target = new Uint8Array(10);
    expect(await file.read(target, 0)).toBe(10);
    await file.close();
  },
  "space is plausible": async (disk, directory) => {
    const { freeBytes, totalBytes } = await disk.space(directory);
    expect(freeBytes).toBeGreaterThan(0);
    expect(totalBytes).toBeGreaterThanOrEqual(freeBytes);
  },
  "a lock is exclusive until it is released": async (disk, directory) => {
    const lock = await disk.lock(`${directory}/lock`);
    await lock.release();
    const again = await disk.lock(`${directory}/lock`);
    await again.release();
  },
};

for (const [name, run] of Object.entries(cases)) {
  test(`real disk: ${name}`, async () => {
    await run(new RealDisk(() => true), mkdtempSync(join(root, "case-")));
  });

  test(`simulated disk: ${name}`, () => {
    const scheduler = new Scheduler(1);
    const disk = new SimDisk(scheduler, { capacityBytes: 1 << 20 });
    scheduler.run(async () => {
      await disk.makeDirectory("/case");
      await run(disk, "/case");
    });
  });
}

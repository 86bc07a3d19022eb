/** What is told of a process that took too long. */
import { expect, test } from "bun:test";
import type { Disk, DiskFile } from "../../../src/core/seams/disk.ts";
import { portraitOf } from "../../../src/streams/demo/portrait.ts";

/** A disk with one file; counts what is read of it. */
function diskWith(text: string) {
  const bytes = Buffer.from(text);
  const counted = { read: 0 };
  const file = {
    size: async () => bytes.byteLength,
    async read(target: Uint8Array, offset: number) {
      const count = bytes.copy(target, 0, offset);
      counted.read += count;
      return count;
    },
    close: async () => {},
  } as Partial<DiskFile> as DiskFile;
  return { counted, disk: { open: async () => file } as Partial<Disk> as Disk };
}

const child = { name: "worker2", pid: 7, isRunning: false };
type Child = Parameters<typeof portraitOf>[1];
const portrait = (disk: Disk) => portraitOf(disk, child as Partial<Child> as Child, "/data");

test("the last lines of a long log are told, and no more than they take is read of it", async () => {
  const line = (index: number) => `line ${index} ${"x".repeat(200)}`;
  const { disk, counted } = diskWith(
    Array.from({ length: 20_000 }, (_, index) => `${line(index)}\n`).join(""),
  );
  const told = await portrait(disk);
  expect(told.split("\n").slice(1)).toEqual(
    Array.from({ length: 15 }, (_, index) => `  ${line(19_985 + index)}`),
  );
  expect(counted.read).toBeLessThan(100_000);
});

test("of a short log all is told", async () => {
  const { disk } = diskWith("one\ntwo\n");
  expect(await portrait(disk)).toBe("worker2 (pid 7): it does not run\n  one\n  two");
});

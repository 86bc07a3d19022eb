/** Removing a directory while somebody else does the same. */
import { expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { RealDisk } from "../../../src/core/seams/disk-real.ts";
import type { Disk } from "../../../src/core/seams/disk.ts";
import { removeTree } from "../../../src/core/seams/durable-files.ts";
import { lockFile } from "../../../src/native/system.ts";

test("what vanishes after it was listed counts as removed", async () => {
  const top = mkdtempSync(join(tmpdir(), "node-x-tree-"));
  mkdirSync(join(top, "tree/inner"), { recursive: true });
  writeFileSync(join(top, "tree/stays"), "");
  writeFileSync(join(top, "tree/inner/vanishes"), "");
  const disk = new RealDisk(lockFile);
  const racing: Disk = Object.assign(Object.create(disk) as Disk, {
    async list(path: string) {
      const entries = await disk.list(path);
      if (basename(path) === "inner") rmSync(path, { recursive: true });
      return entries;
    },
    exists: (path: string) => disk.exists(path),
    remove: (path: string) => disk.remove(path),
    removeDirectory: (path: string) => disk.removeDirectory(path),
  });
  await removeTree(racing, join(top, "tree"));
  expect(existsSync(join(top, "tree"))).toBe(false);
  rmSync(top, { recursive: true });
});

/** A log's files are opened although clients take every descriptor there is. */
import { expect, test } from "bun:test";
import { join } from "node:path";

test("a log goes from file to file while somebody takes every file that becomes free", () => {
  const script = join(import.meta.dir, "spare-files-process.ts");
  const { stdout, stderr } = Bun.spawnSync(["prlimit", "--nofile=80:80", process.execPath, script]);
  expect(`${stdout}${stderr}`).toBe("50 segments\n");
}, 30_000);

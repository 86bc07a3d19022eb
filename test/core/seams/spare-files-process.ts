/** Run by spare-files.test.ts under a low limit on open files: somebody takes every file that becomes free. */
import { openSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RealDisk } from "../../../src/core/seams/disk-real.ts";

/** What a crowd of clients does whenever the event loop turns. */
function takeAll(): void {
  try {
    for (;;) openSync("/dev/null", "r");
  } catch {
    setImmediate(takeAll);
  }
}

const disk = new RealDisk(() => true);
const directory = join(tmpdir(), `node-x-spare-${process.pid}`);
await disk.makeDirectory(directory);
const name = (index: number) => join(directory, `segment${index}`);
let last = await disk.open(name(0), "create");
takeAll();
for (let index = 1; index <= 50; index++) {
  const next = await disk.open(name(index), "create");
  await next.writeDurably(Buffer.from("group"), 0);
  await disk.syncDirectory(directory);
  await last.close();
  await disk.remove(name(index - 1));
  last = next;
}
await disk.remove(name(50));
await disk.removeDirectory(directory);
console.log("50 segments");
process.exit(0);

/** Writing before the call returns, on a real disk. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { realWorld } from "../../../src/core/seams/world-real.ts";
import { temporaryDirectory } from "../../cli/helpers.ts";

let place: ReturnType<typeof temporaryDirectory>;
beforeAll(() => {
  place = temporaryDirectory();
});
afterAll(() => place.remove());

test("what was written at once is there when the call returns, and what was refused is left to write", async () => {
  const { disk } = realWorld();
  const file = await disk.open(join(place.path, "file"), "exclusive");
  await file.allocate(1 << 20);
  const wanted = Buffer.alloc(1 << 20);
  for (let block = 0; block < 256; block++) {
    const bytes = Buffer.alloc(4096, block);
    wanted.set(bytes, block * 4096);
    // Whether the disk is quick at this moment is not for a test to say.
    if (file.writeNow?.(bytes, block * 4096) !== true) await file.write(bytes, block * 4096);
  }
  const found = Buffer.alloc(1 << 20);
  await file.read(found, 0);
  expect(found.equals(wanted)).toBe(true);
  await file.close();
});

test("a write at once that fails names the file", async () => {
  const { disk } = realWorld();
  const path = join(place.path, "read-only");
  await (await disk.open(path, "exclusive")).close();
  const file = await disk.open(path, "read");
  expect(() => file.writeNow?.(new Uint8Array(8), 0)).toThrow(path);
  await file.close();
});

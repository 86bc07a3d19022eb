/** Writing past the page cache, on a real disk: the bytes are there, whether it could be done or not. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { realWorld } from "../../../src/core/seams/world-real.ts";
import { temporaryDirectory } from "../../cli/helpers.ts";

const PAGE = 4096;

let place: ReturnType<typeof temporaryDirectory>;
beforeAll(() => {
  place = temporaryDirectory();
});
afterAll(() => place.remove());

test.each([
  ["pages", PAGE, [3, 1, 2].map((pages) => pages * PAGE)],
  ["parts that are no pages", PAGE, [PAGE, 512, PAGE - 512]],
  ["a place that is no page", 512, [PAGE, PAGE]],
])(
  "%s that are written past the cache are there, and so is what was around them",
  async (name, offset, lengths) => {
    const { disk } = realWorld();
    const file = await disk.open(join(place.path, name), "exclusive");
    const wanted = Buffer.alloc(16 * PAGE, 7);
    await file.write(wanted, 0);
    // Memory that begins at a page, and memory that does not.
    for (const shift of [0, 8]) {
      const parts = lengths.map((length, at) =>
        new Uint8Array(new ArrayBuffer(length + shift), shift).fill(at + 1 + shift),
      );
      await file.writePast?.(parts, offset);
      Buffer.concat(parts).copy(wanted, offset);
      const found = Buffer.alloc(wanted.byteLength);
      await file.read(found, 0);
      expect(found.equals(wanted)).toBe(true);
    }
    await file.close();
  },
);

test("a write past the cache that fails names the file", async () => {
  const { disk } = realWorld();
  const path = join(place.path, "read-only");
  await (await disk.open(path, "exclusive")).close();
  const file = await disk.open(path, "read");
  expect(await file.writePast?.([new Uint8Array(8)], 0).catch((error: Error) => error.message)).toContain(
    path,
  );
  await file.close();
});

/** The spool: the same bytes by position, in memory and once it has moved to a file. */
import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { Spool } from "../../../src/backup/formats/bytes.ts";
import { seededRandom } from "../../../src/core/seams/random.ts";
import { realWorld } from "../../../src/core/seams/world-real.ts";
import { temporaryDirectory } from "../../cli/helpers.ts";

test.each([3, 40])("%i parts of 1 MiB come back by position", async (parts) => {
  const place = temporaryDirectory();
  const random = seededRandom(parts);
  const spool = new Spool(realWorld().disk, random, place.path);
  const part = random.bytes(1 << 20);
  for (let index = 0; index < parts; index++) {
    part[0] = index;
    await spool.append(part);
  }
  const source = spool.source("spool");
  expect(source.bytes).toBe(parts << 20);
  for (let tries = 0; tries < 50; tries++) {
    const offset = random.integer(source.bytes);
    const target = new Uint8Array(1 + random.integer(3 << 20));
    const count = await source.read(target, offset);
    expect(count).toBe(Math.min(target.byteLength, source.bytes - offset));
    for (const at of [0, count >> 1, count - 1]) {
      const place1 = (offset + at) % (1 << 20);
      const wanted = place1 === 0 ? Math.floor((offset + at) / (1 << 20)) : part[place1];
      expect(target[at]).toBe(wanted as number);
    }
  }
  // A file has no name even while it is in use.
  expect(readdirSync(place.path)).toEqual([]);
  await spool.close();
  place.remove();
});

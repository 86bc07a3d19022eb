/** Writes that are long enough to go past the page cache: read back at once, and after a start. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { NbdClient } from "../../../src/backup/nbd/client.ts";
import { seededRandom } from "../../../src/core/seams/random.ts";
import { Served } from "./volumes.ts";

setDefaultTimeout(120_000);

const MIB = 1 << 20;
const CLIENTS = 3;

test.each([512, 4096])(
  "long writes of several clients are read back, between short ones, with physical blocks of %d",
  async (physicalBytes) => {
    const random = seededRandom(physicalBytes);
    const image = Buffer.alloc(24 * MIB);
    // The ring is gone round twice.
    await using served = await Served.start({ bytes: image.byteLength, logBytes: 40 * MIB, physicalBytes });
    const address = { host: "127.0.0.1", port: served.port, name: "vol1" };
    const part = image.byteLength / CLIENTS;
    const work = Array.from({ length: CLIENTS }, async (_, index) => {
      await using client = await NbdClient.connect(served.world, address);
      for (let step = 0; step < 8; step++) {
        const length = step % 4 === 3 ? 8192 : 2 * MIB + random.integer(2) * 512;
        const offset = index * part + random.integer((part - length) / 512) * 512;
        const bytes = Buffer.alloc(length, random.bytes(509));
        await client.write(bytes, offset);
        image.set(bytes, offset);
        const found = await client.read(offset, length);
        expect(bytes.equals(found)).toBe(true);
      }
    });
    await Promise.all(work);
    await served.close();
    await served.open();
    const again = Buffer.alloc(image.byteLength);
    await served.engine.read(again, 0);
    expect(again.equals(image)).toBe(true);
  },
);

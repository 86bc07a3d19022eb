/** The small files of a volume. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { VolumeFiles } from "../../../src/backup/files/volume-files.ts";
import { realWorld } from "../../../src/core/seams/world-real.ts";
import { temporaryDirectory } from "../../cli/helpers.ts";

let place: ReturnType<typeof temporaryDirectory>;
beforeAll(() => {
  place = temporaryDirectory();
});
afterAll(() => place.remove());

test("small files that are written at once are all there, with their checksums", async () => {
  const { disk } = realWorld();
  const files = await VolumeFiles.open(disk, place.path);
  const names = ["size", "a0.archive", "state", "base"];
  for (let round = 0; round < 5; round++)
    await Promise.all(names.map((name) => files.write(name, Buffer.from(`${name} ${round}`))));
  const again = await VolumeFiles.open(disk, place.path);
  for (const name of names)
    expect(Buffer.from((await again.read(name)) as Uint8Array).toString()).toBe(`${name} 4`);
});

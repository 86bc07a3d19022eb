/** The hash that `bhash` gives of an image: XOR of the hashes of its chunks, each seeded with its number. */
import { murmur3 } from "../../src/native/blocks.ts";

export function imageHash(image: Uint8Array, chunkBytes: number): string {
  const hash = new Uint8Array(16);
  for (let at = 0, index = 0; at < image.byteLength; at += chunkBytes, index++) {
    murmur3(image.subarray(at, at + chunkBytes), index).forEach((byte, place) => {
      hash[place] = (hash[place] as number) ^ byte;
    });
  }
  return Buffer.from(hash).toString("hex");
}

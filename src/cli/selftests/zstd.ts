/**
 * Self-test: what zstd-napi compresses comes back, and Bun's own zstd, a separate build, reads it and the
 * reverse.
 *
 * Inputs cover the empty one, one byte, a run, text and noise; noise is seeded, so a failure repeats.
 */
import { assert } from "../../core/errors.ts";
import { seededRandom } from "../../core/seams/random.ts";

function inputs(): Uint8Array[] {
  const random = seededRandom(1);
  return [
    new Uint8Array(0),
    Uint8Array.of(0xff),
    new Uint8Array(100_000).fill(0x61),
    Buffer.from("key value ".repeat(2000)),
    random.bytes(70_000),
  ];
}

/** A frame that the zstd program made of these five bytes (level 3, no checksum, size unknown). */
const goldenFrame = Buffer.from("28b52ffd005829000068656c6c6f", "hex");
const goldenText = "hello";

/** Compresses with a checksum, flips one bit at each place in turn: no damaged frame may be read as good. */
export async function zstdNoticesDamage(): Promise<string> {
  const { compress, decompress } = await import("zstd-napi");
  const input = Buffer.from("a value that must not change ".repeat(20));
  const frame = compress(input, { checksumFlag: true });
  for (let at = 0; at < frame.byteLength; at++) {
    const damaged = Buffer.from(frame);
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    let output: Buffer | undefined;
    try {
      output = decompress(damaged);
    } catch {
      continue;
    }
    // A bit that carries no meaning may be flipped; the contents must then be the same.
    assert(Buffer.compare(output, input) === 0, `zstd: a flipped bit in byte ${at} goes unnoticed`);
  }
  return `no flipped bit in ${frame.byteLength} bytes goes unnoticed`;
}

export async function zstdRoundTrip(): Promise<string> {
  const { compress, decompress } = await import("zstd-napi");
  assert(decompress(goldenFrame).toString() === goldenText, "zstd: the golden frame reads differently");
  for (const input of inputs()) {
    const output = decompress(compress(Buffer.from(input)));
    assert(Buffer.compare(output, input) === 0, `zstd: ${input.byteLength} bytes came back changed`);
  }
  return `${inputs().length} round trips and a golden frame`;
}

export async function zstdAgainstBuiltIn(): Promise<string> {
  const { compress, decompress } = await import("zstd-napi");
  for (const input of inputs()) {
    const ours = compress(Buffer.from(input));
    assert(
      Buffer.compare(Bun.zstdDecompressSync(ours), input) === 0,
      `zstd: Bun reads ${input.byteLength} bytes of ours differently`,
    );
    const theirs = Bun.zstdCompressSync(Buffer.from(input));
    assert(
      Buffer.compare(decompress(Buffer.from(theirs)), input) === 0,
      `zstd: we read ${input.byteLength} bytes of Bun's differently`,
    );
  }
  return `agrees with Bun's on ${inputs().length} inputs in both directions`;
}

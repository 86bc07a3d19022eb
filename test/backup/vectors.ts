/** The original's files in test/vectors/walb, and small helpers that most tests of the formats share. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type ByteSink, type ByteSource, chunksOf, memorySource } from "../../src/backup/formats/bytes.ts";
import { type Diff, mergedRuns, openDiff } from "../../src/backup/formats/diff-merge.ts";
import type { SortedOptions } from "../../src/backup/formats/log-to-diff.ts";
import { snappy } from "../../src/backup/formats/compression.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";

export const vectorDirectory = join(import.meta.dir, "../vectors/walb");
export const vector = (name: string): Buffer => readFileSync(join(vectorDirectory, name));
export const sourceOf = (name: string): ByteSource => memorySource(name, vector(name));
export const chunksOfVector = (name: string) => chunksOf(sourceOf(name));
export const diffOf = (name: string): Promise<Diff> => openDiff(sourceOf(name));

/** What the original's tool printed for a vector, from its command line to the line of the exit code. */
export function dumpOf(name: string): { command: string; output: string } {
  const text = readFileSync(join(vectorDirectory, "dumps", `${name}.txt`), "utf8");
  const [command = "", ...rest] = text.slice(0, text.indexOf("[exit 0]")).split("\n");
  return { command: command.slice(2), output: rest.join("\n") };
}

export class MemorySink implements ByteSink {
  #parts: Uint8Array[] = [];

  async append(bytes: Uint8Array): Promise<void> {
    this.#parts.push(bytes.slice());
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

const world = realWorld();

/** Options of everything that sorts, with a spool in the temporary directory. */
export const sorting = (more: Partial<SortedOptions> = {}): SortedOptions => ({
  compression: snappy,
  blocksMax: 2048,
  disk: world.disk,
  random: world.random,
  spoolDirectory: "/tmp",
  ...more,
});

/** Applies diffs, oldest first, to a copy of `image`, one run at a time; discards become zeros. */
export async function applied(image: Uint8Array, diffs: readonly Diff[]): Promise<Buffer> {
  const result = Buffer.from(image);
  for await (const { runs, data } of mergedRuns(diffs)) {
    for (const { address, blocks, kind, data: at } of runs) {
      const bytes = kind === "normal" ? data.subarray(at, at + blocks * 512) : new Uint8Array(blocks * 512);
      result.set(bytes, address * 512);
    }
  }
  return result;
}

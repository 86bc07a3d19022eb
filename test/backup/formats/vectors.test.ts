/** The original's log and diff files: decoded, made again byte for byte, merged, replayed. */
import { describe, expect, test } from "bun:test";
import { inflateSync } from "node:zlib";
import { memorySource } from "../../../src/backup/formats/bytes.ts";
import { compressionNames, uncompressed } from "../../../src/backup/formats/compression.ts";
import { type Diff, openDiff, writeMerged } from "../../../src/backup/formats/diff-merge.ts";
import { isRecordWhole, recordsOf } from "../../../src/backup/formats/diff-records.ts";
import { imageToDiff } from "../../../src/backup/formats/image-to-diff.ts";
import { logToIndexedDiff, logToSortedDiff } from "../../../src/backup/formats/log-to-diff.ts";
import { snappy } from "../../../src/backup/formats/compression.ts";
import {
  applied,
  chunksOfVector,
  diffOf,
  MemorySink,
  sorting,
  sourceOf,
  vector,
  vectorDirectory,
} from "../vectors.ts";
import { readdirSync } from "node:fs";

const names = readdirSync(vectorDirectory);
const diffNames = names.filter((name) => name.endsWith(".wdiff"));
const NO_UUID = new Uint8Array(16);

/** A stream in pieces of a fixed size, to cut every unit somewhere. */
async function* pieces(bytes: Uint8Array, size: number) {
  for (let at = 0; at < bytes.byteLength; at += size) yield bytes.subarray(at, at + size);
}

describe("log to diff makes the original's bytes", () => {
  test.each([
    ["log1.wlog", "log1.indexed.wdiff", 2048],
    ["log2.wlog", "log2.indexed.wdiff", 2048],
    ["log1.wlog", "log1.indexed.x2k.wdiff", 4],
  ])("%s as %s", async (log, diff, blocksMax) => {
    for (const size of [1, 511, 4097, 1 << 20]) {
      const sink = new MemorySink();
      await logToIndexedDiff(log, pieces(vector(log), size), sink, { compression: snappy, blocksMax });
      expect(sink.bytes.equals(vector(diff))).toBe(true);
    }
  });

  test.each([
    ["log1.wlog", "log1.sorted.wdiff", 2048],
    ["log2.wlog", "log2.sorted.wdiff", 2048],
    ["log1.wlog", "log1.sorted.x4k.wdiff", 8],
  ])("%s as %s", async (log, diff, blocksMax) => {
    const sink = new MemorySink();
    await logToSortedDiff(log, chunksOfVector(log), sink, sorting({ blocksMax }));
    expect(sink.bytes.equals(vector(diff))).toBe(true);
  });

  test("a log that can be read again gives the same diff as one that is spooled, and one that changed meanwhile none", async () => {
    for (const log of ["log1.wlog", "log2.wlog", "log3-pbs4k-rand.wlog", "craft.wlog"]) {
      const [spooled, again] = [new MemorySink(), new MemorySink()];
      await logToSortedDiff(log, chunksOfVector(log), spooled, sorting());
      await logToSortedDiff(log, chunksOfVector(log), again, sorting(), sourceOf(log));
      expect(again.bytes.equals(spooled.bytes)).toBe(true);
    }
    const changed = vector("log1.wlog");
    for (let at = 4096 + 512; at < changed.byteLength; at += 512) changed[at] = (changed[at] as number) ^ 1;
    const source = memorySource("changed.wlog", changed);
    const converted = logToSortedDiff(
      "changed.wlog",
      chunksOfVector("log1.wlog"),
      new MemorySink(),
      sorting(),
      source,
    );
    await expect(converted).rejects.toThrow("changed.wlog has changed while it was read");
  });

  test("without compression, the worked example of the specification", async () => {
    const sorted = new MemorySink();
    const options = sorting({ compression: uncompressed });
    await logToSortedDiff("craft", chunksOfVector("craft.wlog"), sorted, options);
    expect(sorted.bytes.equals(vector("craft.sorted.none.wdiff"))).toBe(true);
    const indexed = new MemorySink();
    await logToIndexedDiff("craft", chunksOfVector("craft.wlog"), indexed, {
      compression: uncompressed,
      blocksMax: 0,
    });
    const content = await applied(new Uint8Array(65536), [await openDiff(memorySource("x", indexed.bytes))]);
    expect(
      content.equals(await applied(new Uint8Array(65536), [await diffOf("craft.indexed.none.wdiff")])),
    ).toBe(true);
  });
});

test.each([true, false])("a whole image as a diff has its content (indexed: %s)", async (isIndexed) => {
  const sink = new MemorySink();
  const image = vector("small.img");
  await imageToDiff("small", pieces(image, 1000), sink, { ...sorting(), ioBytes: 4096, isIndexed });
  const diff = await openDiff(memorySource("full", sink.bytes));
  const other = Buffer.alloc(image.byteLength, 0xee);
  expect((await applied(other, [diff])).equals(image)).toBe(true);
  // The original's has data where ours has all-zero records.
  expect((await applied(other, [await diffOf(`full.${diff.type}.wdiff`)])).equals(image)).toBe(true);
});

describe("merge", () => {
  test.each([...compressionNames])("recompresses to the original's bytes: %s", async (name) => {
    const sink = new MemorySink();
    const compression = { id: compressionNames.indexOf(name), level: 0, threads: 1 };
    await writeMerged([await diffOf("log1.sorted.wdiff")], NO_UUID, sink, { compression, blocksMax: 0 });
    expect(sink.bytes.equals(vector(`log1.sorted.${name}.wdiff`))).toBe(true);
  });

  test.each(["log1.sorted.wdiff", "log1.indexed.wdiff"])(
    "of three diffs makes the original's records (%s)",
    async (first) => {
      const third = new MemorySink();
      await logToSortedDiff("log3", chunksOfVector("log3-pbs4k-rand.wlog"), third, sorting());
      const diffs = [
        await diffOf(first),
        await diffOf("log2.sorted.wdiff"),
        await openDiff(memorySource("log3", third.bytes)),
      ];
      const sink = new MemorySink();
      await writeMerged(diffs, NO_UUID, sink, { compression: snappy, blocksMax: 0 });
      const ours = await applied(vector("base.img"), [await openDiff(memorySource("merged", sink.bytes))]);
      expect(ours.equals(await applied(vector("base.img"), [await diffOf("merged123.sorted.wdiff")]))).toBe(
        true,
      );
      if (first.includes("sorted")) expect(sink.bytes.equals(vector("merged123.sorted.wdiff"))).toBe(true);
    },
  );
});

test.each([
  [true, 0],
  [true, 8],
  [true, 128],
  [false, 0],
  [false, 8],
  [false, 128],
])(
  "four diffs merged are the four one after the other (sorted: %s, longest record: %i blocks)",
  async (isSorted, blocksMax) => {
    const diffs: Diff[] = [];
    for (const log of ["log1.wlog", "log3-pbs4k-rand.wlog", "log2.wlog", "craft.wlog"]) {
      const sink = new MemorySink();
      if (isSorted) await logToSortedDiff(log, chunksOfVector(log), sink, sorting({ blocksMax }));
      else await logToIndexedDiff(log, chunksOfVector(log), sink, { compression: snappy, blocksMax });
      diffs.push(await openDiff(memorySource(log, sink.bytes)));
    }
    let image: Buffer = vector("base.img");
    for (const diff of diffs) image = await applied(image, [diff]);
    const merged = new MemorySink();
    await writeMerged(diffs, NO_UUID, merged, { compression: snappy, blocksMax });
    const whole = await openDiff(memorySource("merged", merged.bytes));
    for await (const { blocks } of recordsOf(whole))
      if (blocksMax > 0) expect(blocks).toBeLessThanOrEqual(blocksMax);
    expect((await applied(vector("base.img"), [whole])).equals(image)).toBe(true);
    expect(image.equals(vector("base.img"))).toBe(false);
  },
);

test.each(diffNames)("%s: every record is whole, and merged alone it keeps its content", async (name) => {
  const diff = await diffOf(name);
  let blocks = 0;
  for await (const record of recordsOf(diff)) {
    expect(await isRecordWhole(diff, record)).toBe(true);
    blocks += record.blocks;
  }
  expect(blocks).toBeGreaterThan(0);
  const sink = new MemorySink();
  await writeMerged([diff], diff.uuid, sink, { compression: uncompressed, blocksMax: 0 });
  const again = await openDiff(memorySource("again", sink.bytes));
  const image = Buffer.alloc(1 << 21, 7);
  expect((await applied(image, [again])).equals(await applied(image, [diff]))).toBe(true);
});

test("other people's decoders read what we compress", async () => {
  const content = Buffer.from("the same words again and again, ".repeat(512)).subarray(0, 8192);
  const image = Buffer.alloc(1 << 16);
  image.set(content, 4096);
  const decoders: Record<string, (bytes: Uint8Array) => Uint8Array> = {
    gzip: (bytes) => inflateSync(bytes),
    zstd: (bytes) => Bun.zstdDecompressSync(bytes as Uint8Array<ArrayBuffer>),
    lzma: (bytes) => Bun.spawnSync(["xz", "-dc"], { stdin: bytes }).stdout,
  };
  for (const [name, decode] of Object.entries(decoders)) {
    const sink = new MemorySink();
    const compression = { id: compressionNames.indexOf(name as "gzip"), level: 0, threads: 1 };
    const options = { ...sorting({ compression }), ioBytes: 8192 };
    await imageToDiff("image", pieces(image, 4096), sink, { ...options, isIndexed: false });
    const diff = await openDiff(memorySource(name, sink.bytes));
    const made: Buffer[] = [];
    for await (const record of recordsOf(diff)) {
      expect(["normal", "zero"]).toContain(record.kind);
      if (record.kind === "zero") continue;
      expect(compressionNames[record.codec]).toBe(name as "gzip");
      const stored = sink.bytes.subarray(record.fileOffset, record.fileOffset + record.bytes);
      made.push(Buffer.from(decode(stored)));
    }
    expect(Buffer.concat(made).equals(image.subarray(0, 16384))).toBe(true);
  }
});

/** `node-x walb wdiff`: tools for diffs. */
import { Exit, NxError } from "../../core/errors.ts";
import { printJson } from "../../core/print.ts";
import { defineVerb } from "../../core/verb.ts";
import { WDIFF_HEADER_BYTES } from "../../native/blocks.ts";
import { chunksOf } from "../formats/bytes.ts";
import { parseCompression, snappy } from "../formats/compression.ts";
import { type Diff, type MergeResult, mergedRuns, openDiff, writeMerged } from "../formats/diff-merge.ts";
import { isRecordWhole, recordsOf } from "../formats/diff-records.ts";
import { ImageWriter } from "../formats/image.ts";
import { imageToDiff } from "../formats/image-to-diff.ts";
import { BLOCK_BYTES, uuidText } from "../formats/units.ts";
import { DiffStatistics, headLines, ioLines, mergeLine, recordText } from "../tools/diff-text.ts";
import { sizeOf, wanted } from "./options.ts";
import { shown, type ToolCall, toolVerb } from "./tool-verb.ts";
import { discardRuleOf } from "./wlog.ts";

const show = toolVerb({
  name: "show",
  summary: "Print diff files: header, records, statistics",
  original: "wdiff-show",
  usage: [
    "WDIFF… (none: standard input)",
    "-search -addr BLOCK: only records that cover it",
    "-stat: statistics",
    "-nohead, -norec: not these",
    "-csum: check the data",
  ],
  options: { search: "flag", addr: "value", stat: "flag", nohead: "flag", norec: "flag", csum: "flag" },
  examples: [
    {
      command: "node-x walb wdiff show -stat -csum snapshot.wdiff",
      shows: "Print a diff and check its data",
    },
  ],
  async run(call) {
    const { options, files, isJson, stdout } = call;
    const address = options.has("search") ? options.number("addr", 0) : undefined;
    const statistics = new DiffStatistics();
    let damaged = 0;
    for (const name of options.words.length === 0 ? ["-"] : options.words) {
      const diff = await openDiff(await files.source(name));
      damaged += await showOne(call, diff, address, statistics);
    }
    if (options.has("stat")) {
      const entries = statistics.entries();
      if (isJson) stdout.write(`${JSON.stringify({ stat: Object.fromEntries(entries) })}\n`);
      else for (const [name, value] of entries) stdout.write(`wdiff_stat: ${name} ${value}\n`);
    }
    return damaged === 0 ? Exit.ok : Exit.dataError;
  },
});

async function showOne(
  call: ToolCall,
  diff: Diff,
  address: number | undefined,
  statistics: DiffStatistics,
): Promise<number> {
  const { options, isJson, stdout, stderr } = call;
  const { writeWdiffHeader } = await import("../../native/blocks.ts");
  // A pipe's header is gone by now; the same one is made again.
  const header = writeWdiffHeader(diff.type, diff.uuid).subarray(0, WDIFF_HEADER_BYTES);
  if (!options.has("nohead")) {
    stdout.write(
      isJson
        ? `${JSON.stringify({ head: { type: diff.type, uuid: uuidText(diff.uuid) } })}\n`
        : headLines(diff, header),
    );
  }
  statistics.nextFile(diff);
  let damaged = 0;
  for await (const record of recordsOf(diff)) {
    if (address !== undefined && (address < record.address || address >= record.address + record.blocks))
      continue;
    statistics.add(diff, record);
    if (!options.has("norec"))
      stdout.write(isJson ? `${JSON.stringify({ record })}\n` : recordText(diff.type, record));
    if (!options.has("csum") || (await isRecordWhole(diff, record))) continue;
    damaged += 1;
    stderr.write(
      `NG: ${diff.source.name}: the data of this record is damaged: ${recordText(diff.type, record)}`,
    );
  }
  return damaged;
}

const merge = toolVerb({
  name: "merge",
  summary: "Merge diffs, older ones first, into one sorted diff",
  original: "wdiff-merge",
  usage: [
    "-i WDIFF…, oldest first",
    "-o FILE (-)",
    "-x SIZE of the longest record (0 is no limit)",
    "-cmpr TYPE:LEVEL:THREADS (snappy:0:1)",
    "-stat",
  ],
  options: { i: "list", o: "value", x: "value", cmpr: "value", stat: "flag" },
  examples: [
    { command: "node-x walb wdiff merge -i old.wdiff new.wdiff -o both.wdiff", shows: "Merge two diffs" },
  ],
  async run({ options, files, isJson, stderr, progress }) {
    options.positionals([]);
    const names = options.list("i");
    if (names.length === 0) throw new NxError("NX_USAGE", "-i is missing: which diffs?");
    const text = options.text("cmpr", "snappy:0:1");
    const compression = parseCompression(text);
    if (compression === undefined)
      throw wanted("-cmpr", "none, snappy, gzip, lzma, lz4 or zstd, and :LEVEL:THREADS", text);
    const blocksMax = Math.floor(options.size("x", 0) / BLOCK_BYTES);
    const diffs: Diff[] = [];
    for (const name of names) diffs.push(await openDiff(shown(await files.source(name), progress)));
    const { uuid } = diffs.at(-1) as Diff;
    const result = await files.writeTo(options.text("o", "-"), (sink) =>
      writeMerged(diffs, uuid, sink, { compression, blocksMax }),
    );
    progress.end();
    if (isJson) printJson(stderr, result);
    else if (options.has("stat"))
      stderr.write(
        mergeLine("mergeIn", names.length, result.inputs) + mergeLine("mergeOut", 1, result.output),
      );
    return Exit.ok;
  },
});

const redo = toolVerb({
  name: "redo",
  summary: "Apply one diff to an image or a device",
  original: "wdiff-redo",
  usage: [
    "DEVICE",
    "-i WDIFF (-)",
    "-d: discards give their space back",
    "-z: discards become zeros (neither: they are ignored)",
  ],
  options: { i: "value", d: "flag", z: "flag" },
  examples: [{ command: "node-x walb wdiff redo volume.img -z -i snapshot.wdiff", shows: "Apply a diff" }],
  async run({ options, files, isJson, stdout, progress }) {
    const [device = ""] = options.positionals(["DEVICE"]);
    const rule = discardRuleOf(options);
    const image = await files.image(device);
    const diff = await openDiff(await files.source(options.text("i", "-")));
    let result: MergeResult | undefined;
    const writer = new ImageWriter(files.world.disk, image, rule);
    try {
      const options = { readyBytes: 4 << 20, onResult: (each: MergeResult) => (result = each) };
      for await (const runs of mergedRuns([diff], options)) {
        await writer.write(runs);
        progress.show(`block ${runs.runs.at(-1)?.address ?? 0} of ${image.blocks}`);
      }
      await writer.finish();
    } finally {
      await writer.close();
    }
    progress.end();
    const { inputs, output } = result as MergeResult;
    if (isJson) printJson(stdout, { inputs, output });
    else stdout.write(ioLines("Input", inputs) + ioLines("Output", output));
    return Exit.ok;
  },
});

const full = toolVerb({
  name: "full",
  summary: "Make a diff of a whole image",
  original: "wdiff-full",
  usage: ["-i IMAGE (-)", "-o FILE (-)", "-ios SIZE of a record (64K)", "-indexed"],
  options: { i: "value", o: "value", ios: "value", indexed: "flag" },
  examples: [
    {
      command: "node-x walb wdiff full -i volume.img -o volume.wdiff",
      shows: "Make a diff that holds everything",
    },
  ],
  async run({ options, files, isJson, stderr, progress }) {
    options.positionals([]);
    const ioBytes = sizeOf(options.text("ios", "64K"), "-ios");
    if (ioBytes === 0 || ioBytes % BLOCK_BYTES !== 0 || ioBytes > 64 << 20)
      throw new NxError(
        "NX_USAGE",
        `ioSize must be multiples of logical block size ${BLOCK_BYTES}, at most 64M.`,
      );
    const input = options.text("i", "-");
    const image = chunksOf(shown(await files.source(input), progress));
    const { disk, random } = files.world;
    const settings = {
      compression: snappy,
      ioBytes,
      isIndexed: options.has("indexed"),
      disk,
      random,
      spoolDirectory: files.spoolDirectory,
    };
    const blocks = await files.writeTo(options.text("o", "-"), (sink) =>
      imageToDiff(input, image, sink, settings),
    );
    progress.end();
    if (isJson) printJson(stderr, { blocks });
    return Exit.ok;
  },
});

export const wdiffVerb = defineVerb({
  name: "wdiff",
  summary: "Print, merge, apply and make WalB diffs",
  examples: [{ command: "node-x walb wdiff show snapshot.wdiff", shows: "Print a diff" }],
  subVerbs: {
    show: async () => show,
    merge: async () => merge,
    redo: async () => redo,
    full: async () => full,
  },
});

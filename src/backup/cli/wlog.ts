/** `node-x walb wlog`: tools for logs. */
import { Exit, NxError } from "../../core/errors.ts";
import { printJson } from "../../core/print.ts";
import { defineVerb } from "../../core/verb.ts";
import { saltedChecksum } from "../../native/blocks.ts";
import { snappy } from "../formats/compression.ts";
import type { DiscardRule } from "../formats/image.ts";
import { LogDevice } from "../formats/log-device.ts";
import { dataOf, isWhole, readLog } from "../formats/log-packs.ts";
import { chunksOf } from "../formats/bytes.ts";
import { indexBlocksMax, logToIndexedDiff, logToSortedDiff } from "../formats/log-to-diff.ts";
import { type Replayed, replayLog } from "../formats/replay.ts";
import { BLOCK_BYTES, NO_LSID, uuidText } from "../formats/units.ts";
import { readDevice, restoreDevice } from "../tools/log-device-copy.ts";
import { generateLog } from "../tools/log-gen.ts";
import { headerLine, hex, LogStatistics, packLines, recordLine } from "../tools/log-text.ts";
import { type Options, wanted } from "./options.ts";
import { shown, toolVerb } from "./tool-verb.ts";

const show = toolVerb({
  name: "show",
  summary: "Print a log file: header, packs and records, statistics",
  original: "wlog-show",
  usage: [
    "WLOG (-: standard input)",
    "-b LSID, -e LSID: only these packs",
    "-head, -pack, -stat: only these parts",
    "-none: no part",
    "-validate: check the data",
  ],
  options: {
    b: "value",
    e: "value",
    head: "flag",
    pack: "flag",
    stat: "flag",
    none: "flag",
    validate: "flag",
  },
  examples: [
    { command: "node-x walb wlog show -validate volume.wlog", shows: "Print a log and check its data" },
  ],
  async run({ options, files, isJson, stdout, stderr }) {
    const [name = "-"] = options.positionals(["WLOG"], 0);
    const isPicked = ["head", "pack", "stat", "none"].some((part) => options.has(part));
    const wants = (part: string) => !options.has("none") && (!isPicked || options.has(part));
    const [begin, end] = [options.big("b", 0n), options.big("e", NO_LSID)];
    const { header, packs } = await readLog(name, await files.stream(name));
    const statistics = new LogStatistics(header);
    let damaged = 0;
    if (wants("head")) {
      if (isJson)
        stdout.write(
          `${JSON.stringify({ head: { ...header, uuid: uuidText(header.uuid), firstLsid: String(header.firstLsid), endLsid: String(header.endLsid) } })}\n`,
        );
      else stdout.write(`${headerLine(header)}\n`);
    }
    for await (const pack of packs) {
      if (pack.lsid + 1n + BigInt(pack.total) <= begin || pack.lsid >= end) continue;
      statistics.add(pack);
      if (wants("pack")) {
        const { lsid, total, records } = pack;
        stdout.write(
          isJson ? `${JSON.stringify({ pack: { lsid: String(lsid), total, records } })}\n` : packLines(pack),
        );
      }
      if (!options.has("validate")) continue;
      for (const record of pack.records) {
        if (isWhole(pack, record, header.physicalBytes, header.salt)) continue;
        damaged += 1;
        const computed = saltedChecksum(dataOf(pack, record, header.physicalBytes), header.salt);
        stderr.write(`NG: ${recordLine(pack, record)}\ncsum ${hex(record.checksum)}:${hex(computed)}\n`);
      }
    }
    if (wants("stat")) {
      const entries = statistics.entries();
      if (isJson) stdout.write(`${JSON.stringify({ stat: Object.fromEntries(entries) })}\n`);
      else stdout.write(entries.map(([key, value]) => `${key} ${value}\n`).join(""));
    }
    return damaged === 0 ? Exit.ok : Exit.dataError;
  },
});

const cat = toolVerb({
  name: "cat",
  summary: "Copy the log of a log device into a log file",
  original: "wlog-cat",
  usage: [
    "DEVICE",
    "-o FILE (-)",
    "-b LSID, -e LSID: only these packs",
    "-s: keep a pack whose data is damaged",
    "-f: begin before the oldest lsid",
    "-noaio: no effect",
  ],
  options: { o: "value", b: "value", e: "value", noaio: "flag", s: "flag", f: "flag" },
  examples: [{ command: "node-x walb wlog cat /dev/log -o volume.wlog", shows: "Save the log of a device" }],
  async run({ options, files, stderr }) {
    const [name = ""] = options.positionals(["LOG_DEVICE"]);
    const device = await LogDevice.open(name, await files.open(name, "read"));
    const range = {
      begin: options.big("b", 0n),
      end: options.big("e", NO_LSID),
      keepsDamaged: options.has("s"),
      ignoresOldest: options.has("f"),
    };
    const end = await files.writeTo(options.text("o", "-"), (sink) => readDevice(device, range, sink));
    stderr.write(`the log ends at lsid ${end}\n`);
    return Exit.ok;
  },
});

function physicalOf(options: Options): 512 | 4096 {
  const bytes = options.size("b", 512);
  if (bytes !== 512 && bytes !== 4096) throw wanted("-b", "512 or 4096", String(bytes));
  return bytes;
}

const gen = toolVerb({
  name: "gen",
  summary: "Make a random log file",
  original: "wlog-gen",
  usage: [
    "-s SIZE of the device (16M)",
    "-minIoSize, -maxIoSize (512, 32K)",
    "-minDiscardSize, -maxDiscardSize (512, 64M)",
    "-b 512|4096",
    "-maxPackSize (16M)",
    "-z SIZE of the log (1M)",
    "-lsid N (0)",
    "-nopadding, -nodiscard, -noallzero",
    "-rand: random data",
    "-o FILE (-)",
  ],
  options: {
    s: "value", minIoSize: "value", maxIoSize: "value", minDiscardSize: "value", maxDiscardSize: "value", b: "value", maxPackSize: "value",
    z: "value", lsid: "value", nopadding: "flag", nodiscard: "flag", noallzero: "flag", rand: "flag", o: "value",
  }, // prettier-ignore
  examples: [{ command: "node-x walb wlog gen -z 64M -o random.wlog", shows: "Make a log of 64 MiB" }],
  async run({ options, files, isJson, stderr }) {
    options.positionals([]);
    const settings = {
      deviceBytes: options.size("s", 16 << 20),
      ioBytes: [options.size("minIoSize", 512), options.size("maxIoSize", 32 << 10)] as [number, number],
      discardBytes: [options.size("minDiscardSize", 512), options.size("maxDiscardSize", 64 << 20)] as [
        number,
        number,
      ],
      physicalBytes: physicalOf(options),
      packBytesMax: options.size("maxPackSize", 16 << 20),
      logBytes: options.size("z", 1 << 20),
      firstLsid: options.big("lsid", 0n),
      hasPadding: !options.has("nopadding"),
      hasDiscards: !options.has("nodiscard"),
      hasZeros: !options.has("noallzero"),
      isRandom: options.has("rand"),
    };
    const end = await files.writeTo(options.text("o", "-"), (sink) =>
      generateLog(files.world.random, settings, sink),
    );
    if (isJson) printJson(stderr, { endLsid: String(end) });
    return Exit.ok;
  },
});

export function discardRuleOf(options: Options): DiscardRule {
  if (options.has("d") && options.has("z")) throw new NxError("NX_USAGE", "-d and -z exclude each other");
  return options.has("d") ? "passdown" : options.has("z") ? "zero" : "ignore";
}

/** What a replay prints: figures of the log, then IOs with their blocks. */
function replayText(replayed: Replayed, rule: DiscardRule): string {
  const { firstLsid, endLsid, counts, visible, overwritten, visibleBlocks } = replayed;
  const { normalBlocks, discardBlocks, zeroBlocks, paddingPhysical, writes, discardWrites } = counts;
  const zeros = zeroBlocks + (rule === "zero" ? discardBlocks : 0);
  const all = normalBlocks + discardBlocks + zeroBlocks;
  const lines = [
    `Applied lsid range [${firstLsid}, ${endLsid})`,
    `normal: ${normalBlocks} LB`,
    `discard: ${rule === "passdown" ? discardBlocks : 0} LB`,
    `allZero: ${zeros} LB`,
    `ignored: ${rule === "ignore" ? discardBlocks : 0} LB`,
    `padding: ${paddingPhysical} PB`,
    `normal: ${writes - discardWrites} (${normalBlocks + zeroBlocks} LB)`,
    `discard: ${discardWrites} (${discardBlocks} LB)`,
    `written: ${visible} (${visibleBlocks} LB)`,
    `overwritten: ${overwritten} (${all - visibleBlocks} LB)`,
    "clipped: 0 (0 LB)",
  ];
  return lines.map((line) => `${line}\n`).join("");
}

const redo = toolVerb({
  name: "redo",
  summary: "Replay a log file on an image or a device",
  original: "wlog-redo",
  usage: [
    "DEVICE",
    "-i WLOG (-)",
    "-d: discards give their space back",
    "-z: discards become zeros (neither: they are ignored)",
    "-skipcsum: take damaged data as it is",
    "-noaio: no effect",
  ],
  options: { i: "value", d: "flag", z: "flag", skipcsum: "flag", noaio: "flag" },
  examples: [
    { command: "node-x walb wlog redo volume.img -z -i volume.wlog", shows: "Bring an image up to date" },
  ],
  async run({ options, files, isJson, stdout, progress }) {
    const [device = ""] = options.positionals(["DEVICE"]);
    const rule = discardRuleOf(options);
    const image = await files.image(device);
    const input = options.text("i", "-");
    const result = await replayLog(await files.source(input), image, {
      rule,
      disk: files.world.disk,
      trustsData: options.has("skipcsum"),
      onProgress: (lsid) => progress.show(`lsid ${lsid}`),
    });
    progress.end();
    if (isJson)
      printJson(stdout, { ...result, firstLsid: String(result.firstLsid), endLsid: String(result.endLsid) });
    else stdout.write(replayText(result, rule));
    return Exit.ok;
  },
});

const restore = toolVerb({
  name: "restore",
  summary: "Write a log file (standard input) into a log device",
  original: "wlog-restore",
  usage: [
    "DEVICE, made by `ldev format`",
    "-b LSID, -e LSID: only these packs",
    "-d N: add to every lsid",
    "-i LSID: destroy this pack afterwards",
    "-s SIZE of the data device: leave out what lies beyond",
    "-verify: read back",
  ],
  options: { b: "value", e: "value", d: "value", i: "value", s: "value", verify: "flag" },
  examples: [
    { command: "node-x walb wlog restore /dev/log -verify < volume.wlog", shows: "Bring a log back" },
  ],
  async run({ options, files, isJson, stdout }) {
    const [name = ""] = options.positionals(["LOG_DEVICE"]);
    const device = await LogDevice.open(name, await files.open(name, "readWrite"));
    const [begin, end, lsidDiff] = [options.big("b", 0n), options.big("e", NO_LSID), options.big("d", 0n)];
    const result = await restoreDevice("standard input", await files.stream("-"), device, {
      begin,
      end,
      lsidDiff,
      invalidLsid: options.has("i") ? options.big("i", 0n) : undefined,
      deviceBlocks: options.has("s") ? Math.floor(options.size("s", 0) / BLOCK_BYTES) : undefined,
      isVerified: options.has("verify"),
    });
    const { ring, wlog, endDiff } = result;
    if (isJson) {
      printJson(stdout, { wlog: wlog.map(String), ring: ring.map(String), endDiff: String(endDiff) });
      return Exit.ok;
    }
    stdout.write(`Try to restore lsid range [${begin > wlog[0] ? begin : wlog[0]}, ${end})\n`);
    stdout.write(`Restored lsid range [${ring[0]}, ${ring[1]}]\nWlog lsid range [${wlog[0]}, ${wlog[1]}]\n`);
    stdout.write(`Lsid diff start ${lsidDiff} end ${endDiff}\n`);
    return Exit.ok;
  },
});

const toDiff = toolVerb({
  name: "to-wdiff",
  summary: "Make a diff of a log",
  original: "wlog-to-wdiff",
  usage: [
    "-i WLOG (-); several logs may follow each other",
    "-o FILE (-)",
    "-x SIZE of the longest record (1M; 0 is no limit)",
    "-indexed",
  ],
  options: { i: "value", o: "value", x: "value", indexed: "flag" },
  examples: [
    { command: "node-x walb wlog to-wdiff -i volume.wlog -o volume.wdiff", shows: "Make a sorted diff" },
  ],
  async run({ options, files, isJson, stderr, progress }) {
    options.positionals([]);
    const [input, output] = [options.text("i", "-"), options.text("o", "-")];
    const blocks = Math.floor(options.size("x", 1 << 20) / BLOCK_BYTES);
    const { disk, random } = files.world;
    const source = shown(await files.source(input), progress);
    const log = chunksOf(source);
    const result = await files.writeTo(output, (sink) => {
      if (options.has("indexed"))
        return logToIndexedDiff(input, log, sink, { compression: snappy, blocksMax: indexBlocksMax(blocks) });
      const spoolDirectory = files.spoolDirectory;
      const sorted = { compression: snappy, blocksMax: blocks, disk, random, spoolDirectory };
      return logToSortedDiff(input, log, sink, sorted, source.file === undefined ? undefined : source);
    });
    progress.end();
    if (isJson)
      printJson(stderr, {
        ...result,
        uuid: uuidText(result.uuid),
        firstLsid: String(result.firstLsid),
        endLsid: String(result.endLsid),
      });
    else stderr.write(`converted until lsid ${result.endLsid}\n`);
    return Exit.ok;
  },
});

export const wlogVerb = defineVerb({
  name: "wlog",
  summary: "Print, make, copy, replay and convert WalB logs",
  examples: [{ command: "node-x walb wlog show volume.wlog", shows: "Print a log" }],
  subVerbs: {
    show: async () => show,
    cat: async () => cat,
    gen: async () => gen,
    redo: async () => redo,
    restore: async () => restore,
    "to-wdiff": async () => toDiff,
  },
});

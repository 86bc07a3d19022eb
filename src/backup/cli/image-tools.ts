/** `node-x walb bdiff`, `virt-full` and `ldev`: images compared, images seen through diffs, log devices. */
import { Exit, NxError } from "../../core/errors.ts";
import { printJson } from "../../core/print.ts";
import { defineVerb } from "../../core/verb.ts";
import { compareBlocks } from "../../native/blocks.ts";
import { CHUNK_BYTES } from "../formats/bytes.ts";
import { type Diff, type MergeResult, openDiff } from "../formats/diff-merge.ts";
import {
  encodeSuperBlock,
  LogDevice,
  ringStart,
  SUPER_OFFSET,
  type SuperBlock,
} from "../formats/log-device.ts";
import { uuidText } from "../formats/units.ts";
import { mergeLine } from "../tools/diff-text.ts";
import { virtualImage } from "../tools/virtual-image.ts";
import { sizeOf, wanted } from "./options.ts";
import { toolVerb } from "./tool-verb.ts";

export const bdiffVerb = toolVerb({
  name: "bdiff",
  summary: "Compare two files block by block; exit code 1 when they differ",
  original: "bdiff",
  usage: [
    "FILE1 FILE2",
    "-b SIZE of a block (512)",
    "-v: which blocks, with their bytes",
    "-l N: bytes in a line of these (64)",
  ],
  options: { b: "value", d: "flag", l: "value" },
  examples: [{ command: "node-x walb bdiff before.img after.img", shows: "Count the blocks that differ" }],
  async run({ options, files, isJson, stdout, progress }) {
    const [first = "", second = ""] = options.positionals(["FILE1", "FILE2"]);
    const blockBytes = sizeOf(options.text("b", "512"), "-b");
    if (blockBytes === 0) throw wanted("-b", "a size above 0", "0");
    const [a, b] = [await files.source(first), await files.source(second)];
    const bytes = Math.min(a.bytes, b.bytes);
    const chunk = Math.max(blockBytes, CHUNK_BYTES - (CHUNK_BYTES % blockBytes));
    const [left, right] = [new Uint8Array(chunk), new Uint8Array(chunk)];
    const differs = new Uint8Array(Math.ceil(chunk / blockBytes));
    let [different, compared] = [0, 0];
    for (let offset = 0; offset < bytes; offset += chunk) {
      const length = Math.min(chunk, bytes - offset);
      const got = await Promise.all([
        a.read(left.subarray(0, length), offset),
        b.read(right.subarray(0, length), offset),
      ]);
      const common = Math.min(...got);
      different += compareBlocks(left.subarray(0, common), right.subarray(0, common), blockBytes, differs);
      const blocks = Math.ceil(common / blockBytes);
      for (let index = 0; options.has("v") && index < blocks; index++) {
        if (differs[index] === 0) continue;
        const [from, to] = [index * blockBytes, Math.min((index + 1) * blockBytes, common)];
        const width = options.number("l", 64);
        stdout.write(
          `block ${compared + index} differ\n${hexLines(left.subarray(from, to), width)}${hexLines(right.subarray(from, to), width)}`,
        );
      }
      compared += blocks;
      progress.show(`${offset} of ${bytes} bytes`);
      if (common < length) break;
    }
    progress.end();
    if (isJson) printJson(stdout, { differing: different, compared });
    else stdout.write(`${different}/${compared} differs\n`);
    return different === 0 ? Exit.ok : Exit.failed;
  },
});

function hexLines(bytes: Uint8Array, width: number): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.byteLength; at += Math.max(1, width))
    lines.push(`${Buffer.from(bytes.subarray(at, at + Math.max(1, width))).toString("hex")}\n`);
  return lines.join("");
}

export const virtFullVerb = toolVerb({
  name: "virt-full",
  summary: "Write an image as it is after a chain of diffs; the image stays as it is",
  original: "virt-full-cat",
  usage: ["-i IMAGE", "-d WDIFF…, oldest first", "-o FILE (-)", "-b SIZE of the buffer (1M)", "-stat"],
  options: { i: "value", d: "list", o: "value", b: "value", stat: "flag" },
  examples: [
    {
      command: "node-x walb virt-full -i base.img -d 1.wdiff 2.wdiff -o restored.img",
      shows: "Restore a point in time",
    },
  ],
  async run({ options, files, isJson, stderr, progress }) {
    options.positionals([]);
    const image = options.text("i");
    if (image === undefined || image === "-") throw new NxError("NX_USAGE", "-i is missing: which image?");
    const names = options.list("d");
    const diffs: Diff[] = [];
    for (const name of names) diffs.push(await openDiff(await files.source(name)));
    const base = await files.source(image);
    const chunkBytes = Math.max(512, options.size("b", CHUNK_BYTES));
    let result: MergeResult | undefined;
    await files.writeTo(options.text("o", "-"), async (sink) => {
      let done = 0;
      for await (const chunk of virtualImage(base, diffs, {
        chunkBytes,
        onResult: (each) => (result = each),
      })) {
        await sink.append(chunk);
        done += chunk.byteLength;
        progress.show(`${done} of ${base.bytes} bytes`);
      }
    });
    progress.end();
    const { inputs, output } = result as MergeResult;
    if (isJson) printJson(stderr, { bytes: base.bytes, inputs, output });
    else if (options.has("stat"))
      stderr.write(mergeLine("mergeIn", names.length, inputs) + mergeLine("mergeOut", 1, output));
    return Exit.ok;
  },
});

/** `name: value` lines of a super block. */
function superText(block: SuperBlock): [string, string | number | bigint][] {
  return [
    ["sectorType", 1],
    ["version", 2],
    ["checksum", block.checksum],
    ["lbs", 512],
    ["pbs", block.physicalBytes],
    ["metadataSize", block.metadataBlocks],
    ["salt", block.salt],
    ["name", block.name],
    ["ringBufferSize", block.ringBlocks],
    ["oldestLsid", block.oldestLsid],
    ["writtenLsid", block.writtenLsid],
    ["deviceSize", block.deviceBlocks],
    ["ringBufferOffset", ringStart(block.physicalBytes)],
    ["uuid", uuidText(block.uuid)],
  ];
}

function printSuper(
  call: { isJson: boolean; stdout: { write(text: string): void } },
  block: SuperBlock,
): void {
  const entries = superText(block);
  if (call.isJson) {
    const plain = entries.map(([name, value]) => [name, typeof value === "bigint" ? String(value) : value]);
    call.stdout.write(`${JSON.stringify(Object.fromEntries(plain), null, 2)}\n`);
    return;
  }
  call.stdout.write(entries.map(([name, value]) => `${name}: ${value}\n`).join(""));
}

const format = toolVerb({
  name: "format",
  summary: "Make a log device for a data device (images or block devices)",
  original: "wdevc format-ldev",
  usage: ["LOG_DEVICE DATA_DEVICE", "-n NAME", "-b 512|4096: physical block", "-nd: no effect"],
  options: { n: "value", b: "value", nd: "flag" },
  examples: [
    { command: "node-x walb ldev format log.img data.img -n demo", shows: "Make a log device in an image" },
  ],
  async run(call) {
    const { options, files, stdout } = call;
    const [log = "", data = ""] = options.positionals(["LOG_DEVICE", "DATA_DEVICE"]);
    const physicalBytes = options.size("b", 512);
    if (physicalBytes !== 512 && physicalBytes !== 4096)
      throw wanted("-b", "512 or 4096", String(physicalBytes));
    const name = options.text("n", "");
    if (Buffer.byteLength(name) > 31) throw wanted("-n", "at most 31 bytes", name);
    const file = await files.open(log, "readWrite");
    const ringBlocks = Math.floor((await file.size()) / physicalBytes) - ringStart(physicalBytes);
    if (ringBlocks < 1) throw new NxError("NX_USAGE", `${log} is too small for a log device`);
    const { random } = files.world;
    const salt = new DataView(random.bytes(4).buffer).getUint32(0, true);
    const deviceBlocks = BigInt((await files.image(data)).blocks);
    const block = {
      physicalBytes,
      metadataBlocks: 0,
      salt,
      uuid: random.bytes(16),
      name,
      ringBlocks: BigInt(ringBlocks),
      oldestLsid: 0n,
      writtenLsid: 0n,
      deviceBlocks,
    };
    await file.write(encodeSuperBlock(block), SUPER_OFFSET);
    // No pack of an earlier life may be taken for this log's first.
    await file.write(new Uint8Array(physicalBytes), ringStart(physicalBytes) * physicalBytes);
    await file.sync();
    printSuper(call, (await LogDevice.open(log, file)).superBlock);
    if (!call.isJson) stdout.write("\n");
    return Exit.ok;
  },
});

const info = toolVerb({
  name: "info",
  summary: "Print the super block of a log device",
  original: "wldev-info",
  usage: ["LOG_DEVICE"],
  options: {},
  examples: [{ command: "node-x walb ldev info log.img", shows: "Print uuid, salt, ring and lsids" }],
  async run(call) {
    const [log = ""] = call.options.positionals(["LOG_DEVICE"]);
    printSuper(call, (await LogDevice.open(log, await call.files.open(log, "read"))).superBlock);
    return Exit.ok;
  },
});

export const ldevVerb = defineVerb({
  name: "ldev",
  summary: "Make and look at log devices",
  examples: [{ command: "node-x walb ldev info log.img", shows: "Print a super block" }],
  subVerbs: { format: async () => format, info: async () => info },
});

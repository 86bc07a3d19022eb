/**
 * `node-x store`: looks at the store of a dht node that is not running, and saves what can be saved of a damaged one.
 *
 * For durability "log"; dumps have tools of their own. Exit code 65 means that something is damaged or was left out.
 */
import { basename, resolve } from "node:path";
import { problemText } from "../../core/append-log/inspect.ts";
import { Exit } from "../../core/errors.ts";
import { alignColumns, colorsFor, printJson, printTable } from "../../core/print.ts";
import { progressLine } from "../../core/progress-line.ts";
import { realClock } from "../../core/seams/clock.ts";
import { defineVerb, type Call, type Surroundings } from "../../core/verb.ts";
import type { StoreFile, StoreReading } from "../dht/offline/read.ts";
import type { SalvageReport } from "../dht/offline/salvage.ts";

const DAMAGE_HINT =
  "restore the directory from a backup or a replica; without either, `node-x store salvage DIR --to NEWDIR` copies what is intact";

const args = {
  dir: {
    type: "positional",
    required: true,
    description: "The data directory of a dht node that is stopped",
  },
  json: { type: "boolean", description: "Print JSON" },
} as const;

const checkVerb = defineVerb({
  name: "check",
  summary: "Read every group and every change of a store, and say what is damaged",
  description:
    "A store without problems is one that a node opens. Nothing is changed. It takes as much memory as the node. " +
    "A torn tail, which a crash leaves, is no damage: the next start cuts it.",
  args,
  examples: [
    { command: "node-x store check /var/lib/node-x/dht", shows: "Check the store of a stopped node" },
  ],
  async run(call) {
    const reading = await read(call);
    const isWhole = reading.problems.length === 0;
    if (call.args.json) printJson(call.stdout, { ok: isWhole, ...reading });
    else printCheck(reading, call);
    return isWhole ? Exit.ok : Exit.dataError;
  },
});

const statVerb = defineVerb({
  name: "stat",
  summary: "Show the files of a store and the records of each channel",
  args,
  examples: [
    { command: "node-x store stat /var/lib/node-x/dht", shows: "Show files and channels" },
    { command: "node-x store stat dht --json | jq .records", shows: "Count the records, for programs" },
  ],
  async run(call) {
    const reading = await read(call);
    if (call.args.json) printJson(call.stdout, reading);
    else printStat(reading, call);
    return reading.problems.length === 0 ? Exit.ok : Exit.dataError;
  },
});

const salvageVerb = defineVerb({
  name: "salvage",
  summary: "Copy everything intact of a damaged store into another directory, and say what was left out",
  description:
    "The last resort without backup or replica. The source is only read. What lies behind a gap is copied too, so a record may be " +
    "older than it was, or be back although it was removed. A node starts with NEWDIR as its dataDir.",
  args: {
    dir: { ...args.dir, description: "The damaged data directory" },
    to: { type: "string", required: true, valueHint: "NEWDIR", description: "Where to; it must not exist" },
    json: args.json,
  },
  examples: [
    {
      command: "node-x store salvage /var/lib/node-x/dht --to /var/lib/node-x/saved",
      shows: "Save what is intact",
    },
  ],
  async run(call) {
    const { salvageStore } = await import("../dht/offline/salvage.ts");
    const { world, dataDir, onProgress, end } = await setUp(call.args.dir, call);
    const to = resolve(call.workingDirectory, call.args.to);
    const report = await salvageStore({ world, dataDir, to, onProgress }).finally(end);
    const isWhole = report.baselessChanges === 0 && report.losses.every(({ isTornTail }) => isTornTail);
    if (call.args.json) printJson(call.stdout, { ok: isWhole, ...report });
    else printSalvage(report, call);
    return isWhole ? Exit.ok : Exit.dataError;
  },
});

export const storeVerb = defineVerb({
  name: "store",
  summary: "Check, describe or salvage the store of a dht node that is stopped",
  examples: [
    { command: "node-x store check /var/lib/node-x/dht", shows: "Find damage" },
    { command: "node-x store stat /var/lib/node-x/dht", shows: "Show files and channels" },
  ],
  subVerbs: {
    check: async () => checkVerb,
    stat: async () => statVerb,
    salvage: async () => salvageVerb,
  },
});

async function read(call: Call<typeof args>): Promise<StoreReading> {
  const { readStore } = await import("../dht/offline/read.ts");
  const { world, dataDir, onProgress, end } = await setUp(call.args.dir, call);
  return readStore(world, dataDir, onProgress).finally(end);
}

/** The real world, the directory as an absolute path, and a line of progress on a terminal. */
async function setUp(directory: string, { workingDirectory, stderr }: Surroundings) {
  const { realWorld } = await import("../../core/seams/world-real.ts");
  const line = progressLine(stderr, realClock);
  return {
    world: realWorld(),
    dataDir: resolve(workingDirectory, directory),
    onProgress: (path: string, done: number, total: number) =>
      line.show(`reading ${basename(path)}: ${percent(done, total)} of ${size(total)}`),
    end: () => line.end(),
  };
}

function printCheck(reading: StoreReading, { stdout, stderr, environment }: Surroundings): void {
  const colors = colorsFor(stdout, environment);
  printTable(
    stdout,
    ["FILE", "GROUPS", "BYTES", "STATE"],
    reading.files.map((file) => [file.name, String(file.frames), String(file.fileBytes), stateOf(file)]),
    colors,
  );
  for (const problem of reading.problems) stdout.write(`${colors.red("damaged:")} ${problemText(problem)}\n`);
  const frames = reading.files.reduce((sum, file) => sum + file.frames, 0);
  const counts = `${count(frames, "group")}, ${count(reading.effects, "change")}, ${count(reading.records, "record")}`;
  if (reading.problems.length === 0) stdout.write(`${colors.green("whole:")} ${counts}\n`);
  else {
    stdout.write(`intact: ${counts}\n`);
    stderr.write(`${colorsFor(stderr, environment).cyan("hint:")} ${DAMAGE_HINT}\n`);
  }
}

function printStat(reading: StoreReading, { stdout, environment }: Surroundings): void {
  const colors = colorsFor(stdout, environment);
  const fileRows = reading.files.map((file) => [
    file.name,
    String(file.payloadFormat),
    String(file.frames),
    String(file.fileBytes),
    file.ageMs === undefined ? "" : age(file.ageMs),
    stateOf(file),
  ]);
  printTable(stdout, ["FILE", "FORMAT", "GROUPS", "BYTES", "AGE", "STATE"], fileRows, colors);
  for (const name of reading.leftovers) stdout.write(`${name}\t(the next start removes it)\n`);
  stdout.write("\n");
  const channelRows = reading.channels.map((channel) => [
    channel.name,
    String(channel.records),
    String(channel.keyBytes),
    String(channel.valueBytes),
  ]);
  printTable(stdout, ["CHANNEL", "RECORDS", "KEY BYTES", "VALUE BYTES"], channelRows, colors);
  stdout.write(`\n${count(reading.records, "record")}, ${reading.expiring} of them with an expiry\n`);
  for (const problem of reading.problems) stdout.write(`${colors.red("damaged:")} ${problemText(problem)}\n`);
}

function printSalvage(report: SalvageReport, { stdout, environment }: Surroundings): void {
  const colors = colorsFor(stdout, environment);
  const rows = report.losses.map(({ path, offset, bytes, what }) => [
    `  ${path}`,
    `byte ${offset}`,
    bytes === 0 ? "" : count(bytes, "byte"),
    what,
  ]);
  if (rows.length > 0) stdout.write(`${colors.yellow("left out:")}\n${alignColumns(rows).join("\n")}\n`);
  if (report.baselessChanges > 0) {
    const changes = count(report.baselessChanges, "change");
    stdout.write(`${colors.yellow("left out:")} ${changes} of values whose earlier bytes are lost\n`);
  }
  stdout.write(`${colors.green("copied:")} ${count(report.records, "record")} to ${report.to}\n`);
  stdout.write(`start a node with --set dataDir=${report.to} and look at it before you rely on it\n`);
}

function stateOf(file: StoreFile): string {
  if (file.problem !== undefined) return "damaged";
  if (file.tornBytes > 0) return `torn tail of ${count(file.tornBytes, "byte")}; the next start cuts it`;
  return file.isSealed ? "whole" : "whole, not sealed";
}

const count = (value: number, noun: string) =>
  `${value.toLocaleString("en-US")} ${noun}${value === 1 ? "" : "s"}`;
const percent = (done: number, total: number) => `${total === 0 ? 100 : Math.floor((done / total) * 100)} %`;
const size = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/** `3 d 4 h`, `5 min`, `12 s`. */
function age(ageMs: number): string {
  const seconds = Math.floor(ageMs / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3600)} h`;
}

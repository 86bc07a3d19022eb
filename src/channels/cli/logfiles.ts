/**
 * `node-x logfiles`: checks, repairs and converts the records of a logfiles node that is not running.
 *
 * Exit code 65 means that something is damaged, 1 that sizes differ from what was noted.
 */
import { basename, resolve } from "node:path";
import { Exit } from "../../core/errors.ts";
import { colorsFor, printJson } from "../../core/print.ts";
import { progressLine } from "../../core/progress-line.ts";
import { realClock } from "../../core/seams/clock.ts";
import type { World } from "../../core/role.ts";
import { defineVerb, type Surroundings } from "../../core/verb.ts";
import type { CheckReport } from "../logfiles/offline/check.ts";
import type { Place } from "../logfiles/offline/directory.ts";

const json = { type: "boolean", description: "Print JSON" } as const;

const checkVerb = defineVerb({
  name: "check",
  summary: "Read every record, say what is damaged, and repair it with --fix",
  description:
    "Takes a node's data directory, a directory of channels, one channel or one bucket file, of either layout. Of a damaged bucket " +
    "file --fix keeps what stands before the first error, of a damaged segment every block that is whole; the original stays beside it " +
    "as .broken. The append log is checked and never changed.",
  args: {
    dir: { type: "positional", required: true, description: "What to check" },
    fix: { type: "boolean", description: "Repair what is damaged" },
    sizes: {
      type: "boolean",
      description: "Also compare the counts of bucket files with the files sizeinfo",
    },
    json,
  },
  examples: [
    {
      command: "node-x logfiles check /var/lib/node-x/logfiles",
      shows: "Check everything that a stopped node keeps",
    },
    {
      command: "node-x logfiles check --fix /srv/dht/log-dht-1/data/users",
      shows: "Repair one channel of an original node",
    },
  ],
  async run(call) {
    const { check } = await import("../logfiles/offline/check.ts");
    const { fix, sizes, dir } = call.args;
    return withPlace(dir, call, async (world, place, show) => {
      const reports = await check({
        ...world,
        place,
        isFixing: fix === true,
        checksSizes: sizes === true,
        onProgress: (path) => show(`checking ${basename(path)}`),
      });
      const differing = reports.filter(differsFromSizeInfo);
      if (call.args.json)
        printJson(call.stdout, { ok: reports.every(isWhole) && differing.length === 0, reports });
      else printReports(reports, sizes === true, call);
      if (!reports.every(isWhole)) return Exit.dataError;
      return differing.length === 0 ? Exit.ok : Exit.failed;
    });
  },
});

const layouts = ["segments", "classic"] as const;

const convertVerb = defineVerb({
  name: "convert",
  summary: "Copy the records of a stopped node into a new directory with the other layout",
  description:
    "The source is only read: files and append log together, as the node would serve them. NEWDIR appears when everything in it is " +
    "synced. A node starts with it as its dataDir and that layout; with `--channels-dir .` an original node starts with it, too.",
  args: {
    dir: {
      type: "positional",
      required: true,
      description: "Data directory, directory of channels, or one channel",
    },
    to: { type: "string", required: true, valueHint: "NEWDIR", description: "Where to; it must not exist" },
    layout: { type: "enum", options: [...layouts], required: true, description: "Of the copy" },
    "channels-dir": {
      type: "string",
      default: "channels",
      valueHint: "NAME",
      description: "Where in NEWDIR the channels are, `.` as the originals have it",
    },
    json,
  },
  examples: [
    {
      command:
        "node-x logfiles convert /srv/dht/log-dht-1/data --to /var/lib/node-x/logfiles --layout segments",
      shows: "Take the records of an original node over",
    },
    {
      command: "node-x logfiles convert logfiles --to classic --layout classic --channels-dir .",
      shows: "Give them back",
    },
  ],
  async run(call) {
    const { convert } = await import("../logfiles/offline/convert.ts");
    const { dir, to, layout } = call.args;
    return withPlace(dir, call, async ({ disk, random }, _place, show) => {
      const converted = await convert({
        disk,
        random,
        from: resolve(call.workingDirectory, dir),
        to: resolve(call.workingDirectory, to),
        layout: layout as (typeof layouts)[number],
        channelsDir: call.args["channels-dir"],
        level: 3,
        onProgress: (channel, records) => show(`copying ${channel}: ${records} records`),
      });
      if (call.args.json) printJson(call.stdout, converted);
      else
        for (const { name, records, valueBytes } of converted.channels)
          call.stdout.write(`${name}\trecords=${records} size=${valueBytes}\n`);
      if (converted.channels.length === 0) call.stderr.write(`${dir} holds no records, and so does ${to}\n`);
      return Exit.ok;
    });
  },
});

export const logfilesVerb = defineVerb({
  name: "logfiles",
  summary: "Check, repair or convert the records of a logfiles node that is stopped",
  examples: [{ command: "node-x logfiles check /var/lib/node-x/logfiles", shows: "Find damage" }],
  subVerbs: { check: async () => checkVerb, convert: async () => convertVerb },
});

/** The real world, what the path means, and a line of progress; no node can start there meanwhile. */
async function withPlace(
  path: string,
  { workingDirectory, stderr }: Surroundings,
  use: (world: Omit<World, "net">, place: Place, show: (text: string) => void) => Promise<number>,
): Promise<number> {
  const { realWorld } = await import("../../core/seams/world-real.ts");
  const { dataDirectoryOf, placeOf } = await import("../logfiles/offline/directory.ts");
  const { lockOf } = await import("../dht/offline/directory.ts");
  const world = realWorld();
  const absolute = resolve(workingDirectory, path);
  const place = await placeOf(world.disk, absolute);
  const dataDir = await dataDirectoryOf(world.disk, absolute);
  const lock = dataDir === undefined ? undefined : await lockOf(world.disk, dataDir);
  const line = progressLine(stderr, realClock);
  try {
    return await use(world, place, (text) => line.show(text));
  } finally {
    line.end();
    await lock?.release();
  }
}

const isWhole = ({ errors }: CheckReport) => errors.length === 0;

function differsFromSizeInfo({ sizeInfo, records, valueBytes, repairs }: CheckReport): boolean {
  if (sizeInfo === undefined || repairs.length > 0) return false;
  return sizeInfo.records !== records || sizeInfo.valueBytes !== valueBytes;
}

function printReports(
  reports: readonly CheckReport[],
  showsSizes: boolean,
  { stdout, environment }: Surroundings,
) {
  const colors = colorsFor(stdout, environment);
  for (const report of reports) {
    const { path, files, filesWithErrors, records, valueBytes, errors, repairs, sizeInfo } = report;
    const percent = files === 0 ? 0 : Math.round((filesWithErrors / files) * 1000) / 10;
    stdout.write(
      `${path}: ${files} files, ${filesWithErrors} with errors (${percent} %), ${records} records, ${errors.length} errors\n`,
    );
    if (showsSizes) stdout.write(`  records=${records} size=${valueBytes}\n`);
    if (sizeInfo !== undefined && differsFromSizeInfo(report))
      stdout.write(
        `  ${colors.red("sizeinfo differs:")} records=${sizeInfo.records} size=${sizeInfo.valueBytes}\n`,
      );
    for (const error of errors) stdout.write(`  ${colors.red("damaged:")} ${error}\n`);
    for (const repair of repairs) stdout.write(`  ${colors.yellow("repaired:")} ${repair}\n`);
  }
}

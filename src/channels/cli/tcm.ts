/**
 * `node-x tcm`: prints, makes, checks and backs up dump files. A node may be running meanwhile.
 *
 * Exit code 65 means that a file is damaged, or that a line is no record.
 */
import { resolve } from "node:path";
import { Exit, NxError } from "../../core/errors.ts";
import { colorsFor, printJson, printTable } from "../../core/print.ts";
import { defineVerb, type Output } from "../../core/verb.ts";
import type { TcmNote } from "../../native/tcm.ts";

const file = { type: "positional", required: true, description: "A .tcm file" } as const;
const json = { type: "boolean", description: "Print JSON" } as const;

async function world() {
  return (await import("../../core/seams/world-real.ts")).realWorld();
}

const noteTexts = {
  none: "",
  badKey: "the key is not 16 hex digits and not 8 bytes",
  emptyValue: "the value is empty",
  largeValue: "the value is too large",
  outOfRange: "another node's",
} as const;

function warner(stderr: Output, path: string): (notes: TcmNote[]) => void {
  return (notes) => {
    for (const { kind, offset } of notes)
      stderr.write(`warning: ${path}, record at byte ${offset}: ${noteTexts[kind]}; skipped\n`);
  };
}

const dumpVerb = defineVerb({
  name: "dump",
  summary: "Print the records of a .tcm file, one line each: <16 hex digits>:<base64>",
  args: { file },
  examples: [
    { command: "node-x tcm dump users.tcm | head", shows: "Look at the first records" },
    {
      command: "node-x tcm dump users.tcm | grep -v ^0 | node-x tcm load rest.tcm",
      shows: "Leave records out",
    },
  ],
  async run({ args, workingDirectory, stdout, stderr }) {
    const { printDump } = await import("../tcm/tools.ts");
    const path = resolve(workingDirectory, args.file);
    await printDump(
      (await world()).disk,
      path,
      (text) => text !== "" && stdout.write(text),
      warner(stderr, path),
    ).catch(missing(path));
    return Exit.ok;
  },
});

const loadVerb = defineVerb({
  name: "load",
  summary: "Make a .tcm file of lines <16 hex digits>:<base64> from standard input",
  description:
    "The file must not exist; it appears when it is complete. A line that is no record ends the command, and nothing is written.",
  args: { file },
  examples: [{ command: "node-x tcm load users.tcm < users.txt", shows: "Make a dump that a node loads" }],
  async run({ args, workingDirectory, stdin, stderr }) {
    const { makeDump } = await import("../tcm/tools.ts");
    const path = resolve(workingDirectory, args.file);
    const records = await makeDump(await world(), path, stdin?.() ?? nothing());
    stderr.write(`${path}: ${records} records\n`);
    return Exit.ok;
  },
});

async function* nothing(): AsyncGenerator<Uint8Array> {}

function missing(path: string): (error: unknown) => never {
  return (error) => {
    if ((error as { code?: string }).code !== "ENOENT") throw error;
    throw new NxError("NX_USAGE", `there is no file ${path}`, {
      hint: "`ls` the data directory of the node",
    });
  };
}

const checkVerb = defineVerb({
  name: "check",
  summary: "Read .tcm files to their ends, with the .nxs beside each, and say what is damaged",
  description:
    "Both generations of the format are read. A .tcm has no checksum of its own: what is found is a file that is cut or whose " +
    "lengths are wrong, and any damage at all where a .nxs tells the checksum.",
  args: { file, json },
  variadic: "FILE",
  examples: [{ command: "node-x tcm check data/*.tcm", shows: "Check all dumps of a node" }],
  async run({ args, rest, workingDirectory, stdout, stderr, environment }) {
    const { checkDump } = await import("../tcm/tools.ts");
    const { disk } = await world();
    const results = [];
    for (const word of [args.file, ...rest]) {
      const path = resolve(workingDirectory, word);
      results.push(
        await checkDump(disk, path, args.json ? () => {} : warner(stderr, path)).catch(missing(path)),
      );
    }
    const isWhole = results.every(({ damage }) => damage === undefined);
    if (args.json) {
      printJson(stdout, { ok: isWhole, files: results });
      return isWhole ? Exit.ok : Exit.dataError;
    }
    const colors = colorsFor(stdout, environment);
    const header = ["FILE", "FORMAT", "BYTES", "RECORDS", "SKIPPED", "NXS RECORDS", "STATE"];
    const rows = results.map(({ path, format, bytes, counts, sideRecords, damage }) => {
      const skipped = counts.badKeys + counts.emptyValues + counts.largeValues;
      const state = damage === undefined ? "whole" : "damaged";
      return [
        path,
        format,
        String(bytes),
        String(counts.records),
        String(skipped),
        String(sideRecords ?? ""),
        state,
      ];
    });
    printTable(stdout, header, rows, colors);
    for (const { damage } of results)
      if (damage !== undefined) stderr.write(`${colors.red("damaged:")} ${damage}\n`);
    return isWhole ? Exit.ok : Exit.dataError;
  },
});

const backupVerb = defineVerb({
  name: "backup",
  summary: "Copy all dumps of a directory, compressed and dated, and keep the newest",
  description:
    "Writes <channel>.tcm-<date>.zst, and <channel>.nxs-<date>.zst where there is a .nxs, after each was read back and compared. " +
    "`zstd -d` restores them. --unit prints a systemd service and a timer that do this each night.",
  args: {
    dir: { type: "positional", required: true, description: "The data directory of a node" },
    to: {
      type: "string",
      required: true,
      valueHint: "DIR",
      description: "Where to; made when it is missing",
    },
    keep: { type: "string", default: "7", valueHint: "N", description: "Backups of each channel that stay" },
    unit: { type: "boolean", description: "Print the systemd units and do nothing" },
    json,
  },
  examples: [
    {
      command: "node-x tcm backup /srv/dht/data --to /srv/dht/backup-data --keep 7",
      shows: "Back up, keep a week",
    },
    { command: "node-x tcm backup /srv/dht/data --to /backup --unit", shows: "Print a systemd timer for it" },
  ],
  async run({ args, workingDirectory, stdout }) {
    const { backUp, backupUnits } = await import("../tcm/backup.ts");
    const keep = Number(args.keep);
    if (!/^\d{1,4}$/.test(args.keep) || keep < 1)
      throw new NxError("NX_USAGE", `--keep wants a number from 1 to 9999, got "${args.keep}"`);
    const [from, to] = [resolve(workingDirectory, args.dir), resolve(workingDirectory, args.to)];
    if (args.unit) {
      stdout.write(backupUnits(process.execPath, from, to, keep));
      return Exit.ok;
    }
    const done: { channel: string; bytes: number; compressedBytes: number; records: number }[] = [];
    await backUp({ world: await world(), from, to, keep }, (each) => {
      done.push(each);
      if (!args.json)
        stdout.write(
          `${each.channel}: ${each.records} records, ${each.bytes} bytes, ${each.compressedBytes} compressed\n`,
        );
    }).catch(missing(from));
    if (args.json) printJson(stdout, { ok: true, channels: done });
    return Exit.ok;
  },
});

export const tcmVerb = defineVerb({
  name: "tcm",
  summary: "Print, make, check or back up the dump files of a dht node",
  examples: [
    { command: "node-x tcm check data/*.tcm", shows: "Find damage" },
    { command: "node-x tcm dump data/users.tcm", shows: "Print the records" },
    { command: "node-x tcm backup data --to backup-data", shows: "Back up all dumps" },
  ],
  subVerbs: {
    dump: async () => dumpVerb,
    load: async () => loadVerb,
    check: async () => checkVerb,
    backup: async () => backupVerb,
  },
});

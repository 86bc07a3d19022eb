/** What a storage answers its controller, beside the original's recorded answers: the same lines, but for numbers and names. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { decodeFile } from "../../../src/backup/wire/values.ts";
import { conversationsOf, type Step } from "../captures.ts";
import { until } from "../group.ts";
import { VOLUME } from "../servers.ts";
import { Group, Writer } from "./cluster.ts";

/** The lines of a recorded answer to a question. */
async function recordedLines(name: string, question: string[], nth: number): Promise<string[]> {
  const isQuestion = (steps: Step[]) =>
    steps.some(
      ({ from, comment }) =>
        from === "client" && comment === JSON.stringify(question).replaceAll('"', "'").replaceAll(",", ", "),
    );
  const hasLines = (steps: Step[]) => steps.some(({ comment }) => /^\d+ lines?$/.test(comment));
  const steps = conversationsOf(name).filter((each) => isQuestion(each) && hasLines(each))[nth] as Step[];
  const at = steps.findIndex(({ comment }) => /^\d+ lines?$/.test(comment));
  const bytes = Buffer.concat(
    steps
      .slice(at)
      .filter(({ from, comment }) => from === "server" && comment !== "Ack")
      .map((step) => step.bytes),
  );
  return decodeFile(bytes, (reader) => reader.texts());
}

/** Numbers, hex, names of places and times are the only things that may differ. */
const shape = (lines: readonly string[]) =>
  lines.map((line) =>
    line
      .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d| ---$/g, "TIME")
      .replace(/(uuid|salt) [0-9a-f]+/, "$1 HEX")
      .replace(/(baseDir|wdevPath|nodeId) \S+/, "$1 NAME")
      .replace(/size \d+[kmg]?$/, "size SIZE")
      .replace(/\d+/g, "N"),
  );

test("status and get have the original's lines, before and after a full backup", async () => {
  await using group = await Group.start({ storageConfig: { retryMinMs: 1000, retryMaxMs: 300_000 } });
  const { controller } = group.storage;
  const commands = "ctl-storage-commands.txt";
  expect(shape(await controller.status())).toEqual(shape(await recordedLines(commands, [], 0)));
  await group.initStorage();
  expect(shape(await controller.status(VOLUME))).toEqual(shape(await recordedLines(commands, ["vol1"], 0)));
  await group.backup("full-bkp");
  await group.compareSnapshot();
  // The archive has the last point a moment before the storage has heard so.
  await until(
    async () => (await controller.status(VOLUME)).at(-1) === "-----QueueFile-----",
    "nothing is queued",
  );
  expect(shape(await controller.status(VOLUME)).filter((line) => !line.startsWith("action"))).toEqual(
    shape(await recordedLines(commands, ["vol1"], 1)).filter((line) => !line.startsWith("action")),
  );
  const gets = "ctl-storage-get.txt";
  for (const target of ["latest-snap", "log-usage"])
    expect(
      shape((await controller.get(target, ...(target === "log-usage" ? [VOLUME] : []))) as string[]),
    ).toEqual(shape(await recordedLines(gets, target === "log-usage" ? [target, "vol1"] : [target], 0)));
}, 120_000);

/** Nobody listens where its archive and its proxy should be. */
const storageAlone = () =>
  Group.start({ archives: 0, proxies: 0, archivePort: () => 1, proxyPorts: () => [1] });

test.each([
  ["a volume that nobody knows", "start", ["vol9", "target"], "bad state:Clear"],
  ["a device that is none", "init-vol", ["vol9", "/dev/sda"], "no such volume:/dev/sda"],
  ["a word that is missing", "init-vol", ["vol9"], "missing required params"],
  ["a name that is none", "snapshot", ["no_name"], "bad volume id"],
  ["a bulk that is no multiple of a block", "full-bkp", [VOLUME, "700"], "bad bulk size"],
  ["a way to start that is none", "start", [VOLUME, "fast"], "bad mode:fast"],
] as const)("%s is refused by name", async (_what, name, words, reason) => {
  await using group = await storageAlone();
  await group.initStorage();
  await expect(group.storage.controller.command(name, [...words], "ok")).rejects.toThrow(reason);
});

test("a pack header of the log is saved for whoever looks for a defect; metadata are read again", async () => {
  await using group = await storageAlone();
  await group.initStorage();
  const writer = new Writer(1, () => group.client());
  await writer.write(3);
  await writer.end();
  const { controller } = group.storage;
  await controller.command("dbg-dump-logpack-header", [VOLUME, "0"], "ok");
  const saved = readFileSync(join(group.directory, "s0/storage", VOLUME, "logpackheader-0"));
  expect(saved.readUInt16LE(4)).toBe(3);
  expect(saved.readBigUInt64LE(8)).toBe(0n);
  const state = await controller.get("state", VOLUME);
  await controller.command("dbg-reload-metadata", [VOLUME], "ok");
  expect(await controller.get("state", VOLUME)).toBe(state);
});

/**
 * `node-x walb verify`: reads every byte that an archive or a proxy keeps, and says what is damaged. Servers may be
 * running meanwhile: files that go away while they are read are left out.
 */
import { basename, join } from "node:path";
import { Exit } from "../../core/errors.ts";
import { printJson } from "../../core/print.ts";
import type { Disk } from "../../core/seams/disk.ts";
import { readSmallFile, VolumeFiles } from "../files/volume-files.ts";
import { chainFrom } from "../algebra/snapshot.ts";
import { parseDiffName, sideName } from "../algebra/diff-name.ts";
import { fileSource } from "../formats/bytes.ts";
import { mergedRuns, openDiff } from "../formats/diff-merge.ts";
import { compareWithSide } from "../formats/side-file.ts";
import { decodeFile, readState } from "../wire/values.ts";
import { toolVerb } from "./tool-verb.ts";

interface Finding {
  path: string;
  problem: string;
}

const isGone = (error: unknown) => (error as { code?: string }).code === "ENOENT";

/** Reads a diff with all its checksums, and compares it with its side file. */
async function verifyDiff(disk: Disk, directory: string, name: string): Promise<Finding | undefined> {
  const path = join(directory, name);
  const meta = parseDiffName(name);
  const file = await disk.open(path, "read");
  try {
    const source = fileSource(path, file, await file.size());
    const side = meta === undefined ? undefined : await readSmallFile(disk, join(directory, sideName(meta)));
    const found = side === undefined ? undefined : await compareWithSide(source, side);
    if (found?.at === "side")
      return {
        path: join(directory, sideName(meta as NonNullable<typeof meta>)),
        problem: "the side file is damaged",
      };
    if (found !== undefined)
      return { path, problem: `damaged at byte ${found.offset} or in the MiB behind it` };
    for await (const _runs of mergedRuns([await openDiff(source)])) continue;
    return undefined;
  } catch (error) {
    return { path, problem: (error as Error).message };
  } finally {
    await file.close();
  }
}

/** The metadata of one volume, and whether its diffs lead on from its base. */
async function verifyVolume(disk: Disk, directory: string): Promise<Finding[]> {
  const findings: Finding[] = [];
  const names = (await disk.list(directory)).map(({ name }) => name);
  try {
    const files = await VolumeFiles.open(disk, directory);
    for (const name of names.filter((each) => /^(state|base|uuid|archive_uuid|size)$|\.archive$/.test(each)))
      await files.read(name);
    const base = await files.read("base");
    if (base !== undefined) {
      const diffs = names.map(parseDiffName).filter((diff) => diff !== undefined);
      const state = await decodeFile(base, readState);
      const chain = chainFrom(state.from, diffs);
      const last = chain.at(-1);
      const stray = diffs.filter((diff) => diff.to.begin > (last?.to.begin ?? state.to.begin));
      for (const diff of stray)
        findings.push({
          path: directory,
          problem: `the diff to ${diff.to.begin} does not follow from what is before it`,
        });
    }
  } catch (error) {
    findings.push({ path: directory, problem: (error as Error).message });
  }
  return findings;
}

export const verifyVerb = toolVerb({
  name: "verify",
  summary:
    "Read every checksum below an archive's or a proxy's base directory; exit code 65 when something is damaged",
  original: "node-x itself",
  usage: ["DIR: the base directory, or one volume's"],
  options: {},
  examples: [{ command: "node-x walb verify archive/archive", shows: "Scrub an archive" }],
  async run({ options, files, isJson, stdout, stderr, progress }) {
    const [root = ""] = options.positionals(["DIR"]);
    const { disk } = files.world;
    const findings: Finding[] = [];
    let diffs = 0;
    const walk = async (directory: string): Promise<void> => {
      findings.push(...(await verifyVolume(disk, directory)));
      for (const { name, kind } of await disk.list(directory)) {
        if (kind === "directory") await walk(join(directory, name));
        if (kind !== "file" || parseDiffName(name) === undefined) continue;
        progress.show(`${basename(directory)}/${name}`);
        diffs += 1;
        const found = await verifyDiff(disk, directory, name).catch((error: unknown) => {
          if (isGone(error)) return undefined;
          throw error;
        });
        if (found !== undefined) findings.push(found);
      }
    };
    await walk(files.path(root));
    progress.end();
    if (isJson) printJson(stdout, { ok: findings.length === 0, diffs, findings });
    else {
      for (const { path, problem } of findings) stderr.write(`damaged: ${path}: ${problem}\n`);
      stdout.write(`${diffs} diffs read, ${findings.length} damaged\n`);
    }
    return findings.length === 0 ? Exit.ok : Exit.dataError;
  },
});

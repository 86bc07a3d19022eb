/**
 * `node-x walb verify`: reads every byte that an archive or a proxy keeps, and says what is damaged. Servers may be
 * running meanwhile: files that go away while they are read are left out.
 */
import { basename, join } from "node:path";
import { Exit, NxError } from "../../core/errors.ts";
import { printJson } from "../../core/print.ts";
import type { Disk } from "../../core/seams/disk.ts";
import { PARTS_SUFFIX, readPartTable } from "../files/distant-diffs.ts";
import { VolumeFiles } from "../files/volume-files.ts";
import { chainFrom } from "../algebra/snapshot.ts";
import { parseDiffName, sideName } from "../algebra/diff-name.ts";
import { fileSource } from "../formats/bytes.ts";
import { mergedRuns, openDiff } from "../formats/diff-merge.ts";
import { compareWithSide, readSide } from "../formats/side-file.ts";
import { decodeFile, readState } from "../wire/values.ts";
import { bucketOptions, verifyBucketAt } from "./bucket.ts";
import type { Options } from "./options.ts";
import { toolVerb } from "./tool-verb.ts";
import { type Finding, type ImagePlace, restoreToNowhere, verifyImages } from "./verify-images.ts";

const SMALL_FILES = /^(state|base|uuid|archive_uuid|size|full_repl_state|path|done|queue)$|\.(archive|cold)$/;

const isGone = (error: unknown) => (error as { code?: string }).code === "ENOENT";

/** Reads a diff with all its checksums, and compares it with its side file. */
async function verifyDiff(disk: Disk, directory: string, name: string): Promise<Finding | undefined> {
  const path = join(directory, name);
  const meta = parseDiffName(name);
  const file = await disk.open(path, "read");
  try {
    const source = fileSource(path, file, await file.size());
    const side = meta === undefined ? undefined : await readSide(disk, join(directory, sideName(meta)));
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
    // Its side file went with it.
    if (isGone(error)) throw error;
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
    for (const name of names.filter((each) => SMALL_FILES.test(each))) await files.read(name);
    const distant = names.filter((name) => name.endsWith(PARTS_SUFFIX));
    for (const name of distant) {
      await readPartTable(disk, join(directory, name)).catch((error: unknown) => {
        if (!isGone(error)) throw error;
      });
    }
    const base = await files.read("base");
    if (base !== undefined) {
      const all = names.map((name) => (distant.includes(name) ? name.slice(0, -PARTS_SUFFIX.length) : name));
      const diffs = all.map(parseDiffName).filter((diff) => diff !== undefined);
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

function placeOf(options: Options): ImagePlace {
  const group = options.text("vg");
  if (group === undefined && options.has("dev")) throw new NxError("NX_USAGE", "-dev needs -vg GROUP");
  return { nodes: group === undefined ? undefined : join(options.text("dev", "/dev"), group) };
}

export const verifyVerb = toolVerb({
  name: "verify",
  summary:
    "Read every checksum below an archive's or a proxy's base directory, or in a bucket; exit code 65 when something is damaged",
  original: "node-x itself",
  usage: [
    "DIR: the base directory, or one volume's",
    "or s3://BUCKET/PREFIX: every object that a bucket's manifests name, with the options of `walb bucket list`",
    "-vg GROUP: images are logical volumes of this group; -dev DIR (/dev): where its device nodes are",
    "-restore: read the newest point of each volume as a restore would, and print its hash (that of `bhash VOL GID`)",
  ],
  options: { restore: "flag", vg: "value", dev: "value", ...bucketOptions },
  examples: [
    { command: "node-x walb verify archive/archive", shows: "Scrub an archive" },
    { command: "node-x walb verify s3://backups/archive0", shows: "Scrub a bucket" },
  ],
  async run({ options, files, isJson, stdout, stderr, progress, call }) {
    const [root = ""] = options.positionals(["DIR"]);
    if (root.startsWith("s3://")) return await verifyBucketAt(root, options, call);
    const { disk } = files.world;
    const findings: Finding[] = [];
    let diffs = 0;
    const restored: string[] = [];
    const withoutSums: string[] = [];
    const unread: string[] = [];
    const place = placeOf(options);
    const readImages = async (directory: string) => {
      try {
        const found = await verifyImages(disk, directory, place, (path) => progress.show(path));
        findings.push(...found.findings);
        withoutSums.push(...found.withoutSums);
        unread.push(...found.unread);
      } catch (error) {
        findings.push({ path: directory, problem: (error as Error).message });
      }
    };
    const restoreInto = async (directory: string) => {
      progress.show(`${basename(directory)}: as a restore would`);
      try {
        const line = await restoreToNowhere(disk, directory, place);
        if (line !== undefined) restored.push(line);
      } catch (error) {
        findings.push({ path: directory, problem: (error as Error).message });
      }
    };
    const walk = async (directory: string): Promise<void> => {
      const inVolume = await verifyVolume(disk, directory);
      findings.push(...inVolume);
      if (inVolume.length === 0) await readImages(directory);
      if (options.has("restore")) await restoreInto(directory);
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
    if (isJson)
      printJson(stdout, { ok: findings.length === 0, diffs, findings, withoutSums, unread, restored });
    else {
      for (const { path, problem } of findings) stderr.write(`damaged: ${path}: ${problem}\n`);
      for (const path of withoutSums)
        stderr.write(
          `no checksums: ${path}: it is changing, or another program wrote it; an apply makes them\n`,
        );
      for (const path of unread)
        stderr.write(`not read: the image of ${path}: it is no file; -vg names its volume group\n`);
      for (const line of restored) stdout.write(`${line}\n`);
      stdout.write(`${diffs} diffs read, ${findings.length} damaged\n`);
    }
    return findings.length === 0 ? Exit.ok : Exit.dataError;
  },
});

/**
 * `bun run bench backup [MIB]`: how fast logs and diffs are converted, merged, applied and restored, in one run with `dd`
 * and `cp` on the same bytes. The tools run as processes of the built executable, as an operator runs them. Replays are
 * judged in the page cache: their files are in /dev/shm, where the sync at the end waits for no disk. The same on a disk, with that
 * sync, stands beside `dd` of the log with one, and is not judged: it is the disk's speed.
 *
 * MIB is the size of the image (1024 when absent; the log is a fifth of it, each diff 156 MB). Figures of the original,
 * measured elsewhere on two shared cores, stand beside ours. Writes dist/bench/backup.json. Exit code 1 when a floor is
 * not held; floors of a smaller run than the default are shown and not judged.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statfsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensureExecutable } from "../../build.ts";
import { archiveMemory } from "./backup-memory.ts";
import { median } from "./compare.ts";
import { seededRandom } from "../../src/core/seams/random.ts";
import { NxError } from "../../src/core/errors.ts";

const DEFAULT_MIB = 1024;
const ROUNDS = 3;
const MEMORY_MIB_MAX = 150;
/** A file system that is nothing but page cache. */
const PAGE_CACHE = "/dev/shm";
/** Of the log that becomes a diff of 156 MB, of the image. */
const DIFF_LOG_PART = 0.176;
/** Volumes whose archives are compared, of the image's size. */
const MEMORY_PARTS = [0.25, 3];

interface Line {
  what: string;
  /** Bytes or nothing for a line in seconds. */
  bytes?: number;
  command: string[];
  stdin?: string;
  original: string;
  /** Megabytes a second (at least) or seconds (at most). */
  floor?: number;
  goal?: number;
}

interface Measured {
  what: string;
  seconds: number;
  megabytesPerSecond: number | undefined;
  memoryMiB: number;
  original: string;
  floor: number | undefined;
  goal: number | undefined;
  /** Without a floor for its speed. */
  isMemoryJudged?: boolean;
}

/** What a line must hold, and how that is told. */
function judge({ what, seconds, megabytesPerSecond, memoryMiB, floor, goal, isMemoryJudged }: Measured) {
  const isRate = megabytesPerSecond !== undefined && !what.startsWith("restore");
  const figure = isRate ? `${megabytesPerSecond.toFixed(0)} MB/s` : `${seconds.toFixed(2)} s`;
  if (floor === undefined && isMemoryJudged !== true) return { figure, limits: "", verdict: "" };
  const value = isRate ? megabytesPerSecond : seconds;
  const isFast = floor === undefined || (isRate ? value >= floor : value <= floor);
  const verdict = isFast && memoryMiB <= MEMORY_MIB_MAX ? "held" : "NOT HELD";
  const text = (limit: number) => limit.toFixed(isRate ? 0 : 2);
  const limits = floor === undefined ? `floor ${MEMORY_MIB_MAX} MiB` : `floor ${text(floor)}`;
  return { figure, limits: goal === undefined ? limits : `${limits}, goal ${text(goal)}`, verdict };
}

/** The most memory a process has had so far; what the kernel tells at its end counts the one that forked it, too. */
function peakMiB(pid: number): number {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}

async function timed(command: string[]): Promise<{ seconds: number; memoryMiB: number }> {
  const startMs = performance.now();
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  let memoryMiB = 0;
  const watch = setInterval(() => (memoryMiB = Math.max(memoryMiB, peakMiB(child.pid))), 10);
  const errors = await new Response(child.stderr).text();
  const code = await child.exited;
  clearInterval(watch);
  if (code !== 0) throw new Error(`${command.join(" ")} failed: ${errors}`);
  return { seconds: (performance.now() - startMs) / 1000, memoryMiB };
}

/** An image of half zeros, half random blocks. */
async function makeImage(path: string, mib: number): Promise<void> {
  const random = seededRandom(3);
  const file = Bun.file(path).writer();
  const filled = random.bytes(1 << 20);
  for (let index = 0; index < mib; index++) {
    const part = index % 2 === 0 ? new Uint8Array(1 << 20) : Uint8Array.from(filled);
    new DataView(part.buffer).setUint32(0, index % 2 === 0 ? 0 : index, true);
    file.write(part);
    await file.flush();
  }
  await file.end();
}

export async function benchBackup(argv: string[]): Promise<number> {
  const mib = argv[0] === undefined ? DEFAULT_MIB : Number(argv[0]);
  if (argv.length > 1 || !Number.isSafeInteger(mib) || mib < 16)
    throw new NxError("NX_USAGE", "wanted: bench backup [MIB]");
  const { bavail, bsize } = statfsSync(PAGE_CACHE);
  if (bavail * bsize < mib * 2 ** 21)
    throw new NxError("NX_DISK_FULL", `${PAGE_CACHE} has no room for ${2 * mib} MiB`, {
      hint: "replays are measured there: mount it larger, or take a smaller image",
    });
  await ensureExecutable();
  const output = join(import.meta.dir, "../../dist/bench");
  mkdirSync(output, { recursive: true });
  const directory = mkdtempSync(join(output, "backup-"));
  const cache = mkdtempSync(join(PAGE_CACHE, "node-x-backup-"));
  const at = (name: string) => join(directory, name);
  const cached = (name: string) => join(cache, name);
  const walb = (...words: string[]) => [join(import.meta.dir, "../../dist/node-x"), "walb", ...words];
  try {
    const size = `${mib}M`;
    await makeImage(at("base.img"), mib);
    await timed(["cp", "--sparse=never", at("base.img"), at("target.img")]);
    const log = ["-s", size, "-nodiscard", "-nopadding", "-minIoSize", "4K", "-maxIoSize", "32K", "-rand"];
    for (const [name, part] of [
      ["log", 0.2],
      ["a", DIFF_LOG_PART],
      ["b", DIFF_LOG_PART],
    ] as const)
      await timed(
        walb("wlog", "gen", ...log, "-z", `${Math.ceil(mib * part * 1024)}K`, "-o", at(`${name}.wlog`)),
      );
    for (const name of ["a", "b"])
      await timed(walb("wlog", "to-wdiff", "-i", at(`${name}.wlog`), "-o", at(`${name}.wdiff`)));
    await timed(walb("wdiff", "merge", "-i", at("a.wdiff"), at("b.wdiff"), "-o", at("merged.wdiff")));
    await timed(["cp", at("target.img"), at("log.wlog"), at("merged.wdiff"), cache]);
    const [logBytes, mergedBytes] = [statSync(at("log.wlog")).size, statSync(at("merged.wdiff")).size];
    const lines: Line[] = [
      { what: "cp of the log", bytes: logBytes, command: ["cp", at("log.wlog"), at("copy")], original: "" },
      { what: "dd of the image", bytes: mib << 20, command: ["dd", `if=${at("base.img")}`, `of=${at("copy.img")}`, "bs=1M", "status=none"], original: "" },
      { what: "log to sorted diff", bytes: logBytes, command: walb("wlog", "to-wdiff", "-i", at("log.wlog"), "-o", at("log.wdiff")), original: "580 MB/s", floor: 400, goal: 600 },
      { what: "log to indexed diff", bytes: logBytes, command: walb("wlog", "to-wdiff", "-indexed", "-i", at("log.wlog"), "-o", at("log.indexed")), original: "655 MB/s", floor: 400, goal: 600 },
      { what: "merge of two diffs, snappy", command: walb("wdiff", "merge", "-i", at("a.wdiff"), at("b.wdiff"), "-o", at("merged.wdiff")), original: "0.33 s", floor: 0.5, goal: 0.35 },
      { what: "log replay, page cache", bytes: logBytes, command: walb("wlog", "redo", cached("target.img"), "-z", "-i", cached("log.wlog")), original: "102 MB/s", floor: 800 },
      { what: "diff replay, page cache", bytes: mergedBytes, command: walb("wdiff", "redo", cached("target.img"), "-z", "-i", cached("merged.wdiff")), original: "1025 MB/s", floor: 800 },
      { what: "dd of the log into the image, synced", bytes: logBytes, command: ["dd", `if=${at("log.wlog")}`, `of=${at("target.img")}`, "bs=1M", "conv=notrunc,fdatasync", "status=none"], original: "" },
      { what: "log replay, synced", bytes: logBytes, command: walb("wlog", "redo", at("target.img"), "-z", "-i", at("log.wlog")), original: "" },
      { what: "diff replay, synced", bytes: mergedBytes, command: walb("wdiff", "redo", at("target.img"), "-z", "-i", at("merged.wdiff")), original: "" },
      { what: "virtual full image + 2 diffs", command: walb("virt-full", "-i", at("base.img"), "-d", at("a.wdiff"), at("b.wdiff"), "-o", at("virtual.img")), original: "28 s", floor: 3, goal: 1.5 },
    ]; // prettier-ignore
    const measured: Measured[] = [];
    for (const line of lines) {
      let best = { seconds: Number.POSITIVE_INFINITY, memoryMiB: 0 };
      for (let round = 0; round < ROUNDS; round++) {
        const each = await timed(line.command);
        best = {
          seconds: Math.min(best.seconds, each.seconds),
          memoryMiB: Math.max(best.memoryMiB, each.memoryMiB),
        };
      }
      const { what, original, floor, goal, bytes } = line;
      const megabytesPerSecond = bytes === undefined ? undefined : bytes / best.seconds / 1e6;
      measured.push({ what, ...best, megabytesPerSecond, original, floor, goal });
    }
    measured.push(await restoreLine(directory, mib, at));
    for (const part of MEMORY_PARTS) {
      const volumeMiB = Math.ceil(mib * part);
      const each = await archiveMemory(at(`archive-${volumeMiB}`), volumeMiB);
      const none = { megabytesPerSecond: undefined, original: "", floor: undefined, goal: undefined };
      const what = `memory of an archive, volume of ${volumeMiB} MiB`;
      measured.push({ what, ...each, ...none, isMemoryJudged: true });
    }
    return report(measured, mib, output);
  } finally {
    rmSync(cache, { recursive: true });
    rmSync(directory, { recursive: true });
  }
}

/** Restore on an archive inside this process, beside `cp --sparse`. The floor is 0.7 of its speed. */
async function restoreLine(directory: string, mib: number, at: (name: string) => string): Promise<Measured> {
  const { startArchive, TestStorage, VOLUME } = await import("../backup/servers.ts");
  const { realWorld } = await import("../../src/core/seams/world-real.ts");
  const world = realWorld();
  await using archive = await startArchive(world, { dataDir: at("a0") });
  const storage = new TestStorage(world, mib * 2048);
  const source = Buffer.from(await Bun.file(at("base.img")).arrayBuffer());
  storage.image.set(source);
  await archive.controller.command("init-vol", [VOLUME], "ok");
  await storage.fullSync({ host: "127.0.0.1", port: archive.port }, { bulkBlocks: 512 });
  await storage.shipAsProxy({ host: "127.0.0.1", port: archive.port }, storage.snapshot());
  const base = join(directory, "a0/archive", VOLUME, `wb_${VOLUME}`);
  const cp = `cp --sparse=always ${base} ${at("sparse.img")} && sync ${at("sparse.img")}`;
  const restores: number[] = [];
  const copies: number[] = [];
  // In turn, on a disk that has nothing left to write of what was before.
  for (let round = 0; round < ROUNDS; round++) {
    await timed(["sync"]);
    const startMs = performance.now();
    await archive.controller.command("restore", [VOLUME, "1"], "accept");
    while ((await archive.controller.get("num-action", VOLUME, "Restore")) !== 0n) await Bun.sleep(1);
    restores.push((performance.now() - startMs) / 1000);
    await archive.controller.command("del-restored", [VOLUME, "1"], "ok");
    await timed(["sh", "-c", `rm -f ${at("sparse.img")} && sync`]);
    copies.push((await timed(["sh", "-c", cp])).seconds);
  }
  const [seconds, copySeconds] = [median(restores), median(copies)];
  const floor = copySeconds / 0.7;
  return {
    what: "restore (floor: cp --sparse and sync / 0.7)",
    seconds,
    megabytesPerSecond: (mib << 20) / seconds / 1e6,
    memoryMiB: 0,
    original: "",
    floor,
    goal: copySeconds,
  };
}

function report(measured: Measured[], mib: number, output: string): number {
  const isJudged = mib >= DEFAULT_MIB;
  let failed = 0;
  for (const line of measured) {
    const { figure, limits, verdict } = judge(line);
    if (verdict === "NOT HELD") failed += 1;
    console.log(
      `${line.what.padEnd(46)} ${figure.padStart(10)}  ${line.memoryMiB.toFixed(0).padStart(4)} MiB  ${limits.padEnd(24)} ${line.original.padEnd(10)} ${verdict}`,
    );
  }
  writeFileSync(join(output, "backup.json"), `${JSON.stringify({ mib, measured }, null, 2)}\n`);
  if (!isJudged) console.log(`floors are judged from ${DEFAULT_MIB} MiB on`);
  return isJudged && failed > 0 ? 1 : 0;
}

/**
 * `bun run bench storage [MIB [SECONDS [ROUNDS]]] [--lines=TEXT]`: a volume of node-x, whose every write is logged, beside nbdkit's file plugin
 * and qemu-nbd, which log nothing, under the same loads of fio; then how fast a volume is backed up. `--lines`: only the loads
 * whose name has this text, without the backups.
 *
 * The servers are measured in turn in every round, and what counts is the median of the ratios of one round. node-x runs as
 * processes of the built executable. Writes dist/bench/storage.json. Exit code 1 when a floor is not held; a run of less
 * than 512 MiB or 5 seconds is shown and not judged.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensurePrograms } from "../../build.ts";
import { NxError } from "../../src/core/errors.ts";
import { seededRandom } from "../../src/core/seams/random.ts";
import { VOLUME } from "../backup/servers.ts";
import { ProcessGroup } from "../e2e/backup-processes.ts";
import { until } from "../e2e/executable.ts";
import { freePorts } from "../e2e/free-ports.ts";
import { median } from "./compare.ts";
import { fio, type FioLoad, type FioSample } from "./fio.ts";
import { describeMachine } from "./machine.ts";
import { judge, type Limit, type Verdict, verdictText } from "./verdict.ts";

const JUDGED = { mib: 512, seconds: 5 };
const KIB4 = 4096;
const MIB = 1 << 20;

interface Line extends FioLoad {
  /** Of the ratio to nbdkit. */
  limit?: Limit;
  /** Of our own megabytes a second. */
  rate?: Limit;
}

const atLeast = (name: string, floor: number, goal: number): Limit => ({
  name,
  better: "higher",
  floor,
  goal,
});

const lines: Line[] = [
  ...[1, 16, 64].map((depth) => ({ name: `random write 4 KiB, depth ${depth}`, pattern: "randwrite" as const, blockBytes: KIB4, depth, limit: atLeast("logged write / nbdkit", 0.6, 0.8) })),
  ...[1, 16].map((depth) => ({ name: `random write 4 KiB, depth ${depth}, each flushed`, pattern: "randwrite" as const, blockBytes: KIB4, depth, flushEach: 1, limit: atLeast("flushed write / nbdkit", 1, 1.5) })),
  { name: "random read 4 KiB, depth 1", pattern: "randread", blockBytes: KIB4, depth: 1 },
  ...[16, 64].map((depth) => ({ name: `random read 4 KiB, depth ${depth}`, pattern: "randread" as const, blockBytes: KIB4, depth, limit: atLeast("read / nbdkit", 1, 1.25) })),
  { name: "sequential write 1 MiB, depth 4", pattern: "write", blockBytes: MIB, depth: 4, rate: atLeast("MB/s", 1000, 1500) },
]; // prettier-ignore

/** A server of others on a file of the same size. */
async function startOther(
  program: "nbdkit" | "qemu-nbd",
  file: string,
): Promise<{ uri: string; stop(): Promise<void> }> {
  const [port = 0] = await freePorts(1);
  const command =
    program === "nbdkit"
      ? ["nbdkit", "-f", "-i", "127.0.0.1", "-p", String(port), "file", file]
      : [
          "qemu-nbd",
          "-f",
          "raw",
          "-b",
          "127.0.0.1",
          "-p",
          String(port),
          "-t",
          "-e",
          "16",
          "--cache=writeback",
          file,
        ];
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
  const uri = `nbd://127.0.0.1:${port}/`;
  await until(program, async () => {
    const info = Bun.spawn(["nbdinfo", "--size", uri], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "ignore",
    });
    return (await info.exited) === 0 ? true : undefined;
  });
  return {
    uri,
    async stop() {
      child.kill();
      await child.exited;
    },
  };
}

interface Measured {
  line: string;
  samples: Record<string, FioSample>;
  /** Medians of node-x / nbdkit of one round. */
  ratio: number;
  verdicts: Verdict[];
}

async function compare(
  group: ProcessGroup,
  directory: string,
  size: { mib: number; seconds: number },
  rounds: number,
  wanted: readonly Line[],
): Promise<Measured[]> {
  const results: Measured[] = [];
  const files = Object.fromEntries(
    ["nbdkit", "qemu-nbd"].map((name) => [name, join(directory, `${name}.img`)]),
  );
  for (const file of Object.values(files))
    await Bun.spawn(["dd", "if=/dev/zero", `of=${file}`, "bs=1M", `count=${size.mib}`, "status=none"]).exited;
  for (const line of wanted) {
    const samples: Record<string, FioSample[]> = { "node-x": [], nbdkit: [], "qemu-nbd": [] };
    for (let round = 0; round < rounds; round++) {
      const names = Object.keys(samples);
      for (let turn = 0; turn < names.length; turn++) {
        const name = names[(turn + round) % names.length] as string;
        if (name === "node-x") {
          samples[name]?.push(await fio(group.uri, line, size));
          continue;
        }
        const other = await startOther(name as "nbdkit", files[name] as string);
        try {
          samples[name]?.push(await fio(other.uri, line, size));
        } finally {
          await other.stop();
        }
      }
    }
    const ours = samples["node-x"] as FioSample[];
    const theirs = samples.nbdkit as FioSample[];
    const ratio = median(
      ours.map(({ perSecond }, round) => perSecond / (theirs[round] as FioSample).perSecond),
    );
    const middle = (all: FioSample[]): FioSample => ({
      perSecond: median(all.map((each) => each.perSecond)),
      megabytesPerSecond: median(all.map((each) => each.megabytesPerSecond)),
      p99Ms: median(all.map((each) => each.p99Ms)),
    });
    const medians = Object.fromEntries(Object.entries(samples).map(([name, all]) => [name, middle(all)]));
    const verdicts = [
      ...(line.limit === undefined ? [] : [judge(line.limit, ratio)]),
      ...(line.rate === undefined
        ? []
        : [judge(line.rate, (medians["node-x"] as FioSample).megabytesPerSecond)]),
    ];
    results.push({ line: line.name, samples: medians, ratio, verdicts });
    const figures = Object.entries(medians).map(
      ([name, { perSecond, megabytesPerSecond, p99Ms }]) =>
        `${name} ${perSecond.toFixed(0)}/s ${megabytesPerSecond.toFixed(0)} MB/s p99 ${p99Ms.toFixed(2)} ms`,
    );
    console.log(
      `${line.name}: ${figures.join("; ")}; ratio ${ratio.toFixed(2)}; ${verdicts.map(verdictText).join(", ")}`,
    );
  }
  return results;
}

const seconds = async (work: () => Promise<unknown>) => {
  const startMs = performance.now();
  await work();
  return (performance.now() - startMs) / 1000;
};

/** Full backup, snapshot to restorable with a tenth changed, and a log that is shipped while it is written. */
async function backups(
  group: ProcessGroup,
  mib: number,
): Promise<{ what: string; value: number; verdict: Verdict }[]> {
  const random = seededRandom(11);
  // As the original was measured: half of the volume is zero.
  const [filled, zeros] = [random.bytes(MIB), new Uint8Array(MIB)];
  await using client = await group.client();
  for (let at = 0; at < mib; at++) {
    new DataView(filled.buffer).setUint32(0, at, true);
    await client.write(at % 2 === 0 ? filled : zeros, at * MIB);
  }
  await client.flush();
  const full = (mib * 1.048576) / (await seconds(() => group.fullBackup()));
  await group.untilRestorable(await group.storage.controller.snapshot(VOLUME));
  const part = random.bytes(KIB4);
  for (let changed = 0; changed < (mib * 256) / 10; changed++)
    await client.write(part, random.integer(mib * 256) * KIB4);
  const snapshot = await seconds(async () =>
    group.untilRestorable(await group.storage.controller.snapshot(VOLUME)),
  );
  // 200 MB/s of writes for some seconds, half of each write random; what waits in the end says whether shipping keeps up.
  filled.fill(0, MIB / 2);
  const [total, startMs] = [Math.min(2 * mib, 1000), performance.now()];
  for (let at = 0; at < total; at++) {
    await client.write(filled, (at % mib) * MIB);
    const aheadMs = startMs + ((at + 1) * MIB) / 200_000 - performance.now();
    if (aheadMs > 0) await Bun.sleep(aheadMs);
  }
  const rate = (total * 1.048576) / ((performance.now() - startMs) / 1000);
  // A log that overflowed was not kept up with at all.
  const hasOverflow = (await group.storage.controller.get("is-overflow", VOLUME)) === 1n;
  const lag = hasOverflow
    ? Number.POSITIVE_INFINITY
    : await seconds(async () => group.untilRestorable(await group.storage.controller.snapshot(VOLUME)));
  const limits: [string, number, Limit][] = [
    ["full backup, MB/s", full, atLeast("full backup", 300, 500)],
    [
      "snapshot to restorable with 10 % changed, s",
      snapshot,
      { name: "snapshot", better: "lower", floor: 1.5, goal: 0.8 },
    ],
    [
      `behind after ${total} MiB at ${rate.toFixed(0)} MB/s, s`,
      lag,
      { name: "shipping keeps up", better: "lower", floor: 5, goal: 2 },
    ],
  ];
  return limits.map(([what, value, limit]) => ({ what, value, verdict: judge(limit, value) }));
}

function numberOf(text: string | undefined, absent: number, least: number): number {
  const value = text === undefined ? absent : Number(text);
  if (!Number.isSafeInteger(value) || value < least)
    throw new NxError("NX_USAGE", "wanted: bench storage [MIB [SECONDS [ROUNDS]]] [--lines=TEXT]");
  return value;
}

export async function benchStorage(all: string[]): Promise<number> {
  const argv = all.filter((each) => !each.startsWith("--lines="));
  const text = all.find((each) => each.startsWith("--lines="))?.slice("--lines=".length);
  const wanted = lines.filter(({ name }) => name.includes(text ?? ""));
  if (wanted.length === 0)
    throw new NxError(
      "NX_USAGE",
      `no line has "${text}"; there are: ${lines.map(({ name }) => name).join("; ")}`,
    );
  const size = { mib: numberOf(argv[0], JUDGED.mib, 16), seconds: numberOf(argv[1], JUDGED.seconds, 1) };
  const rounds = numberOf(argv[2], 3, 1);
  await ensurePrograms([
    { program: "fio", package: "fio" },
    { program: "nbdkit", package: "nbdkit" },
    { program: "qemu-nbd", package: "qemu-utils" },
    { program: "nbdinfo", package: "libnbd-bin" },
  ]);
  const output = join(import.meta.dir, "../../dist/bench");
  mkdirSync(output, { recursive: true });
  const directory = mkdtempSync(join(output, "storage-"));
  const machine = describeMachine(directory);
  try {
    await using group = new ProcessGroup(directory, {
      mib: size.mib,
      logMib: 2 * size.mib + 64,
      storageKeys: { shipDelayMs: 100 },
    });
    await group.start();
    const compared = await compare(group, directory, size, rounds, wanted);
    const backedUp = text === undefined ? await backups(group, size.mib) : [];
    for (const { what, value, verdict } of backedUp)
      console.log(`${what}: ${value.toFixed(2)}; ${verdictText(verdict)}`);
    const report = { machine, ...size, rounds, compared, backedUp };
    if (text === undefined)
      writeFileSync(join(output, "storage.json"), `${JSON.stringify(report, null, 2)}\n`);
    const isJudged = size.mib >= JUDGED.mib && size.seconds >= JUDGED.seconds;
    if (!isJudged) console.log(`floors are judged from ${JUDGED.mib} MiB and ${JUDGED.seconds} seconds on`);
    const verdicts = [
      ...compared.flatMap((each) => each.verdicts),
      ...backedUp.map(({ verdict }) => verdict),
    ];
    return isJudged && verdicts.some(({ outcome }) => outcome === "FLOOR FAILED") ? 1 : 0;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/**
 * `bun run bench presence [--small] [PART…]`: the speed goals of private presence, G1 to G9, each measured and judged.
 *
 * Servers are the executable in processes of their own; kernels and the making of databases are measured in this one.
 * `--small` takes a hundredth of the records, to see that it runs. Writes dist/bench/presence.json and prints a table. Exit
 * code 1 when a floor is not held.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { NxError } from "../../src/core/errors.ts";
import { silentLog } from "../../src/core/logging/log.ts";
import { realClock } from "../../src/core/seams/clock.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import {
  bestKernel,
  gf8Kernels,
  hasKernel,
  multiplyInto,
  readAll,
  type Gf8Kernel,
} from "../../src/native/gf8.ts";
import { runHarness } from "../../src/presence/harness.ts";
import { typescriptEngine } from "../../src/presence/pir/typescript-engine.ts";
import { registerCombined, verifyCombined } from "../../src/presence/protocol/blinding.ts";
import { concat, epochBytes } from "../../src/presence/protocol/bytes.ts";
import { queryCount, rowBytes } from "../../src/presence/protocol/layout.ts";
import { decodeMetadata, type Metadata } from "../../src/presence/protocol/metadata.ts";
import { nodePrimitives } from "../../src/presence/protocol/primitives-node.ts";
import { schemeOf } from "../../src/presence/protocol/scheme.ts";
import { PRF_KEY_CANDIDATES } from "../../src/presence/server/build-database.ts";
import { Databases } from "../../src/presence/server/databases.ts";
import { Registrar } from "../../src/presence/server/registrar.ts";
import { ScanPool } from "../../src/presence/server/scan-pool.ts";
import { Signer } from "../../src/presence/server/signer.ts";
import { executable, PresenceService, testUsers } from "../e2e/presence-service.ts";
import { describeMachine, isNoisy } from "./machine.ts";
import { judge, verdictText, type Limit, type Verdict } from "./verdict.ts";

const output = join(import.meta.dir, "../../dist/bench");

/** Figures by goal, each with its limit; a figure without a floor is only reported. */
class Results {
  readonly verdicts: Verdict[] = [];

  add(limit: Limit, value: number): void {
    const verdict = judge(limit, value);
    this.verdicts.push(verdict);
    console.log(
      `${limit.name}: ${value.toFixed(2)} (${verdictText(verdict).replace(`${limit.name}: `, "")})`,
    );
  }
}

const most = (name: string, floor: number, goal = floor): Limit => ({ name, better: "lower", floor, goal });
const least = (name: string, floor: number, goal = floor): Limit => ({ name, better: "higher", floor, goal });

/** The shortest of some runs, in seconds. */
function fastest(runs: number, work: () => unknown): number {
  let best = Number.POSITIVE_INFINITY;
  for (let run = 0; run < runs; run++) {
    const startMs = performance.now();
    work();
    best = Math.min(best, performance.now() - startMs);
  }
  return best / 1000;
}

const percentile = (values: number[], part: number) =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))] ?? 0;

/** G1: the seed's harness. */
async function harness(results: Results, scale: number): Promise<void> {
  const users = testUsers(Math.max(20, Math.round(200 * scale)), 100);
  const run = async (
    name: string,
    floor: number,
    goal: number,
    settings: Record<string, unknown>,
    isTls: boolean,
  ) => {
    mkdirSync(output, { recursive: true });
    const directory = mkdtempSync(join(output, "tls-"));
    try {
      const tls = isTls ? makeCertificate(directory) : undefined;
      const pair = tls === undefined ? {} : { tls: { cert: tls.cert, key: tls.key }, regServerCa: tls.ca };
      await using service = await PresenceService.start({ settings: { ...settings, ...pair } });
      const ca = tls === undefined ? undefined : readFileSync(tls.ca, "utf8");
      const client = service.clientOptions(ca === undefined ? {} : { tls: { ca } });
      const startMs = performance.now();
      const report = await runHarness({
        ...{ client, users, clock: realClock, concurrency: 10, isWaiting: false, onProgress: () => {} },
      });
      const seconds = (performance.now() - startMs) / 1000;
      if (report.wrong > 0) throw new Error(`${report.wrong} states were wrong`);
      results.add(most(`G1 harness of ${users.length} users, ${name}, s`, floor, goal), seconds);
      if (isTls) return;
      const { protocol = 3 } = settings as { protocol?: 1 | 3 };
      const meta = await fetch(`${service.regserver.url}/download/${report.epoch}/meta`);
      const metadata = decodeMetadata(await meta.bytes(), protocol, report.epoch) as Metadata;
      const formula =
        service.lookups.length * queryCount(metadata, 100) * (metadata.rows + rowBytes(metadata));
      const { sent, received } = report.lookup.traffic;
      const part = (sent + received) / report.lookup.users / formula;
      results.add(most(`G7 traffic of a lookup, ${name}, times the formula`, 1.02), part);
    } finally {
      rmSync(directory, { recursive: true });
    }
  };
  await run("protocol 1, plain", 8, 5, { protocol: 1 }, false);
  await run("protocol 1, TLS", 12, 8, { protocol: 1 }, true);
  await run("protocol 3, plain", 8, 5, {}, false);
  await run("protocol 3, TLS", 12, 8, {}, true);
}

function makeCertificate(directory: string) {
  for (const words of [["ca"], ["issue", "server", "tls", "--host", "127.0.0.1"]])
    Bun.spawnSync([executable, "tls", ...words], { cwd: directory, env: {} });
  const path = (name: string) => join(directory, "tls", name);
  return { ca: path("ca.crt"), cert: path("server.crt"), key: path("server.key") };
}

function filled(bytes: number): Uint8Array {
  const table = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at++) table[at] = (at * 2654435761) >>> 17;
  return table;
}

/** G2 and G3: the kernels. */
function kernels(results: Results, scale: number): void {
  const best = bestKernel();
  const [rows, width] = [722, 1118];
  const small = filled(rows * width);
  const queries = nodePrimitives.random(100 * rows);
  const limitMs: Partial<Record<Gf8Kernel, number>> = { gfni512: 1, gfni256: 2, avx2: 6 };
  for (const kernel of gf8Kernels.filter(
    (name) => name !== "auto" && name !== "portable" && hasKernel(name),
  )) {
    const out = new Uint8Array(100 * width);
    const ms =
      1000 *
      fastest(7, () =>
        multiplyInto(out, { table: small, rows, rowBytes: width, queries, count: 100, kernel }),
      );
    results.add(most(`G2 100 queries of 0.8 MB, ${kernel}, ms`, limitMs[kernel] ?? 10), ms);
    const rate = (100 * rows * width) / ms / 1e6;
    const [floor, goal] = kernel === "gfni512" ? [30, 50] : kernel === "gfni256" ? [20, 40] : [15, 20];
    results.add(least(`G3 100 queries of 0.8 MB, ${kernel}, GB/s`, floor, goal), rate);
  }
  const tsMs = 1000 * fastest(2, () => typescriptEngine.answer(small, rows, width, queries, 100));
  results.add(most("G2 100 queries of 0.8 MB, TypeScript, ms", 1000, 130), tsMs);

  const side = Math.round(20_000 * Math.sqrt(scale));
  const large = filled(side * side);
  const bandwidth = large.length / fastest(5, () => readAll(large)) / 1e9;
  const one = nodePrimitives.random(side);
  const out = new Uint8Array(side);
  const single =
    large.length /
    fastest(3, () =>
      multiplyInto(out, { table: large, rows: side, rowBytes: side, queries: one, count: 1 }),
    ) /
    1e9;
  console.log(
    `memory bandwidth ${bandwidth.toFixed(1)} GB/s, one query of ${Math.round(large.length / 1e6)} MB at ${single.toFixed(1)} GB/s (${best})`,
  );
  results.add(least("G3 one query, part of the memory bandwidth", 0.6, 0.8), single / bandwidth);
}

/** G4: an epoch's end, on a real disk, while registrations go on. */
async function epochChange(
  results: Results,
  registrations: number,
  floorS: number,
  goalS: number,
): Promise<void> {
  const directory = mkdtempSync(join(output, "epoch-"));
  const world = realWorld();
  const log = silentLog();
  const pool = new ScanPool({ threads: 1, waitingMax: 1, answerBytesMax: 1 });
  const databases = await Databases.open({
    world,
    directory,
    version: 1,
    retain: 2,
    log,
    onRetired: () => {},
  });
  const registrar = await Registrar.open({
    ...{ world, databases, log, registrationsBytesMax: 1 << 30 },
    config: {
      protocol: 1,
      combined: false,
      batchCodes: false,
      payloadBytes: 16,
      maxBuddies: 100,
      epochSeconds: 86_400,
      retainEpochs: 2,
    },
    directory: join(directory, "registrations"),
    signer: await Signer.open(world, directory, undefined),
    build: (spec, chunks) => pool.build({ spec, chunks }),
    onFatal: (error) => {
      throw error;
    },
  });
  const body = (epoch: number) => concat(epochBytes(epoch), nodePrimitives.random(2600));
  try {
    for (let done = 0; done < registrations; done += 100)
      await Promise.all(Array.from({ length: 100 }, () => registrar.register(body(registrar.epoch + 1))));
    const waitsMs: number[] = [];
    let isOver = false;
    const meanwhile = (async () => {
      while (!isOver) {
        const startMs = performance.now();
        await registrar.register(body(registrar.epoch + 1));
        waitsMs.push(performance.now() - startMs);
        await Bun.sleep(1);
      }
    })();
    await Bun.sleep(20);
    const startMs = performance.now();
    await registrar.fastForward();
    const seconds = (performance.now() - startMs) / 1000;
    isOver = true;
    await meanwhile;
    const records = (registrations * 100).toLocaleString("en-US");
    results.add(most(`G4 epoch change of ${records} records, s`, floorS, goalS), seconds);
    results.add(
      most(`G4 longest wait of a registration meanwhile (${records}), ms`, 50, 20),
      Math.max(...waitsMs),
    );
  } finally {
    await registrar.close();
    pool.close();
    rmSync(directory, { recursive: true });
  }
}

const cpuSeconds = (pid: number): number => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
};

/** G5: registrations through HTTP, each durable before its reply, per second of the server's CPU time. */
async function registrationRate(results: Results, count: number): Promise<void> {
  for (const [protocol, bytes] of [
    [1, 2600],
    [3, 6000],
  ] as const) {
    await using service = await PresenceService.start({ lookups: 0, settings: { protocol } });
    const epoch = await service.epoch();
    const bodies = Array.from({ length: 50 }, () =>
      concat(epochBytes(epoch + 1), nodePrimitives.random(bytes)),
    );
    const before = cpuSeconds(service.regserver.pid);
    const startMs = performance.now();
    let next = 0;
    const worker = async (index: number) => {
      while (next++ < count) {
        const answer = await fetch(`${service.regserver.url}/register/${epoch}/`, {
          method: "POST",
          body: bodies[index] as Uint8Array<ArrayBuffer>,
        });
        if ((await answer.bytes())[0] !== 0) throw new Error(`a registration was answered ${answer.status}`);
      }
    };
    await Promise.all(bodies.map((_, index) => worker(index)));
    const seconds = (performance.now() - startMs) / 1000;
    const cpu = cpuSeconds(service.regserver.pid) - before;
    console.log(`${(count / seconds).toFixed(0)} registrations/s with the generator on the same machine`);
    results.add(
      least(`G5 durable registrations per core and second, protocol ${protocol}`, 2000, 3000),
      count / cpu,
    );
  }
}

/** G6 and G7: lookups of a large database per core and second, and what batch codes save. */
async function lookups(results: Results, users: number): Promise<void> {
  const pool = new ScanPool({ threads: 1, waitingMax: 1000, answerBytesMax: 256 << 20 });
  const directory = mkdtempSync(join(output, "lookup-"));
  const measure = async (version: 1 | 3, isBatched: boolean, concurrency: number, rounds: number) => {
    const scheme = schemeOf(version);
    const chunk = new Uint8Array(new SharedArrayBuffer(users * 100 * scheme.recordBytes));
    for (let at = 0; at < chunk.length; at += 1 << 20)
      chunk.set(nodePrimitives.random(Math.min(1 << 20, chunk.length - at)), at);
    const prfKeys = Array.from({ length: PRF_KEY_CANDIDATES }, () =>
      nodePrimitives.random(scheme.prfKeyBytes),
    );
    const spec = {
      version,
      isCombined: false,
      payloadBytes: 16,
      epoch: 1,
      epochSeconds: 1,
      maxBuddies: 100,
      isBatched,
      prfKeys,
    };
    const { metadata, data } = await pool.build({ spec, chunks: [chunk] });
    // Files that are mapped are never written again: each measurement has its own.
    const path = join(directory, `${version}-${isBatched}-${concurrency}.dat`);
    writeFileSync(path, data);
    const queries = queryCount(metadata, 100);
    const body = nodePrimitives.random(queries * metadata.rows);
    const one = () => pool.answer({ path, layout: metadata }, body, isBatched ? 1 : queries);
    await one();
    const startMs = performance.now();
    for (let round = 0; round < rounds; round++) await Promise.all(Array.from({ length: concurrency }, one));
    const perSecond = (concurrency * rounds * 1000) / (performance.now() - startMs);
    return { perSecond, metadata, dataBytes: data.length };
  };
  try {
    const megabytes = (bytes: number) => `${Math.round(bytes / 1e6)} MB`;
    const plain = await measure(1, false, 1, 5);
    results.add(
      least(`G6 lookups per core and second, protocol 1, ${megabytes(plain.dataBytes)}`, 15, 20),
      plain.perSecond,
    );
    const table = await measure(3, false, 1, 5);
    const alone = await measure(3, true, 1, 5);
    const shared = await measure(3, true, 16, 5);
    const tableShared = await measure(3, false, 16, 1);
    console.log(
      `protocol 3, one table of ${megabytes(table.dataBytes)}: ${table.perSecond.toFixed(1)}/s; batch codes: ${megabytes(alone.dataBytes)}`,
    );
    results.add(
      least("G6 lookups per core and second, batch codes, one client at a time", 0, 120),
      alone.perSecond,
    );
    results.add(
      least("G6 lookups per core and second, batch codes, 16 clients sharing scans", 0, 300),
      shared.perSecond,
    );
    const traffic = ({ metadata }: { metadata: Metadata }) =>
      queryCount(metadata, 100) * (metadata.rows + rowBytes(metadata));
    const work = ({ metadata, dataBytes }: { metadata: Metadata; dataBytes: number }) =>
      dataBytes * (metadata.partitions > 1 ? 1 : queryCount(metadata, 100));
    results.add(least("G7 traffic saved by batch codes, times", 3), traffic(table) / traffic(alone));
    results.add(least("G7 bytes multiplied saved by batch codes, times", 10), work(table) / work(alone));
    results.add(
      least("G7 server time saved by batch codes, 16 clients sharing scans, times", 0, 10),
      shared.perSecond / tableShared.perSecond,
    );
  } finally {
    pool.close();
    rmSync(directory, { recursive: true });
  }
}

/** G8: the check of a registration in combined mode. */
function combinedCheck(results: Results): void {
  const registration = registerCombined(
    nodePrimitives,
    nodePrimitives.random(32),
    7,
    nodePrimitives.random(16),
  );
  const ms = 1000 * fastest(200, () => verifyCombined(nodePrimitives, registration, 7, 44));
  results.add(most("G8 check of a combined registration, ms", 1), ms);
}

/** G9: 2,000 idle connections. */
async function idleConnections(results: Results, rounds: number): Promise<void> {
  await using service = await PresenceService.start({ settings: { protocol: 1 } });
  const users = testUsers(20, 20);
  const options = (onLatency: (ms: number) => void) => ({
    ...{
      client: service.clientOptions(),
      users,
      clock: realClock,
      concurrency: 4,
      isWaiting: false,
      onProgress: () => {},
    },
    onLooked: () => onLatency(performance.now()),
  });
  const measure = async () => {
    const gaps: number[] = [];
    for (let round = 0; round < rounds; round++) {
      let lastMs = performance.now();
      await runHarness(
        options((nowMs) => {
          gaps.push(nowMs - lastMs);
          lastMs = nowMs;
        }),
      );
    }
    return percentile(gaps, 0.99);
  };
  await measure();
  const quiet = await measure();
  const idle = await Promise.all(
    Array.from({ length: 2000 }, () =>
      Bun.connect({
        hostname: "127.0.0.1",
        port: service.lookups[0]?.port ?? 0,
        socket: {
          data() {},
          open: (socket) => void socket.write("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"),
        },
      }),
    ),
  );
  const crowded = await measure();
  for (const socket of idle) socket.end();
  results.add(most("G9 p99 with 2,000 idle connections, times that without", 2), crowded / quiet);
}

type Part = (results: Results, isSmall: boolean) => void | Promise<void>;

/** The parts of the run by name, in their order. */
const parts: Record<string, Part> = {
  kernels: (results, isSmall) => kernels(results, isSmall ? 0.05 : 1),
  combined: combinedCheck,
  harness: (results, isSmall) => harness(results, isSmall ? 0.1 : 1),
  async epochs(results, isSmall) {
    await epochChange(results, 200, 0.5, 0.05);
    await epochChange(results, isSmall ? 500 : 10_000, 5, 3);
  },
  registrations: (results, isSmall) => registrationRate(results, isSmall ? 500 : 20_000),
  lookups: (results, isSmall) => lookups(results, isSmall ? 200 : 10_000),
  idle: (results, isSmall) => idleConnections(results, isSmall ? 1 : 5),
};

export async function benchPresence(argv: string[]): Promise<number> {
  const isSmall = argv[0] === "--small";
  const wanted = argv.slice(isSmall ? 1 : 0);
  if (wanted.some((name) => !Object.hasOwn(parts, name)))
    throw new NxError("NX_USAGE", `wanted: bench presence [--small] [${Object.keys(parts).join("|")}…]`);
  mkdirSync(output, { recursive: true });
  const machine = describeMachine(output);
  const results = new Results();
  if (isNoisy(machine)) console.log(`noisy: the load average is ${machine.loadAverage.toFixed(1)}`);
  for (const [name, part] of Object.entries(parts))
    if (wanted.length === 0 || wanted.includes(name)) await part(results, isSmall);
  const isHeld = results.verdicts.every(({ outcome }) => outcome !== "FLOOR FAILED");
  const report = {
    command: ["bun run bench presence", ...argv].join(" "),
    startedAt: new Date().toISOString(),
    machine,
    isSmall,
    isHeld,
    verdicts: results.verdicts,
  };
  writeFileSync(join(output, "presence.json"), `${JSON.stringify(report, null, 2)}\n`);
  console.log(
    `floors ${isHeld ? "held" : "NOT held"}${isSmall ? " (small sizes: not figures to keep)" : ""}`,
  );
  return isHeld ? 0 : 1;
}

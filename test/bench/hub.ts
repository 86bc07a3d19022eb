/**
 * `bun run bench hub [INSTANCES] [SECONDS]`: what the hub costs on this machine with 50 dht nodes asked each second, and how long its
 * page takes to be seen.
 *
 * The nodes run in one process, so that the machine has room for the hub; their admin sockets are real. CPU is that of the hub's own
 * process over the time, without and with an open page. Writes dist/bench/hub.json. Exit code 1 when a floor is not held.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { ensureExecutable } from "../../build.ts";
import { adminGet } from "../../src/core/admin-client.ts";
import { loadConfig } from "../../src/core/config/load.ts";
import { Instance } from "../../src/core/kernel/instance.ts";
import { logOutput } from "../../src/core/logging/log.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { roleEntry, schemaCatalog } from "../../src/roles.ts";
import { executable } from "../e2e/node-process.ts";

const CPU_PERCENT_FLOOR = 5;
const PAINT_MS_FLOOR = 1000;
const PAINTS = 5;

async function startNodes(top: string, count: number): Promise<Instance[]> {
  const role = await roleEntry("dht").load();
  const nodes: Instance[] = [];
  for (let index = 0; index < count; index++) {
    const file = join(top, `b.dht${index}.json`);
    const dataDir = join(top, `n${index}`);
    writeFileSync(file, JSON.stringify({ dataDir, port: 0, respPort: 0, durability: "memory" }));
    const sources = { file, environment: {}, sets: [], workingDirectory: top };
    const options = { world: realWorld(), logOutput: logOutput("fatal", []), onFatal() {} };
    nodes.push(await Instance.start(role, await loadConfig(sources, schemaCatalog), options));
  }
  return nodes;
}

interface HubStats {
  ports: { port: number };
  process: { cpuUserSeconds: number; cpuSystemSeconds: number; rssBytes: number };
  hub: { instancesReady: number };
}

class HubProcess {
  readonly #socket: string;
  readonly #child: Bun.Subprocess;

  constructor(top: string) {
    const file = join(top, "b.hub0.json");
    writeFileSync(file, JSON.stringify({ dataDir: join(top, "hub"), port: 0, metricsPort: null }));
    this.#socket = join(top, "hub/admin.sock");
    this.#child = Bun.spawn([executable, "run", "hub", "--config", file], {
      cwd: top,
      stdio: ["ignore", "ignore", "ignore"],
    });
  }

  async stats(): Promise<HubStats> {
    return JSON.parse((await adminGet(this.#socket, "/stats", 5000)).body) as HubStats;
  }

  /** Until it sees this many ready. */
  async ready(count: number): Promise<string> {
    for (;;) {
      const stats = await this.stats().catch(() => undefined);
      if (stats !== undefined && stats.hub.instancesReady >= count)
        return `http://127.0.0.1:${stats.ports.port}`;
      if (this.#child.exitCode !== null) throw new Error(`the hub ended with ${this.#child.exitCode}`);
      await Bun.sleep(100);
    }
  }

  /** Percent of one core over `seconds`. */
  async cpuPercent(seconds: number): Promise<number> {
    const cpu = ({ process: { cpuUserSeconds, cpuSystemSeconds } }: HubStats) =>
      cpuUserSeconds + cpuSystemSeconds;
    const [before, beganAtMs] = [await this.stats(), performance.now()];
    await Bun.sleep(seconds * 1000);
    const after = await this.stats();
    return (100_000 * (cpu(after) - cpu(before))) / (performance.now() - beganAtMs);
  }

  async stop(): Promise<void> {
    this.#child.kill();
    await this.#child.exited;
  }
}

/** Milliseconds from the request to the first paint with content, each in a fresh browser context; sorted. */
async function paints(base: string, whileOpen: () => Promise<void>): Promise<number[]> {
  const args = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"];
  const browser = await chromium.launch({ executablePath: Bun.which("chromium") ?? "chromium", args });
  try {
    const found: number[] = [];
    for (let index = 0; index < PAINTS; index++) {
      const context = await browser.newContext();
      const page = await context.newPage();
      await page.goto(base);
      await page.waitForSelector("tbody tr");
      const entry = "performance.getEntriesByName('first-contentful-paint')[0].startTime";
      found.push((await page.evaluate(entry)) as number);
      if (index === PAINTS - 1) await whileOpen();
      await context.close();
    }
    return found.sort((a, b) => a - b);
  } finally {
    await browser.close();
  }
}

export async function benchHub(argv: string[]): Promise<number> {
  const [instances = 50, seconds = 20] = argv.map(Number);
  await ensureExecutable();
  const top = mkdtempSync(join(tmpdir(), "nx-bench-hub-"));
  const nodes = await startNodes(top, instances);
  const hub = new HubProcess(top);
  try {
    const base = await hub.ready(instances);
    const idleCpuPercent = await hub.cpuPercent(seconds);
    let watchedCpuPercent = 0;
    const sorted = await paints(base, async () => {
      watchedCpuPercent = await hub.cpuPercent(seconds);
    });
    const figures = {
      instances,
      seconds,
      idleCpuPercent,
      watchedCpuPercent,
      paintMsMedian: sorted[PAINTS >> 1] ?? 0,
      paintMsMax: sorted.at(-1) ?? 0,
      hubRssMiB: (await hub.stats()).process.rssBytes / 2 ** 20,
    };
    for (const [name, value] of Object.entries(figures))
      console.log(`${name.padEnd(18)} ${value.toFixed(1)}`);
    mkdirSync("dist/bench", { recursive: true });
    writeFileSync("dist/bench/hub.json", `${JSON.stringify(figures, null, 2)}\n`);
    const floors: [string, boolean][] = [
      [`${CPU_PERCENT_FLOOR} % of a core`, idleCpuPercent <= CPU_PERCENT_FLOOR],
      [`first paint in ${PAINT_MS_FLOOR} ms`, figures.paintMsMedian <= PAINT_MS_FLOOR],
    ];
    for (const [floor, isHeld] of floors) console.log(`${floor}: ${isHeld ? "held" : "NOT held"}`);
    return floors.every(([, isHeld]) => isHeld) ? 0 : 1;
  } finally {
    await hub.stop();
    for (const node of nodes) await node.stop();
    rmSync(top, { recursive: true, force: true });
  }
}

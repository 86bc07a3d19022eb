/**
 * Timestamp servers as operators run them, the whole role over simulated hosts, networks and disks, with real clients of
 * them that ask all the time. What comes out is every timestamp with the times around it, for the checker.
 */
import { silentLog } from "../../../src/core/logging/log.ts";
import { createMetrics } from "../../../src/core/metrics.ts";
import type { RunningRole } from "../../../src/core/role.ts";
import type { Random } from "../../../src/core/seams/random.ts";
import { SimCluster, type RunningProcess } from "../../../src/core/sim/world.ts";
import { SimulationError } from "../../../src/core/sim/scheduler.ts";
import { GroupClient } from "../../../src/reactive/replication/group-client.ts";
import { TimestampClient } from "../../../src/reactive/tss/client.ts";
import { tssConfig } from "../../../src/reactive/tss/config.ts";
import { tss } from "../../../src/reactive/tss/role.ts";
import { checkTimestamps, type Issued } from "../checkers/timestamps.ts";

const PORT = 12348;
const addressOf = (index: number) => `10.0.0.${index + 1}`;

interface Server {
  process: RunningProcess;
  role: Promise<RunningRole<unknown>>;
}

export class TssSimulation {
  readonly cluster: SimCluster;
  readonly random: Random;
  readonly issued: Issued[] = [];
  readonly replicas: number;
  readonly #servers: (Server | undefined)[] = [];
  #clients: GroupClient[] = [];
  #areClientsDone = false;

  constructor(seed: number, replicas = 3) {
    this.cluster = new SimCluster(seed, { disk: { latencyMeanMs: 0.3, sectorBytes: 8192 } });
    this.random = this.cluster.scheduler.fork();
    this.replicas = replicas;
  }

  get timeMs(): number {
    return this.cluster.scheduler.timeMs;
  }

  pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.cluster.scheduler.after(delayMs, resolve));
  }

  async prepareDisks(): Promise<void> {
    for (let index = 0; index < this.replicas; index++) {
      const { disk } = this.cluster.host(addressOf(index));
      await disk.makeDirectory("/data");
      await disk.syncDirectory("/");
    }
  }

  start(index: number): void {
    const process = this.cluster.host(addressOf(index)).start();
    const replicas = Array.from({ length: this.replicas }, (_, each) => `${addressOf(each)}:${PORT}`);
    const config = tssConfig.parse({
      role: "tss",
      instance: `sim.tss.${index}`,
      dataDir: "/data",
      replicas,
      replica: index,
      host: addressOf(index),
      port: PORT,
    });
    const role = tss.start({
      ...process.world,
      instance: `sim.tss.${index}`,
      config: config as never,
      dataDir: "/data",
      log: silentLog(),
      metrics: createMetrics(`sim.tss.${index}`, "tss"),
      tls: undefined,
      progress: () => {},
      announcePort: () => {},
      fatal: (error) =>
        this.cluster.scheduler.background(
          Promise.reject(new SimulationError(`replica ${index}: ${error.stack}`)),
        ),
    });
    this.#servers[index] = { process, role };
    this.cluster.scheduler.background(role);
  }

  startAll(): void {
    for (let index = 0; index < this.replicas; index++) this.start(index);
  }

  kill(index: number): void {
    this.cluster.host(addressOf(index)).killProcess();
    this.#servers[index] = undefined;
  }

  /** As an operator stops it. */
  async stop(index: number): Promise<void> {
    const role = await this.#servers[index]?.role;
    await role?.drain?.();
    await role?.stop();
    this.kill(index);
  }

  losePower(index: number): void {
    this.cluster.host(addressOf(index)).losePower({ names: "any", isTearing: true });
    this.#servers[index] = undefined;
  }

  isolate(index: number): void {
    for (let other = 0; other < this.replicas; other++) {
      if (other === index) continue;
      this.cluster.network.cut(addressOf(index), addressOf(other));
      this.cluster.network.cut(addressOf(other), addressOf(index));
    }
  }

  async stats(index: number): Promise<Record<string, unknown> | undefined> {
    return (await this.#servers[index]?.role)?.stats() as Record<string, unknown> | undefined;
  }

  async primary(): Promise<number> {
    let found = -1;
    let view = -1;
    for (let index = 0; index < this.replicas; index++) {
      const stats = await this.stats(index);
      if (stats?.isPrimary === true && Number(stats.view) > view) [found, view] = [index, Number(stats.view)];
    }
    return found;
  }

  /** Clients on hosts of their own that ask without a pause, a few callers each. */
  startClients(count: number, callers = 6): void {
    for (let index = 0; index < count; index++) {
      const { world } = this.cluster.host(`10.0.1.${index + 1}`).start();
      const replicas = Array.from({ length: this.replicas }, (_, each) => ({
        host: addressOf(each),
        port: PORT,
      }));
      const group = new GroupClient({ world, replicas, group: "tss" });
      this.#clients.push(group);
      const timestamps = new TimestampClient(group, 1);
      for (let caller = 0; caller < callers; caller++) {
        this.cluster.scheduler.background(this.#ask(`client ${index}.${caller}`, timestamps));
      }
    }
  }

  async #ask(client: string, timestamps: TimestampClient): Promise<void> {
    while (!this.#areClientsDone) {
      const askedAt = this.timeMs;
      const timestamp = await timestamps.next();
      this.issued.push({ client, askedAt, receivedAt: this.timeMs, timestamp });
      await this.pause(this.random.integer(40));
    }
  }

  async finish(): Promise<void> {
    this.#areClientsDone = true;
    await this.pause(2000);
    for (const client of this.#clients) client.close();
    for (const server of this.#servers) await (await server?.role)?.stop();
    const problems = checkTimestamps(this.issued);
    if (problems.length > 0) throw new SimulationError(problems.slice(0, 3).join("\n"));
  }

  /** The longest time without a timestamp, in simulated milliseconds. */
  longestGapMs(fromMs: number, toMs: number): number {
    const times = this.issued.map(({ receivedAt }) => receivedAt).filter((at) => at >= fromMs && at <= toMs);
    const ends = [fromMs, ...times.sort((a, b) => a - b), toMs];
    return Math.max(...ends.slice(1).map((at, index) => at - (ends[index] as number)));
  }

  run(life: () => Promise<void>): void {
    this.cluster.scheduler.run(life, { timeLimitMs: 600_000 });
  }
}

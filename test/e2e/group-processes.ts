/**
 * A group of timestamp servers as an operator runs it: the compiled executable, one process per replica, one file of
 * addresses in Diamond's dialect, and clients of them in this process.
 *
 * Invariant: no process and no directory outlives the `GroupProcesses` that a test holds with `using`.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureExecutable } from "../../build.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { GroupClient, type GroupClientOptions } from "../../src/reactive/replication/group-client.ts";
import { TimestampClient } from "../../src/reactive/tss/client.ts";
import { checkTimestamps, type Issued } from "../reactive/checkers/timestamps.ts";
import { until } from "./executable.ts";
import { freePorts } from "./free-ports.ts";
import { executable } from "./node-process.ts";

export interface TssStats {
  pid: number;
  ready: boolean;
  reasons: string[];
  process: { rssBytes: number };
  tss: {
    last: number;
    phase: string;
    view: number;
    isPrimary: boolean;
    op: number;
    commit: number;
    incarnation: number;
    snapshotsFetched: number;
    garbled: number;
    refused: number;
  };
}

export interface GroupOptions {
  replicas?: number;
  settings?: string[];
  /** Where the others reach replica `to` as seen from replica `from`, when not directly. */
  addressFor?(from: number, to: number, direct: string): string;
}

export class GroupProcesses implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), "node-x-tss-"));
  readonly ports: number[];
  readonly issued: Issued[] = [];
  readonly #options: GroupOptions;
  readonly #children: (Bun.Subprocess | undefined)[] = [];
  readonly #clients: GroupClient[] = [];
  #areClientsDone = false;
  #asking: Promise<void>[] = [];

  static async create(options: GroupOptions = {}): Promise<GroupProcesses> {
    await ensureExecutable();
    return new GroupProcesses(options, await freePorts(options.replicas ?? 3));
  }

  private constructor(options: GroupOptions, ports: number[]) {
    this.#options = options;
    this.ports = ports;
    for (const index of ports.keys()) this.#writeFile(index);
  }

  /** One file for all; several when they see each other through proxies. */
  #writeFile(index: number): void {
    const addressFor = this.#options.addressFor ?? ((_from, _to, direct) => direct);
    const lines = this.ports.map((port, to) => {
      const direct = `127.0.0.1:${port}`;
      return `host ${to === index ? direct : addressFor(index, to, direct)}\n`;
    });
    writeFileSync(join(this.directory, this.fileOf(index)), lines.join(""));
  }

  fileOf(index: number): string {
    return this.#options.addressFor === undefined
      ? "local.tss.config"
      : `seen${"abcdefgh"[index]}.tss.config`;
  }

  dataDirOf(index: number): string {
    return join(this.directory, `${this.fileOf(index).replace(".config", "")}.${index}`);
  }

  get replicas(): number {
    return this.ports.length;
  }

  start(index: number): void {
    const sets = ["log.console=off", ...(this.#options.settings ?? [])].flatMap((set) => ["--set", set]);
    this.#children[index] = Bun.spawn(
      [executable, "run", "tss", "-c", this.fileOf(index), "-i", String(index), ...sets],
      { cwd: this.directory, env: {}, stdin: "ignore", stdout: "ignore", stderr: "ignore" },
    );
  }

  startAll(): void {
    for (const index of this.ports.keys()) this.start(index);
  }

  async kill(index: number, signal: NodeJS.Signals = "SIGKILL"): Promise<number | undefined> {
    const child = this.#children[index];
    child?.kill(signal);
    this.#children[index] = undefined;
    return child?.exited;
  }

  /** What is left of a replica whose disk is lost. */
  wipe(index: number): void {
    rmSync(this.dataDirOf(index), { recursive: true, force: true });
  }

  isRunning(index: number): boolean {
    const child = this.#children[index];
    return child !== undefined && child.exitCode === null && child.signalCode === null;
  }

  rootLog(index: number): string {
    return readFileSync(join(this.dataDirOf(index), "log/root.log"), "utf8");
  }

  async stats(index: number): Promise<TssStats | undefined> {
    try {
      const response = await fetch("http://node/stats", {
        unix: join(this.dataDirOf(index), "admin.sock"),
        signal: AbortSignal.timeout(3000),
      });
      const stats = (await response.json()) as TssStats;
      return stats.pid === this.#children[index]?.pid ? stats : undefined;
    } catch {
      return undefined;
    }
  }

  async ready(index: number): Promise<TssStats> {
    return until(`replica ${index} to be ready`, async () => {
      const stats = await this.stats(index);
      return stats?.ready === true ? stats : undefined;
    });
  }

  async allReady(): Promise<TssStats[]> {
    return Promise.all(this.ports.map((_, index) => this.ready(index)));
  }

  /** The index of the primary with the highest view. */
  primary(): Promise<number> {
    return until("a primary", async () => {
      const all = await Promise.all(this.ports.map((_, index) => this.stats(index)));
      const primaries = all.flatMap((stats, index) =>
        stats?.tss.isPrimary === true ? [{ index, view: stats.tss.view }] : [],
      );
      return primaries.sort((a, b) => b.view - a.view)[0]?.index;
    });
  }

  connect(token?: string, more: Partial<GroupClientOptions> = {}): TimestampClient {
    const group = new GroupClient({
      world: realWorld(),
      replicas: this.ports.map((port) => ({ host: "127.0.0.1", port })),
      group: "tss",
      ...(token !== undefined && { token }),
      ...more,
    });
    this.#clients.push(group);
    return new TimestampClient(group);
  }

  /** Clients with a few callers each ask all the time, until `finish`. */
  startClients(count: number, callers = 2): void {
    for (let index = 0; index < count; index++) {
      const client = this.connect();
      for (let caller = 0; caller < callers; caller++) {
        this.#asking.push(this.#ask(`client ${index}.${caller}`, client));
      }
    }
  }

  async #ask(name: string, client: TimestampClient): Promise<void> {
    while (!this.#areClientsDone) {
      const askedAt = performance.now();
      const timestamp = await client.next();
      this.issued.push({ client: name, askedAt, receivedAt: performance.now(), timestamp });
      await Bun.sleep(1);
    }
  }

  /** Waits for one more timestamp that was asked for after this call; returns how long that took. */
  async nextIssuedMs(): Promise<number> {
    const fromMs = performance.now();
    return until("a timestamp", () => {
      const next = this.issued.findLast(({ askedAt }) => askedAt > fromMs);
      return next === undefined ? undefined : next.receivedAt - fromMs;
    });
  }

  /** Ends the clients and returns what is wrong with what they got. */
  async finish(): Promise<string[]> {
    this.#areClientsDone = true;
    await Promise.all(this.#asking);
    return checkTimestamps(this.issued);
  }

  [Symbol.dispose](): void {
    this.#areClientsDone = true;
    for (const asking of this.#asking) asking.catch(() => undefined);
    for (const client of this.#clients) client.close();
    for (const child of this.#children) child?.kill("SIGKILL");
    rmSync(this.directory, { recursive: true, force: true });
  }
}

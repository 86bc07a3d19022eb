/**
 * A whole transactional store as an operator runs it: the compiled executable, one process per instance, files of a prefix in
 * a directory of its own.
 *
 * Invariant: no process and no directory outlives the `StoreProcesses` that a test holds with `using`.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureExecutable } from "../../build.ts";
import { until } from "./executable.ts";
import { freePorts } from "./free-ports.ts";
import { executable } from "./node-process.ts";

interface Instance {
  words: string[];
  dataDir: string;
  child?: Bun.Subprocess;
}

export interface StoreLayout {
  tss: number;
  shards: number;
  replicas: number;
  frontends: number;
  /** Replicas that are all of it in one process each; clients reach them as they reach frontends. */
  stores?: number;
  /** Further keys of the frontends, or of the stores. */
  frontendConfig?: object;
  /** Where frontends reach a replica of a shard, when not directly. */
  shardAddress?(shard: number, direct: string): string;
  /** Where replica `from` of a shard reaches replica `to`, when not directly. */
  peerAddress?(shard: number, from: number, to: number, direct: string): string;
}

export class StoreProcesses implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), "node-x-store-"));
  readonly frontendPorts: number[];
  readonly #instances = new Map<string, Instance>();

  static async create(layout: StoreLayout): Promise<StoreProcesses> {
    await ensureExecutable();
    const { tss, shards, replicas, frontends, stores = 0 } = layout;
    const count = tss + shards * replicas + frontends + 2 * stores;
    return new StoreProcesses(layout, await freePorts(count));
  }

  /** One process for each replica. */
  static inOne(stores: number, frontendConfig: object = {}): Promise<StoreProcesses> {
    return StoreProcesses.create({ tss: 0, shards: 0, replicas: 0, frontends: 0, stores, frontendConfig });
  }

  /** Frontends whose store is in an etcd. */
  static overEtcd(
    endpoints: readonly string[],
    frontends: number,
    more: object = {},
  ): Promise<StoreProcesses> {
    const engine = { etcd: { endpoints, prefix: `${crypto.randomUUID()}/`, ...more } };
    return StoreProcesses.create({ tss: 0, shards: 0, replicas: 0, frontends, frontendConfig: { engine } });
  }

  private constructor(layout: StoreLayout, ports: number[]) {
    const {
      tss,
      shards,
      replicas,
      frontends,
      stores = 0,
      frontendConfig,
      shardAddress,
      peerAddress,
    } = layout;
    const take = (count: number) => ports.splice(0, count).map((port) => `127.0.0.1:${port}`);
    const group = (file: string, name: string, role: string, addresses: string[]) => {
      writeFileSync(join(this.directory, file), addresses.map((address) => `host ${address}\n`).join(""));
      for (const index of addresses.keys())
        this.#add(`${name}.${index}`, [role, "-c", file, "-i", String(index)]);
    };
    const tssAddresses = take(tss);
    if (tss > 0) group("c.tss.config", "c.tss", "tss", tssAddresses);
    const shardAddresses = Array.from({ length: shards }, () => take(replicas));
    for (const [shard, addresses] of shardAddresses.entries())
      if (peerAddress === undefined) group(`c${shard}.config`, `c.shard${shard}`, "shard", addresses);
      else
        for (const from of addresses.keys()) {
          // Each sees the others through proxies of its own, so each has a file of its own.
          const prefix = `seen${"abcdefgh"[from]}`;
          const seen = addresses.map((direct, to) =>
            from === to ? direct : peerAddress(shard, from, to, direct),
          );
          const file = `${prefix}${shard}.config`;
          writeFileSync(join(this.directory, file), seen.map((address) => `host ${address}\n`).join(""));
          this.#add(`${prefix}.shard${shard}.${from}`, ["shard", "-c", file, "-i", String(from)]);
        }
    const seen = shardAddresses.map((addresses, shard) =>
      addresses.map((address) => shardAddress?.(shard, address) ?? address),
    );
    const storeAddresses = take(stores);
    const storePorts = ports.splice(0, stores);
    for (const [replica, httpPort] of storePorts.entries()) {
      const port = Number((storeAddresses[replica] as string).split(":")[1]);
      const config = { httpPort, port, replica, replicas: storeAddresses, ...frontendConfig };
      writeFileSync(join(this.directory, `c.store${replica}.json`), JSON.stringify(config));
      this.#add(`c.store${replica}`, ["store", "-c", `c.store${replica}.json`]);
    }
    const frontendPorts = ports.splice(0, frontends);
    this.frontendPorts = [...storePorts, ...frontendPorts];
    for (const [index, httpPort] of frontendPorts.entries()) {
      // Without shards it is another engine's store.
      const builtin = shards > 0 ? { timestampServers: tssAddresses, shards: seen } : {};
      const config = { httpPort, ...builtin, ...frontendConfig };
      writeFileSync(join(this.directory, `c.frontend${index}.json`), JSON.stringify(config));
      this.#add(`c.frontend${index}`, ["frontend", "-c", `c.frontend${index}.json`]);
    }
  }

  #add(name: string, words: string[]): void {
    this.#instances.set(name, { words, dataDir: join(this.directory, name) });
  }

  get names(): string[] {
    return [...this.#instances.keys()];
  }

  start(name: string): void {
    const instance = this.#instances.get(name) as Instance;
    instance.child = Bun.spawn([executable, "run", ...instance.words, "--set", "log.console=off"], {
      cwd: this.directory,
      env: {},
      stdin: "ignore",
      stdout: "ignore",
      stderr: "ignore",
    });
  }

  async startAll(): Promise<void> {
    for (const name of this.names) this.start(name);
    await Promise.all(this.names.map((name) => this.ready(name)));
  }

  async kill(...names: string[]): Promise<void> {
    const children = names.map((name) => this.#instances.get(name)?.child);
    for (const child of children) child?.kill("SIGKILL");
    await Promise.all(children.map((child) => child?.exited));
  }

  async ready(name: string): Promise<void> {
    const unix = join((this.#instances.get(name) as Instance).dataDir, "admin.sock");
    await until(`${name} to be ready`, async () => {
      try {
        return (await fetch("http://node/readyz", { unix } as RequestInit)).ok || undefined;
      } catch {
        return undefined;
      }
    });
  }

  /** What is left of an instance whose disk is lost. */
  wipe(name: string): void {
    rmSync((this.#instances.get(name) as Instance).dataDir, { recursive: true, force: true });
  }

  /** What an instance says of itself. */
  async stats(name: string): Promise<any> {
    const unix = join((this.#instances.get(name) as Instance).dataDir, "admin.sock");
    return (await fetch("http://node/stats", { unix } as RequestInit)).json();
  }

  rootLog(name: string): string {
    return readFileSync(join((this.#instances.get(name) as Instance).dataDir, "log/root.log"), "utf8");
  }

  signal(name: string, signal: NodeJS.Signals): void {
    this.#instances.get(name)?.child?.kill(signal);
  }

  /** Asks an instance to end, as the service manager does; resolves with its exit code. */
  async terminate(name: string): Promise<number | undefined> {
    const child = this.#instances.get(name)?.child;
    child?.kill("SIGTERM");
    return child?.exited;
  }

  /** The instance that leads a group, `c.tss` or `c.shard0`. */
  primaryOf(group: string): Promise<string> {
    return this.#primaryAmong(this.names.filter((name) => name.startsWith(`${group}.`)));
  }

  /** The same for a shard, also where each replica has a file of its own, or is one of the stores. */
  primary(shard: number): Promise<string> {
    const isMember = (name: string) => name.includes(`.shard${shard}.`) || name.includes(".store");
    return this.#primaryAmong(this.names.filter(isMember));
  }

  #primaryAmong(members: string[]): Promise<string> {
    return until(`a primary among ${members.join(", ")}`, async () => {
      const all = await Promise.all(
        members.map(async (name) => ({
          name,
          status: groupStatus(await this.stats(name).catch(() => undefined)),
        })),
      );
      const leading = all.filter(({ status }) => status?.isPrimary === true);
      return leading.sort((a, b) => (b.status?.view ?? 0) - (a.status?.view ?? 0))[0]?.name;
    });
  }

  /** Addresses for the client library. */
  get frontends(): string[] {
    return this.frontendPorts.map((port) => `http://127.0.0.1:${port}`);
  }

  /** A request to a frontend. */
  async ask(frontend: number, path: string, init?: RequestInit): Promise<{ status: number; body: any }> {
    const response = await fetch(`http://127.0.0.1:${this.frontendPorts[frontend]}/v1/${path}`, init);
    return { status: response.status, body: await response.json() };
  }

  commit(frontend: number, transaction: object): Promise<{ status: number; body: any }> {
    return this.ask(frontend, "transactions", { method: "POST", body: JSON.stringify(transaction) });
  }

  [Symbol.dispose](): void {
    for (const { child } of this.#instances.values()) child?.kill("SIGKILL");
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function groupStatus(stats: any): { isPrimary: boolean; view: number } | undefined {
  return stats?.tss ?? stats?.shard ?? stats?.store;
}

/**
 * A presence service as an operator runs it: one registration server and some lookup servers, each the executable in a
 * process of its own on a free port, in a temporary directory.
 *
 * Invariant: no process and no directory outlives the service that a test holds with `await using`.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureExecutable } from "../../build.ts";
import { PresenceClient, type ClientOptions, type LookupResult } from "../../src/presence/client.ts";
import { nativeEngine } from "../../src/presence/pir/native-engine.ts";
import { nodePrimitives } from "../../src/presence/protocol/primitives-node.ts";
import { makeUsers, parseUsers, type TestUser } from "../../src/presence/users.ts";
import { until } from "./executable.ts";
import type { SmallDisk } from "./small-disk.ts";

export const executable = join(import.meta.dir, "../../dist/node-x");

type Settings = Record<string, unknown>;

export interface PresenceStats {
  pid: number;
  ready: boolean;
  state: string;
  ports: { port: number };
  process: { rssBytes: number; openFiles: number };
  regserver?: ServerStats;
  lookup?: ServerStats;
}

interface ServerStats {
  requests: number;
  malformed: number;
  epoch: number | null;
  epochsServed: number[];
  scans: { scans: number; requests: number; cancelled: number };
  registrations?: { registrations: number; pendingBytes: number; log: { tornBytes: number } };
  upstream?: { fetched: number; questions: number; trouble: string | null };
}

/** One server: its configuration stays, its process can be stopped and started again on the same port. */
export class PresenceProcess {
  readonly role: "regserver" | "lookup";
  readonly name: string;
  readonly dataDir: string;
  port = 0;
  /** Where its data lies; the machine's disk when absent. */
  disk: SmallDisk | undefined;
  #child: Bun.Subprocess | undefined;
  readonly #directory: string;
  readonly #settings: Settings;

  constructor(role: "regserver" | "lookup", name: string, directory: string, settings: Settings) {
    this.role = role;
    this.name = name;
    this.#directory = directory;
    this.dataDir = join(directory, name);
    this.#settings = settings;
  }

  get scheme(): string {
    return this.#settings.tls === undefined ? "http" : "https";
  }

  get url(): string {
    return `${this.scheme}://127.0.0.1:${this.port}`;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** Starts the process and waits until it listens; with `isReady`, until it has a database to serve. */
  async start({ isReady = true, settings = {} as Settings } = {}): Promise<this> {
    const file = join(this.#directory, `${this.name}.json`);
    mkdirSync(this.dataDir, { recursive: true, mode: 0o700 });
    const own = { role: this.role, instance: this.name, dataDir: this.dataDir, port: this.port };
    writeFileSync(file, JSON.stringify({ ...own, log: { console: "off" }, ...this.#settings, ...settings }));
    const command = [...(this.disk?.enter ?? []), executable, "run", this.role, "--config", file];
    const child = Bun.spawn(command, {
      cwd: this.#directory,
      env: {},
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
    this.#child = child;
    const stderr = new Response(child.stderr).text();
    const stats = await until(`${this.name} to serve`, async () => {
      if (child.exitCode !== null)
        throw new Error(`${this.name} ended with ${child.exitCode}: ${await stderr}`);
      const found = await this.stats().catch(() => undefined);
      return found?.pid === child.pid && found.state === "ready" && (found.ready || !isReady)
        ? found
        : undefined;
    });
    this.port = stats.ports.port;
    return this;
  }

  async stats(): Promise<PresenceStats> {
    const socket = join(this.dataDir, "admin.sock");
    const unix = this.disk?.outside(socket) ?? socket;
    const answer = await fetch("http://node/stats", { unix, signal: AbortSignal.timeout(5000) });
    return (await answer.json()) as PresenceStats;
  }

  async server(): Promise<ServerStats> {
    return (await this.stats())[this.role] as ServerStats;
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  /** Ends the process and waits for it. */
  async end(name: NodeJS.Signals = "SIGTERM"): Promise<number> {
    this.#child?.kill(name);
    return (await this.#child?.exited) ?? 0;
  }

  log(): string {
    return readFileSync(join(this.dataDir, "log/root.log"), "utf8");
  }
}

export interface ServiceOptions {
  lookups?: number;
  /** Keys of every server. */
  settings?: Settings;
  regserver?: Settings;
  lookup?: Settings;
}

export class PresenceService implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), "node-x-presence-"));
  readonly regserver: PresenceProcess;
  readonly lookups: PresenceProcess[] = [];
  readonly #settings: Settings;

  private constructor({ settings = {}, regserver = {} }: ServiceOptions) {
    this.#settings = settings;
    this.regserver = new PresenceProcess("regserver", "regserver", this.directory, {
      debug: true,
      ...settings,
      ...regserver,
    });
  }

  static async start(options: ServiceOptions = {}): Promise<PresenceService> {
    await ensureExecutable();
    const service = new PresenceService(options);
    try {
      await service.regserver.start();
      for (let index = 0; index < (options.lookups ?? 3); index++) service.addLookup(options.lookup);
      await Promise.all(service.lookups.map((server) => server.start()));
    } catch (error) {
      await service[Symbol.asyncDispose]();
      throw error;
    }
    return service;
  }

  /** A further lookup server, not started yet. */
  addLookup(settings: Settings = {}): PresenceProcess {
    const all = { regServer: this.regserver.url, ...this.#settings, ...settings };
    const server = new PresenceProcess("lookup", `lookup${this.lookups.length}`, this.directory, all);
    this.lookups.push(server);
    return server;
  }

  /** Options of a client that uses these servers, or others in their place. */
  clientOptions(options: Partial<ClientOptions> = {}): ClientOptions {
    const { protocol = 3, combined = false, payloadBytes = 16, maxBuddies = 100 } = this.#settings;
    return {
      regServer: this.regserver.url,
      lookupServers: this.lookups.map(({ url }) => url),
      privacyLevel: 1,
      forcePir: true,
      deadlineMs: 20_000,
      protocol: protocol as 1 | 2 | 3,
      combined: combined as boolean,
      payloadBytes: payloadBytes as number,
      maxBuddies: maxBuddies as number,
      primitives: nodePrimitives,
      engine: nativeEngine(),
      ...options,
    };
  }

  client(options: Partial<ClientOptions> = {}): PresenceClient {
    return new PresenceClient(this.clientOptions(options));
  }

  async epoch(): Promise<number> {
    return ((await (await fetch(`${this.regserver.url}/`)).json()) as { epoch: number }).epoch;
  }

  /** Begins the next epoch; returns it. */
  async fastForward(): Promise<number> {
    const answer = await fetch(`${this.regserver.url}/debugfastforward`);
    const [, epoch] = /^Old: \d+ New: (\d+)$/.exec(await answer.text()) ?? [];
    if (epoch === undefined) throw new Error(`no fast-forward: ${answer.status}`);
    return Number(epoch);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.regserver, ...this.lookups].map((server) => server.end("SIGKILL")));
    this.regserver.disk?.[Symbol.dispose]();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Users with friends, from a seed. */
export function testUsers(count: number, buddies: number, seed = 1): TestUser[] {
  const file = makeUsers(nodePrimitives, count, buddies, seed);
  return parseUsers(nodePrimitives, "users", JSON.stringify(file));
}

/** `online`, `offline` … of each friend that was looked up. */
export const statesOf = ({ friends }: LookupResult): string[] => friends.map(({ state }) => state);

export const status = (text: string): Uint8Array => new TextEncoder().encode(text.padEnd(16).slice(0, 16));

/**
 * A node (of the dht, unless a test says otherwise) as an operator runs it: the compiled executable in a process of its own, with its configuration and data
 * in a temporary directory.
 *
 * Invariant: no process and no directory outlives the `NodeDirectory` that a test holds with `using`.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureExecutable } from "../../build.ts";
import { RawClient } from "../channels/wire/resp/raw.ts";
import { until } from "./executable.ts";
import type { SmallDisk } from "./small-disk.ts";

export const executable = join(import.meta.dir, "../../dist/node-x");

/** What of `/stats` the tests read. */
export interface NodeStats {
  pid: number;
  state: string;
  ready: boolean;
  reasons: string[];
  ports: { respPort: number } & Record<string, number>;
  process: { rssBytes: number; openFiles: number };
  dht: {
    records: number;
    memoryBytes: number;
    inputBytes: number;
    connections: number;
    refused: number;
    closedAsSlow: number;
    compactions: number;
    log: {
      state: string;
      tornBytes: number;
      logBytes: number;
      snapshotBytes: number;
      isCompacting: boolean;
    } | null;
  };
}

type Settings = Record<string, unknown>;

/** A limit for a machine under load, and for a node that has to wait for somebody's election. */
const START_LIMIT_MS = 60_000;

export interface Ended {
  code: number;
  stderr: string;
}

/** Where nodes of one test live. */
export class NodeDirectory implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "node-x-e2e-"));
  readonly dataDir = join(this.path, "data");
  readonly configFile: string;
  readonly #role: string;
  readonly #children: Bun.Subprocess[] = [];
  /** Holds the data directory in a mount namespace of its own, when there is one. */
  disk: SmallDisk | undefined;
  /** Put before the executable's command line. */
  wrapper: string[] = [];

  constructor(role = "dht") {
    this.#role = role;
    this.configFile = join(this.path, `${role}.json`);
    mkdirSync(this.dataDir, { mode: 0o700 });
  }

  /** Writes the configuration: a free port, this directory, nothing on standard error unless `settings` say so. */
  configure(settings: Settings = {}): void {
    writeFileSync(
      this.configFile,
      JSON.stringify({
        ...(this.#role !== "worker" && { port: 0 }),
        ...(this.#role === "dht" && { respPort: 0 }),
        dataDir: this.dataDir,
        ...settings,
      }),
    );
  }

  /** Starts the executable without waiting for anything. */
  spawn(
    args: string[] = ["run", this.#role, "--config", this.configFile],
    environment: Record<string, string> = {},
  ) {
    const child = Bun.spawn([...(this.disk?.enter ?? []), ...this.wrapper, executable, ...args], {
      cwd: this.path,
      env: environment,
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
    this.#children.push(child);
    return child;
  }

  /** Starts a node and waits until it serves; `isReady: false` accepts one that serves reads only. */
  async start(settings?: Settings, { isReady = true } = {}): Promise<NodeProcess> {
    await ensureExecutable();
    if (settings !== undefined) this.configure(settings);
    const child = this.spawn();
    const stderr = new Response(child.stderr).text();
    const node = new NodeProcess(this, child, stderr);
    const stats = await until(
      "the node to serve",
      async () => {
        if (child.exitCode !== null)
          throw new Error(`the node ended with ${child.exitCode}: ${await stderr}`);
        const found = await node.stats().catch(() => undefined);
        const isServing = found?.pid === child.pid && found.state === "ready" && (found.ready || !isReady);
        return isServing ? found : undefined;
      },
      START_LIMIT_MS,
    );
    node.ports = stats.ports;
    node.port = stats.ports.respPort;
    return node;
  }

  /** Runs the node to its end: for those that must refuse to start. */
  async runToEnd(args?: string[]): Promise<Ended> {
    await ensureExecutable();
    const child = this.spawn(args);
    const stderr = await new Response(child.stderr).text();
    return { code: await child.exited, stderr };
  }

  /** A path inside the data directory, as this process sees it. */
  inData(...names: string[]): string {
    return join(this.disk?.outside(this.dataDir) ?? this.dataDir, ...names);
  }

  rootLog(): string {
    return readFileSync(this.inData("log/root.log"), "utf8");
  }

  [Symbol.dispose](): void {
    for (const child of this.#children) child.kill("SIGKILL");
    this.disk?.[Symbol.dispose]();
    rmSync(this.path, { recursive: true, force: true });
  }
}

export class NodeProcess {
  readonly #directory: NodeDirectory;
  readonly #child: Bun.Subprocess;
  /** Everything it wrote to standard error; resolves when it has ended. */
  readonly stderr: Promise<string>;
  /** Of the Redis protocol, if the role speaks it. */
  port = 0;
  ports: Record<string, number> = {};

  constructor(directory: NodeDirectory, child: Bun.Subprocess, stderr: Promise<string>) {
    this.#directory = directory;
    this.#child = child;
    this.stderr = stderr;
  }

  get pid(): number {
    return this.#child.pid;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  connect(): Promise<RawClient> {
    return RawClient.connect(this.port);
  }

  async admin(page: string): Promise<Response> {
    return fetch(`http://node${page}`, {
      unix: this.#directory.inData("admin.sock"),
      signal: AbortSignal.timeout(10_000),
    });
  }

  async stats(): Promise<NodeStats> {
    return (await (await this.admin("/stats")).json()) as NodeStats;
  }

  async readiness(): Promise<{ status: number; reasons: string[] }> {
    const response = await this.admin("/readyz");
    return { status: response.status, reasons: ((await response.json()) as { reasons: string[] }).reasons };
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Sends a signal and waits for the end; resolves with the exit code (137 and the like for a signal's). */
  async end(name: NodeJS.Signals = "SIGTERM"): Promise<number> {
    this.#child.kill(name);
    return this.#child.exited;
  }

  get exited(): Promise<number> {
    return this.#child.exited;
  }
}

/** A backup group as processes of the built executable: an archive, a proxy and a storage with one volume. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensureExecutable } from "../../build.ts";
import { NbdClient } from "../../src/backup/nbd/client.ts";
import { snappy } from "../../src/backup/formats/compression.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { controllerOf, VOLUME } from "../backup/servers.ts";
import { until } from "./executable.ts";

type Ports = { port: number; nbdPort: number };

export class ServerProcess {
  readonly directory: string;
  readonly #role: string;
  readonly #keys: () => Record<string, unknown>;
  #child: Bun.Subprocess | undefined;
  #ports: Ports = { port: 0, nbdPort: 0 };

  constructor(root: string, role: string, keys: () => Record<string, unknown>) {
    this.directory = join(root, role);
    this.#role = role;
    this.#keys = keys;
    mkdirSync(this.directory, { recursive: true });
  }

  get port(): number {
    return this.#ports.port;
  }

  get nbdPort(): number {
    return this.#ports.nbdPort;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get controller() {
    return controllerOf(realWorld(), "127.0.0.1", this.port);
  }

  /** On the ports of before. */
  async start(): Promise<void> {
    const ports = join(this.directory, "data/ports.json");
    rmSync(ports, { force: true });
    const config = join(this.directory, `${this.#role}.json`);
    const own = this.#role === "storage" ? { nbdPort: this.nbdPort } : {};
    const keys = {
      dataDir: join(this.directory, "data"),
      port: this.port,
      connectionsMax: 50,
      ...own,
      ...this.#keys(),
    };
    writeFileSync(config, JSON.stringify(keys));
    const program = join(import.meta.dir, "../../dist/node-x");
    this.#child = Bun.spawn([program, "run", this.#role, "--config", config], {
      cwd: this.directory,
      stdin: "ignore",
      stdout: "ignore",
      stderr: "ignore",
    });
    this.#ports = await until(`the ports of ${this.#role}`, () => {
      if (this.#child?.exitCode != null) throw new Error(`${this.#role} ended with ${this.#child.exitCode}`);
      try {
        return JSON.parse(readFileSync(ports, "utf8")) as Ports;
      } catch {
        return undefined;
      }
    });
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    this.#child?.kill(signal);
    await this.#child?.exited;
  }
}

/** Large volumes take their time on a busy machine. */
const TRANSFER_LIMIT_MS = 180_000;

export class ProcessGroup implements AsyncDisposable {
  readonly archive: ServerProcess;
  readonly proxy: ServerProcess;
  readonly storage: ServerProcess;

  constructor(
    root: string,
    { mib, logMib, storageKeys = {} }: { mib: number; logMib: number; storageKeys?: Record<string, unknown> },
  ) {
    this.archive = new ServerProcess(root, "archive", () => ({ discard: "zero", foregroundMax: 10 }));
    this.proxy = new ServerProcess(root, "proxy", () => ({
      foregroundMax: 10,
      retryMinMs: 100,
      retryMaxMs: 500,
    }));
    this.storage = new ServerProcess(root, "storage", () => ({
      volumes: [{ name: VOLUME, size: `${mib}M`, logSize: `${logMib}M` }],
      archive: `127.0.0.1:${this.archive.port}`,
      proxies: [`127.0.0.1:${this.proxy.port}`],
      ...storageKeys,
    }));
  }

  async start(): Promise<void> {
    await ensureExecutable();
    for (const server of [this.archive, this.proxy, this.storage]) await server.start();
    await this.archive.controller.command("init-vol", [VOLUME], "ok");
    await this.proxy.controller.changeForwarding("add", VOLUME, "a0", {
      archive: { host: "127.0.0.1", port: this.archive.port },
      compression: snappy,
      delaySeconds: 0,
    });
    await this.proxy.controller.command("start", [VOLUME], "ok");
    await this.storage.controller.command("init-vol", [VOLUME, VOLUME], "ok");
  }

  async fullBackup(): Promise<void> {
    await this.storage.controller.command("full-bkp", [VOLUME, "1M"], "accept");
    await until(
      "the full backup",
      async () => ((await this.storage.controller.get("state", VOLUME)) === "Target" ? true : undefined),
      TRANSFER_LIMIT_MS,
    );
  }

  /** Resolves when the point can be restored. */
  async untilRestorable(gid: bigint): Promise<void> {
    const isThere = async () => {
      const lines = (await this.archive.controller.get("restorable", VOLUME)) as string[];
      return lines.some((line) => line.startsWith(`${gid} `)) ? true : undefined;
    };
    await until(`point ${gid}`, isThere, TRANSFER_LIMIT_MS);
  }

  get uri(): string {
    return `nbd://127.0.0.1:${this.storage.nbdPort}/${VOLUME}`;
  }

  client(): Promise<NbdClient> {
    return NbdClient.connect(realWorld(), { host: "127.0.0.1", port: this.storage.nbdPort, name: VOLUME });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of [this.storage, this.proxy, this.archive]) await server.kill();
  }
}

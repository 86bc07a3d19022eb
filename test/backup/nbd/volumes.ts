/** Volumes served over NBD inside the test's process, and the programs of others that talk to them. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensurePrograms } from "../../../build.ts";
import { createVolume } from "../../../src/backup/volume/directory.ts";
import { VolumeEngine } from "../../../src/backup/volume/engine.ts";
import { VolumeExport } from "../../../src/backup/volume/export.ts";
import { NbdServer, type NbdServerOptions } from "../../../src/backup/nbd/server.ts";
import { silentLog } from "../../../src/core/logging/log.ts";
import { realWorld } from "../../../src/core/seams/world-real.ts";

/** Other people's NBD clients, from Debian. */
export const ensureNbdClients = () =>
  ensurePrograms([
    { program: "nbdinfo", package: "libnbd-bin" },
    { program: "nbdcopy", package: "libnbd-bin" },
    { program: "qemu-img", package: "qemu-utils" },
    { program: "qemu-io", package: "qemu-utils" },
    { program: "fio", package: "fio" },
  ]);

export interface ServedOptions {
  bytes?: number;
  logBytes?: number;
  physicalBytes?: number;
  server?: Partial<NbdServerOptions>;
}

export class Served implements AsyncDisposable {
  readonly world = realWorld((error) => console.error(error));
  readonly directory: string;
  readonly #options: ServedOptions;
  engine!: VolumeEngine;
  server!: NbdServer;
  port = 0;

  private constructor(options: ServedOptions) {
    this.#options = options;
    this.directory = mkdtempSync(join(tmpdir(), "node-x-volume-"));
  }

  static async start(options: ServedOptions = {}): Promise<Served> {
    const served = new Served(options);
    const { bytes = 16 << 20, logBytes = 4 << 20, physicalBytes = 4096 } = options;
    await createVolume(served.world, served.directory, "vol1", { bytes, logBytes, physicalBytes });
    await served.open();
    return served;
  }

  async open(): Promise<void> {
    const log = silentLog();
    this.engine = await VolumeEngine.open({ ...this.world, log }, this.directory, "vol1");
    const exports = new Map([["vol1", new VolumeExport(this.engine)]]);
    const { net, clock } = this.world;
    this.server = new NbdServer({
      ...{ net, clock, log, host: "127.0.0.1", port: 0, tls: undefined, connectionsMax: 100 },
      exports: () => exports,
      ...this.#options.server,
    });
    this.port = await this.server.listen();
  }

  get uri(): string {
    return `nbd://127.0.0.1:${this.port}/vol1`;
  }

  get data(): string {
    return join(this.directory, "vol1", "data");
  }

  async close(): Promise<void> {
    this.server.close();
    await this.engine.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export interface Ran {
  code: number;
  output: string;
}

/** Runs a program to its end. */
export async function run(command: string[], stdin: Uint8Array | "ignore" = "ignore"): Promise<Ran> {
  const child = Bun.spawn(command, { stdin, stdout: "pipe", stderr: "pipe" });
  const [out, error] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { code: await child.exited, output: out + error };
}

/** Starts logfiles nodes in this process, as `node-x run logfiles` would, on free ports of loopback. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { logfiles } from "../../../src/channels/logfiles/role.ts";
import { NeoWire } from "../../../src/channels/wire/neo/connection.ts";
import { loadConfig } from "../../../src/core/config/load.ts";
import { Instance } from "../../../src/core/kernel/instance.ts";
import { formatText, logOutput } from "../../../src/core/logging/log.ts";
import { realWorld } from "../../../src/core/seams/world-real.ts";
import { schemaCatalog } from "../../../src/roles.ts";
import { LogfilesNode } from "../../../src/channels/wire/legacy/logfiles-client.ts";

export const world = realWorld((error) => {
  throw error;
});

/** The secret of the neo client `admin`: bytes 0 to 127, as in the recordings. */
export const SECRET = Uint8Array.from({ length: 128 }, (_, index) => index);

export class TestServer implements AsyncDisposable {
  readonly instance: Instance;
  readonly lines: string[];
  readonly directory: string;
  readonly #open: { close(): void }[] = [];

  private constructor(instance: Instance, directory: string, lines: string[]) {
    this.instance = instance;
    this.directory = directory;
    this.lines = lines;
  }

  static async start(
    config: Record<string, unknown> = {},
    directory = mkdtempSync(join(tmpdir(), "node-x-logfiles-")),
  ): Promise<TestServer> {
    const file = join(directory, "logfiles.json");
    const credentialsFile = join(directory, "credentials");
    writeFileSync(credentialsFile, `admin:${Buffer.from(SECRET).toString("hex")}\n`, { mode: 0o600 });
    const ports = { port: 0, httpPort: 0, neoPort: 0 };
    const settings = { dataDir: join(directory, "data"), neo: { credentialsFile }, ...ports, ...config };
    writeFileSync(file, JSON.stringify(settings));
    const source = { file, environment: {}, sets: [], workingDirectory: directory };
    const loaded = await loadConfig(source, schemaCatalog);
    const lines: string[] = [];
    const instance = await Instance.start(logfiles, loaded, {
      world,
      logOutput: logOutput("trace", [{ sink: { write: (line) => lines.push(line) }, format: formatText }]),
      onFatal: (error) => lines.push(`fatal: ${error.message}`),
    });
    return new TestServer(instance, directory, lines);
  }

  get port(): number {
    return this.instance.ports["port"] as number;
  }

  get url(): string {
    return `http://127.0.0.1:${this.instance.ports["httpPort"]}`;
  }

  get dataDir(): string {
    return join(this.directory, "data");
  }

  /** A connection that is closed with the server. */
  async client(): Promise<LogfilesNode> {
    const client = await LogfilesNode.connect(world.net, { host: "127.0.0.1", port: this.port });
    this.#open.push(client);
    return client;
  }

  /** An authenticated connection of the neo protocol. */
  async neo(): Promise<NeoWire> {
    const address = { host: "127.0.0.1", port: this.instance.ports["neoPort"] as number };
    const wire = await NeoWire.connect(world.net, world.clock, address, { name: "admin", secret: SECRET });
    this.#open.push(wire);
    return wire;
  }

  /** Stops the node; its directory stays. */
  async stop(): Promise<void> {
    for (const one of this.#open) one.close();
    await this.instance.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

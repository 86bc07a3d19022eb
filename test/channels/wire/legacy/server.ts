/** Starts nodes in this process, as `node-x run` would, on free ports of loopback: dht nodes unless told otherwise. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dht } from "../../../../src/channels/dht/role.ts";
import { queue } from "../../../../src/channels/queue/role.ts";
import type { Role } from "../../../../src/core/role.ts";
import { LegacyClient, LegacyNode } from "../../../../src/channels/wire/legacy/client.ts";
import { NeoNode } from "../../../../src/channels/wire/neo/client.ts";
import { adminGet, adminPost } from "../../../../src/core/admin-client.ts";
import { loadConfig } from "../../../../src/core/config/load.ts";
import { Instance } from "../../../../src/core/kernel/instance.ts";
import { formatText, logOutput } from "../../../../src/core/logging/log.ts";
import { realWorld } from "../../../../src/core/seams/world-real.ts";
import { schemaCatalog } from "../../../../src/roles.ts";

export const world = realWorld((error) => {
  throw error;
});

/** Of the recordings: the bytes 00 to 7f. */
export const SECRET = Uint8Array.from({ length: 128 }, (_, index) => index);
const CREDENTIALS = ["admin", "user"]
  .map((name) => `${name}:${Buffer.from(SECRET).toString("hex")}\n`)
  .join("");

export class TestServer implements AsyncDisposable {
  readonly instance: Instance;
  readonly lines: string[];
  readonly #directory: string;
  readonly #open: { close(): void }[] = [];

  private constructor(instance: Instance, directory: string, lines: string[]) {
    this.instance = instance;
    this.#directory = directory;
    this.lines = lines;
  }

  static async start(
    config: Record<string, unknown> = {},
    directory = mkdtempSync(join(tmpdir(), "node-x-legacy-")),
    role: Role = dht,
  ): Promise<TestServer> {
    const file = join(directory, `${role.name}.json`);
    const credentialsFile = join(directory, "credentials");
    if (!existsSync(credentialsFile)) writeFileSync(credentialsFile, CREDENTIALS, { mode: 0o600 });
    const settings = {
      dataDir: join(directory, "data"),
      port: 0,
      respPort: 0,
      // Of the nodes here, only these speak neo.
      ...((role === dht || role === queue) && { neoPort: 0, neo: { credentialsFile } }),
      durability: "memory",
      ...config,
    };
    writeFileSync(file, JSON.stringify(settings));
    const loaded = await loadConfig(
      { file, environment: {}, sets: [], workingDirectory: directory },
      schemaCatalog,
    );
    const lines: string[] = [];
    const instance = await Instance.start(role, loaded, {
      world,
      logOutput: logOutput("trace", [{ sink: { write: (line) => lines.push(line) }, format: formatText }]),
      onFatal: (error) => lines.push(`fatal: ${error.message}`),
    });
    return new TestServer(instance, directory, lines);
  }

  get directory(): string {
    return this.#directory;
  }

  get port(): number {
    return this.instance.ports["port"] as number;
  }

  get respPort(): number {
    return this.instance.ports["respPort"] as number;
  }

  get neoPort(): number {
    return this.instance.ports["neoPort"] as number;
  }

  /** Status and JSON of an answer of the admin endpoint. */
  async admin(method: "GET" | "POST", path: string): Promise<[number, unknown]> {
    const socket = join(this.#directory, "data/admin.sock");
    const { status, body } = await (method === "GET"
      ? adminGet(socket, path, 5000)
      : adminPost(socket, path, undefined, 5000));
    return [status, JSON.parse(body)];
  }

  /** A connection of the neo protocol that is closed with the server. */
  async neo(name: "admin" | "user" = "admin"): Promise<NeoNode> {
    const address = { host: "127.0.0.1", port: this.neoPort };
    const node = await NeoNode.connect(world.net, world.clock, address, { name, secret: SECRET });
    this.#open.push(node);
    return node;
  }

  /** A connection that is closed with the server. */
  async node(): Promise<LegacyNode> {
    const node = await LegacyNode.connect(world.net, { host: "127.0.0.1", port: this.port });
    this.#open.push(node);
    return node;
  }

  async client(): Promise<LegacyClient> {
    const client = await LegacyClient.connect(world.net, [{ host: "127.0.0.1", port: this.port }]);
    this.#open.push(client);
    return client;
  }

  /** Stops the node; its directory stays. */
  async stop(): Promise<void> {
    for (const one of this.#open) one.close();
    await this.instance.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

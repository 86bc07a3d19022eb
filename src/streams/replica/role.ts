/**
 * The replica role: keeps copies of workers' state logs, and tells them what is on disk.
 *
 * A crash loses nothing that a status called synced.
 */
import { join, resolve } from "node:path";
import { defineRole, type RoleContext, type RunningRole } from "../../core/role.ts";
import { thousands } from "../../core/load/table.ts";
import { replicaAbout, type ReplicaConfig } from "./config.ts";
import { ReplicaFiles } from "./files.ts";
import { ReplicaServer } from "./server.ts";

class ReplicaRole implements RunningRole<ReplicaConfig> {
  readonly #server: ReplicaServer;
  readonly #files: ReplicaFiles;
  readonly #applyConfig: (config: ReplicaConfig) => void;
  #appendedBefore = 0;

  constructor(
    { metrics }: RoleContext<ReplicaConfig>,
    server: ReplicaServer,
    files: ReplicaFiles,
    applyConfig: (config: ReplicaConfig) => void,
  ) {
    this.#server = server;
    this.#files = files;
    this.#applyConfig = applyConfig;
    const { figures } = server;
    metrics.counterFrom("node_x_replica_requests_total", "Requests.", () => figures.requests);
    metrics.counterFrom("node_x_replica_refused_total", "Requests that could not be carried out.", () => figures.refused);
    metrics.counterFrom("node_x_replica_appended_bytes_total", "Bytes that came to be appended.", () => figures.appendedBytes);
    metrics.gauge("node_x_replica_connections", "Open connections.", () => server.connections);
    metrics.gauge("node_x_replica_appends", "Files that are being appended to.", () => files.appends);
  } // prettier-ignore

  notReady(): string[] {
    return [];
  }

  stats() {
    return { ...this.#server.figures, connections: this.#server.connections, appends: this.#files.appends };
  }

  throughput() {
    return { total: this.#server.figures.appendedBytes, unit: "bytes" };
  }

  keyFigure(): string {
    return `${thousands(this.#files.appends)} files grow`;
  }

  statsLine(): string {
    const { appendedBytes, refused } = this.#server.figures;
    const grown = appendedBytes - this.#appendedBefore;
    this.#appendedBefore = appendedBytes;
    return `appended_bytes:${grown} appends:${this.#files.appends} refused_total:${refused}`;
  }

  reload(config: ReplicaConfig): void {
    this.#applyConfig(config);
  }

  async drain(): Promise<void> {
    this.#server.stopListening();
  }

  async stop(): Promise<void> {
    await this.#server.close();
  }
}

export const replica = defineRole({
  ...replicaAbout,
  async start(context) {
    const { disk, dataDir, log, tls, fatal } = context;
    let { config } = context;
    const { host, port, statusMs, filesDir } = config;
    const base = filesDir === undefined ? join(dataDir, "files") : resolve(filesDir);
    const files = await ReplicaFiles.open(disk, base);
    const server = new ReplicaServer({
      ...{ world: context, log, host, port, tls, files, statusMs },
      limits: () => config.limits,
      onFatal: fatal,
    });
    context.announcePort("port", await server.listen());
    return new ReplicaRole(context, server, files, (next) => {
      config = next;
    });
  },
});

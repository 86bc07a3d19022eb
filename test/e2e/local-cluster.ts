/**
 * A cluster of every role on this host, as `node-x up` runs it, on free ports, and load for it.
 *
 * Invariant: no process and no directory outlives the cluster that a test holds with `using`.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { RedisClient } from "bun";
import { Controller } from "../../src/backup/client/controller.ts";
import { snappy } from "../../src/backup/formats/compression.ts";
import { adminGet } from "../../src/core/admin-client.ts";
import { realClock } from "../../src/core/seams/clock.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { LoneExecutable, until } from "./executable.ts";
import { freePorts } from "./free-ports.ts";

export interface InstanceStats {
  pid: number;
  role: string;
  ready: boolean;
  ports: Record<string, number>;
}

/** Configurations by name. What others must know the address of has a port of its own. */
async function configurations(hub: object): Promise<Record<string, object>> {
  const [registrar, tssPort, dht, archive, proxy, reporters, orders, quotes, ...shardPorts] =
    (await freePorts(11)) as [
      ...[number, number, number, number, number, number, number, number],
      ...number[],
    ];
  const at = (port: number) => `127.0.0.1:${port}`;
  const regServer = `http://${at(registrar)}`;
  const shards = shardPorts.map(at);
  return {
    dht0: { port: dht, respPort: 0, hashRange: { min: "0".repeat(16), max: "7fffffffffffffff" } },
    dht1: { port: 0, respPort: 0, hashRange: { min: "8000000000000000", max: "f".repeat(16) } },
    queue0: { port: 0, respPort: 0 },
    logfiles0: { port: 0, httpPort: 0 },
    tss0: { port: tssPort, replicas: [at(tssPort)] },
    ...Object.fromEntries(
      shardPorts.map((port, replica) => [`shard${replica}`, { port, replica, replicas: shards }]),
    ),
    frontend0: { httpPort: 0, port: 0, timestampServers: [at(tssPort)], shards: [shards] },
    regserver0: { port: registrar, epochSeconds: 300, debug: true },
    lookup0: { port: 0, regServer, epochSeconds: 300, pirThreads: 1 },
    archive0: { port: archive },
    proxy0: { port: proxy },
    storage0: {
      ...{ port: 0, nbdPort: 0, archive: at(archive), proxies: [at(proxy)], shipDelayMs: 100 },
      volumes: [{ name: VOLUME, size: "1m", logSize: "4m" }],
    },
    dhtdump0: { node: { port: dht } },
    worker0: {
      ...{ app: "market-spread", controlPort: 0, dataPort: 0, checkpointMs: 200, metricsHub: at(reporters) },
      sources: [`Orders=acked://${at(orders)}`, `Nbbo=acked://${at(quotes)}`],
      sinks: ["rejects=file:rejects.out"],
    },
    sender0: {
      ...{ to: [at(orders), at(quotes)], feed: "market", batch: 5, intervalMs: 100 },
      market: { symbols: 20, rejectingSymbols: 5, rejectedOneIn: 3 },
    },
    replica0: { port: 0 },
    hub0: { port: 0, metricsPort: reporters, scrapePeriodMs: 500, ...hub },
  };
}

export const VOLUME = "vol0";
/** A limit for a machine under load, not a wait. */
const START_LIMIT_MS = 120_000;
const SAID_LENGTH_MAX = 20_000;

export class LocalCluster implements Disposable {
  readonly names: string[];
  readonly #alone: LoneExecutable;
  readonly #up: ReturnType<LoneExecutable["start"]>;
  /** The newest of what `up` said. */
  #said = "";
  #clients: RedisClient[] = [];

  private constructor(alone: LoneExecutable, names: string[]) {
    this.#alone = alone;
    this.names = names;
    this.#up = alone.start(["up", "configs/local"]);
    for (const stream of [this.#up.stdout, this.#up.stderr]) void this.#listen(stream).catch(() => undefined);
  }

  static async start(hub: object = {}): Promise<LocalCluster> {
    const alone = await LoneExecutable.copy();
    const configs = join(alone.directory, "configs");
    mkdirSync(configs);
    const all = await configurations(hub);
    for (const [name, config] of Object.entries(all))
      writeFileSync(
        join(configs, `local.${name}.json`),
        JSON.stringify({ dataDir: `data/${name}`, ...config }),
      );
    const cluster = new LocalCluster(alone, Object.keys(all));
    try {
      await until(
        "every instance to be ready",
        async () => {
          cluster.#demandUp();
          const stats = await Promise.all(
            cluster.names.map((name) => cluster.stats(name).catch(() => undefined)),
          );
          return stats.every((each) => each?.ready === true) ? true : undefined;
        },
        START_LIMIT_MS,
      );
    } catch (error) {
      cluster[Symbol.dispose]();
      throw new Error(`${(error as Error).message}\n${cluster.#said}`);
    }
    return cluster;
  }

  async #listen(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream)
      this.#said = (this.#said + decoder.decode(chunk, { stream: true })).slice(-SAID_LENGTH_MAX);
  }

  /** Throws when the cluster has ended, with how. */
  #demandUp(): void {
    const how = this.#up.signalCode ?? this.#up.exitCode;
    if (how !== null) throw new Error(`up has ended with ${how}:\n${this.#said}`);
  }

  async ask(name: string, path: string): Promise<{ status: number; body: string }> {
    try {
      return await adminGet(join(this.#alone.directory, "data", name, "admin.sock"), path, 2000);
    } catch (error) {
      this.#demandUp();
      throw error;
    }
  }

  async stats(name: string): Promise<InstanceStats> {
    return JSON.parse((await this.ask(name, "/stats")).body) as InstanceStats;
  }

  /** The hub's address; it may have changed with a restart. */
  hub(): string {
    const { port } = JSON.parse(
      readFileSync(join(this.#alone.directory, "data/hub0/ports.json"), "utf8"),
    ) as { port: number };
    return `http://127.0.0.1:${port}`;
  }

  async #controller(name: string): Promise<Controller> {
    const { port = 0 } = (await this.stats(name)).ports;
    const options = { net: realWorld().net, clock: realClock, clientId: "test", timeoutMs: START_LIMIT_MS };
    return new Controller({ ...options, host: "127.0.0.1", port });
  }

  /** Takes the volume into backup: from then on it has points that can be restored. */
  async backUp(): Promise<void> {
    const [archive, proxy, storage] = await Promise.all(
      ["archive0", "proxy0", "storage0"].map((name) => this.#controller(name)),
    );
    const { port = 0 } = (await this.stats("archive0")).ports;
    await archive?.command("init-vol", [VOLUME], "ok");
    await proxy?.changeForwarding("add", VOLUME, "archive0", {
      archive: { host: "127.0.0.1", port },
      compression: snappy,
      delaySeconds: 0,
    });
    await proxy?.command("start", [VOLUME], "ok");
    await storage?.command("init-vol", [VOLUME, VOLUME], "ok");
    await storage?.command("full-bkp", [VOLUME], "accept");
  }

  /** Does a little of everything: keys, queues, log lines, transactions. Orders and quotes come from the sender. */
  async work(round: number): Promise<void> {
    if (this.#clients.length === 0)
      this.#clients = await Promise.all(
        ["dht0", "dht1", "queue0"].map(
          async (name) => new RedisClient(`redis://127.0.0.1:${(await this.stats(name)).ports.respPort}`),
        ),
      );
    const [first, second, queue] = this.#clients as [RedisClient, RedisClient, RedisClient];
    const { httpPort: logs } = (await this.stats("logfiles0")).ports;
    const { httpPort: store } = (await this.stats("frontend0")).ports;
    const lines = Array.from({ length: 20 }, (_, index) =>
      JSON.stringify({ value: `GET /item/${round}-${index} ${index === 7 ? 500 : 200}` }),
    );
    const keys = Array.from({ length: 40 }, (_, index) => `key${round}-${index}`);
    await Promise.all([
      ...keys.flatMap((key) => [first.set(key, "value"), second.set(key, "value")]),
      queue.send("RPUSH", ["jobs", "build", "test", "ship"]),
      fetch(`http://127.0.0.1:${logs}/channels/web/records`, { method: "POST", body: lines.join("\n") }),
      fetch(`http://127.0.0.1:${store}/v1/keys/key${round}`, { method: "PUT", body: "value" }),
    ]);
  }

  /** The up process ends its children when it is killed, too: they watch it. */
  [Symbol.dispose](): void {
    for (const client of this.#clients) client.close();
    this.#up.kill("SIGKILL");
    this.#alone[Symbol.dispose]();
  }
}

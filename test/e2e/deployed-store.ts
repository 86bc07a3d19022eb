/**
 * A transactional store in Diamond's own files and words, with the real executable, deployed on this host: commands are given in the
 * scripts' directory as the original's page says, the files are in `platform/test`. Or stores of one process each, in files of ours.
 *
 * Invariant: no process and no directory outlives it.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { ensureExecutable } from "../../build.ts";
import type { Finished } from "./executable.ts";
import { freePorts } from "./free-ports.ts";
import { Operator } from "./operator.ts";

const FILES = "platform/test";
const PREFIX = `../${FILES}/myconfig`;

export interface DeployedLayout {
  tss: number;
  /** Replicas of each shard. */
  shards: readonly number[];
  frontends: number;
  /** Replicas that are all of it in one process each. */
  stores?: number;
  /** Further files beside the prefix. */
  files?: Record<string, string>;
}

export class DeployedStore implements AsyncDisposable {
  readonly frontendPorts: number[];
  readonly names: string[];
  readonly #operator: Operator;

  static async create(layout: DeployedLayout): Promise<DeployedStore> {
    await ensureExecutable();
    const { tss, shards, frontends, stores = 0 } = layout;
    const replicas = shards.reduce((sum, count) => sum + count, 0);
    return new DeployedStore(layout, await freePorts(tss + replicas + frontends + 2 * stores));
  }

  private constructor({ tss, shards, frontends, stores = 0, files = {} }: DeployedLayout, ports: number[]) {
    const repository = join(import.meta.dir, "../..");
    const environment = { DIAMOND_SRC_DIR: repository };
    this.#operator = new Operator({ place: "scripts", environment });
    mkdirSync(this.#operator.path(FILES), { recursive: true });
    const write = (name: string, text: string) => this.#operator.write({ [join(FILES, name)]: text });
    const take = (word: string, count: number) =>
      ports.splice(0, count).map((port) => `${word} 127.0.0.1:${port}\n`);
    // Both dialects, one beside the other.
    const inDialect = (index: number, count: number) =>
      index % 2 === 0
        ? take("host", count).join("")
        : `f ${Math.floor((count - 1) / 2)}\n${take("replica", count).join("")}`;
    write("myconfig.cluster.json", JSON.stringify({ rollout: { healthyForMs: 50, readyTimeoutMs: 60_000 } }));
    if (tss > 0) write("myconfig.tss.config", inDialect(0, tss));
    for (const [shard, count] of shards.entries())
      write(`myconfig${shard}.config`, inDialect(shard + 1, count));
    const storePorts = ports.splice(0, stores);
    const replicaPorts = ports.splice(0, stores);
    for (const [replica, httpPort] of storePorts.entries()) {
      const own = { httpPort, port: replicaPorts[replica], replica };
      const config = { ...own, replicas: replicaPorts.map((port) => `127.0.0.1:${port}`) };
      write(`myconfig.store${replica}.json`, JSON.stringify(config));
    }
    this.frontendPorts = [...storePorts, ...ports.slice(0, frontends)];
    for (let index = 0; index < frontends; index++)
      write(`myconfig.frontend${index}.config`, inDialect(index, 1));
    for (const [name, text] of Object.entries(files)) write(name, text);
    const numbers = (count: number) => Array.from({ length: count }, (_, index) => index);
    this.names = [
      ...numbers(tss).map((replica) => `myconfig.tss.${replica}`),
      ...shards.flatMap((count, shard) =>
        numbers(count).map((replica) => `myconfig.shard${shard}.${replica}`),
      ),
      ...numbers(stores).map((index) => `myconfig.store${index}`),
      ...numbers(frontends).map((index) => `myconfig.frontend${index}`),
    ];
  }

  /** Addresses for the client library. */
  get frontends(): string[] {
    return this.frontendPorts.map((port) => `http://127.0.0.1:${port}`);
  }

  /** `node-x VERB` on the prefix, with further words. `../platform/test/` is where its files are. */
  run(verb: string, ...words: string[]): Promise<Finished> {
    return this.#operator.run([verb, PREFIX, ...words]);
  }

  /** The same, which must succeed. */
  async do(verb: string, ...words: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(verb, ...words);
    if (code !== 0) throw new Error(`${verb} ended with ${code}: ${stderr}`);
    return stdout;
  }

  /** What an instance says of itself. */
  async stats(name: string): Promise<any> {
    const unix = join(this.#operator.host, name, "admin.sock");
    return (await fetch("http://node/stats", { unix } as RequestInit)).json();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.run("kill");
    this.#operator[Symbol.dispose]();
  }
}

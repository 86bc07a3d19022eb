/**
 * nats-server processes on loopback, alone or as a cluster, with JetStream in a directory of their own.
 *
 * A member that was killed comes back on its ports and its directory. `session` is a connection of the test's own.
 */
import { jetstreamManager, type JetStreamManager } from "@nats-io/jetstream";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../../src/core/logging/log.ts";
import type { NatsSettings } from "../../../src/core/nats/keys.ts";
import { NatsLink, type NatsSession } from "../../../src/core/nats/link.ts";
import { realClock } from "../../../src/core/seams/clock.ts";
import { realRandom } from "../../../src/core/seams/random.ts";
import { until } from "../../e2e/executable.ts";
import { freePorts } from "../../e2e/free-ports.ts";

export const linkOptions = (settings: NatsSettings) => ({
  ...{ settings, clock: realClock, random: realRandom, log: silentLog(), name: "test" },
});

/** A link of a test. */
export const linkTo = (settings: NatsSettings) => new NatsLink(linkOptions(settings));

export class NatsServers implements AsyncDisposable {
  readonly directory: string;
  readonly #ports: number[];
  /** Further lines of each configuration, for members that start from here on. */
  extra: string;
  readonly #processes: (Bun.Subprocess | undefined)[] = [];
  #link: NatsLink | undefined;
  session!: NatsSession;
  /** Asks again soon: a request on its way when a server dies is lost. */
  #manager!: JetStreamManager;

  private constructor(ports: number[], extra: string, parent: string) {
    this.directory = mkdtempSync(join(parent, "node-x-nats-"));
    this.#ports = ports;
    this.extra = extra;
  }

  /** `extra` are further lines of each configuration; `own` is how the test itself gets in. */
  static async start(
    count = 1,
    extra = "",
    own: Partial<NatsSettings> = {},
    parent = tmpdir(),
  ): Promise<NatsServers> {
    const servers = new NatsServers(await freePorts(2 * count), extra, parent);
    for (let index = 0; index < count; index++) servers.startMember(index);
    servers.#link = linkTo({ ...servers.settings, ...own });
    servers.session = await servers.#link.session();
    servers.#manager = await jetstreamManager(servers.session.connection, { timeout: 500, checkAPI: false });
    await servers.untilServing();
    return servers;
  }

  get count(): number {
    return this.#ports.length / 2;
  }

  get settings(): NatsSettings {
    return {
      servers: Array.from({ length: this.count }, (_, index) => `127.0.0.1:${this.#ports[2 * index]}`),
    };
  }

  untilServing(): Promise<boolean> {
    return until("JetStream to serve", () =>
      this.#manager.getAccountInfo().then(() => true, () => undefined), 60_000); // prettier-ignore
  }

  startMember(index: number): void {
    const route = (each: number) => `127.0.0.1:${this.#ports[2 * each + 1]}`;
    const routes = Array.from({ length: this.count }, (_, each) => `nats://${route(each)}`);
    const path = join(this.directory, `n${index}.conf`);
    const store = join(this.directory, `n${index}`);
    mkdirSync(store, { recursive: true });
    const cluster = `cluster { name: test, listen: "${route(index)}", routes: ${JSON.stringify(routes)} }\n`;
    writeFileSync(
      path,
      `server_name: n${index}\nlisten: "127.0.0.1:${this.#ports[2 * index]}"\n` +
        `jetstream { store_dir: "${store}" }\n${this.count > 1 ? cluster : ""}${this.extra}\n`,
    );
    const output = Bun.file(join(this.directory, `n${index}.log`));
    this.#processes[index] = Bun.spawn(["nats-server", "-c", path], { stdout: output, stderr: output });
  }

  async kill(index: number): Promise<void> {
    const child = this.#processes[index];
    child?.kill("SIGKILL");
    await child?.exited;
  }

  /** Makes a stream, as soon as the cluster can. */
  async addStream(name: string, config: Record<string, unknown> = {}): Promise<void> {
    await until(`the stream ${name}`, () =>
      this.#manager.streams.add({ name, subjects: [name], num_replicas: this.count, ...config }).catch(() => undefined), 60_000); // prettier-ignore
  }

  /** The number of the member that leads a stream. */
  async leaderOf(stream: string): Promise<number> {
    const leader = await until(`a leader of ${stream}`, () =>
      this.#manager.streams.info(stream).then(({ cluster }) => cluster?.leader || undefined, () => undefined), 60_000); // prettier-ignore
    return Number(leader.slice(1));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#link?.close();
    for (const child of this.#processes) child?.kill("SIGKILL");
    await Promise.all(this.#processes.map((child) => child?.exited));
    rmSync(this.directory, { recursive: true, force: true });
  }
}

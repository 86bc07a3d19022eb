/**
 * A cluster as an operator has it: a prefix of files, hosts behind ssh servers of their own addresses, the
 * compiled executable as the only tool.
 *
 * Invariant: no instance, supervisor, agent or ssh server outlives the `SshCluster` that a test holds with
 * `using`.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { executable } from "../../e2e/node-process.ts";
import { freePort } from "../../e2e/free-ports.ts";
import { SshClient, SshServer } from "../ssh/sshd.ts";

export interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

/** What of `status --json` the tests read. */
export interface StatusRow {
  instance: string;
  host: string;
  pid: number | null;
  release: string | null;
  isReady: boolean;
}

export interface SshClusterOptions {
  /** 127.0.0.2 and so on when missing. */
  addresses?: readonly string[];
  /** Put before each host's sshd. */
  wrappers?: readonly (readonly string[])[];
  instancesPerHost?: number;
  unavailableMax?: string;
  /** Hosts of loopback addresses without ssh. */
  isLocal?: boolean;
  /** The hosts' directories are named so, with the host's number. */
  directoryName?: string;
  /** A directory on the hosts; one of the cluster's own when missing. */
  workingDirectories?: readonly string[];
}

export class SshCluster implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), "nx-c-"));
  readonly client = new SshClient();
  readonly servers: SshServer[] = [];
  readonly workingDirectories: string[];
  readonly prefix = join(this.directory, "files/c");
  readonly #options: SshClusterOptions;
  /** Put before the operator's command lines, and so before everything that hosts without ssh run. */
  wrapper: readonly string[] = [];
  #addresses: string[] = [];
  /** By instance, what is added to its configuration. */
  readonly settings: Record<string, Record<string, unknown>> = {};

  private constructor(hostCount: number, options: SshClusterOptions) {
    this.#options = options;
    mkdirSync(join(this.directory, "files"));
    this.workingDirectories =
      options.workingDirectories?.slice() ??
      Array.from({ length: hostCount }, (_, index) =>
        join(this.directory, `${options.directoryName ?? "host"}${index}`),
      );
  }

  static async start(hostCount: number, options: SshClusterOptions = {}): Promise<SshCluster> {
    const cluster = new SshCluster(hostCount, options);
    cluster.#addresses = Array.from(
      { length: hostCount },
      (_, index) => options.addresses?.[index] ?? `127.0.0.${index + 2}`,
    );
    for (let index = 0; index < hostCount && options.isLocal !== true; index++) {
      const wrapper = options.wrappers?.[index];
      cluster.servers.push(
        await SshServer.start({
          client: cluster.client,
          address: cluster.#addresses[index] as string,
          ...(wrapper !== undefined && { wrapper }),
        }),
      );
    }
    await cluster.writeFiles();
    return cluster;
  }

  get instances(): string[] {
    const perHost = this.#options.instancesPerHost ?? 1;
    return this.#addresses.flatMap((_, host) =>
      Array.from({ length: perHost }, (__, index) => `dht${host * perHost + index}`),
    );
  }

  hostOf(instance: string): number {
    return Math.floor(Number(instance.slice(3)) / (this.#options.instancesPerHost ?? 1));
  }

  /** Writes the prefix's files; ports are chosen once. */
  async writeFiles(): Promise<void> {
    const hosts = this.#addresses.map((address, index) => {
      const server = this.servers[index];
      const reach =
        server === undefined
          ? { address: { private: address } }
          : { ssh: { host: address, port: server.port }, hostKeys: [server.fingerprint] };
      return [`h${index}`, { ...reach, workingDirectory: this.workingDirectories[index] }];
    });
    const placement = this.instances.map((instance) => [instance, `h${this.hostOf(instance)}`]);
    const cluster = {
      hosts: Object.fromEntries(hosts),
      placement: Object.fromEntries(placement),
      rollout: {
        healthyForMs: 200,
        readyTimeoutMs: 20_000,
        unavailableMax: this.#options.unavailableMax ?? 1,
      },
    };
    writeFileSync(`${this.prefix}.cluster.json`, JSON.stringify(cluster, null, 2));
    for (const instance of this.instances) {
      const own = (this.settings[instance] ??= {});
      const address = this.#addresses[this.hostOf(instance)] as string;
      own.port ??= await freePort(this.#options.wrappers === undefined ? address : "127.0.0.1");
      own.respPort ??= await freePort(this.#options.wrappers === undefined ? address : "127.0.0.1");
      const config = { host: address, ...own };
      writeFileSync(`${this.prefix}.${instance}.json`, JSON.stringify(config, null, 2));
    }
  }

  /** Added to the operator's environment. */
  readonly variables: Record<string, string> = {};

  get environment(): Record<string, string> {
    return {
      ...this.variables,
      PATH: process.env.PATH ?? "",
      HOME: this.directory,
      XDG_STATE_HOME: join(this.directory, "s"),
      NODE_X_SSH_CONFIG: this.client.settings.configFile as string,
    };
  }

  spawn(words: readonly string[], program = executable) {
    return Bun.spawn([...this.wrapper, program, ...words], {
      cwd: this.directory,
      env: this.environment,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
  }

  /** Runs the command line to its end. */
  async run(words: readonly string[], program = executable): Promise<Ended> {
    const child = this.spawn(words, program);
    const [stdout, stderr] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    return { code: await child.exited, stdout, stderr };
  }

  /** Runs the command line at a terminal of its own; returns everything that was written there. */
  async onTerminal(words: readonly string[]): Promise<{ code: number; text: string }> {
    const pieces: Uint8Array[] = [];
    const closed = Promise.withResolvers<void>();
    const child = Bun.spawn([...this.wrapper, executable, ...words], {
      cwd: this.directory,
      env: this.environment,
      terminal: {
        cols: 100,
        rows: 30,
        data: (_, bytes) => void pieces.push(bytes.slice()),
        exit: () => closed.resolve(),
      },
    });
    const code = await child.exited;
    await Promise.race([closed.promise, Bun.sleep(5000)]);
    child.terminal?.close();
    return { code, text: Buffer.concat(pieces).toString() };
  }

  async status(): Promise<Record<string, unknown>[]> {
    const { stdout, stderr } = await this.run(["status", this.prefix, "--json"]);
    if (stdout === "") throw new Error(stderr);
    const parsed = JSON.parse(stdout) as { instances: Record<string, unknown>[] };
    return parsed.instances;
  }

  /**
   * The release of each process that runs, by instance, as the kernel says; nothing for those that do not
   * run.
   */
  running(): Record<string, string> {
    const found: Record<string, string> = {};
    for (const entry of readdirSync("/proc")) {
      if (!/^\d+$/.test(entry)) continue;
      try {
        const words = readFileSync(`/proc/${entry}/cmdline`, "utf8").split("\0");
        const place = this.workingDirectories.some((directory) => words[0]?.startsWith(`${directory}/`));
        if (!place || words[1] !== "run") continue;
        const instance = /active\/c\.(dht\d+)\//.exec(words[0] ?? "")?.[1];
        const release = /releases\/([^/]+)\//.exec(
          Bun.spawnSync(["readlink", `/proc/${entry}/exe`]).stdout.toString(),
        )?.[1];
        if (instance !== undefined && release !== undefined) found[instance] = release;
      } catch {
        // It ended meanwhile.
      }
    }
    return found;
  }

  /** Ends every process whose command line names one of the hosts' directories, by its id. */
  endAll(): void {
    for (const entry of readdirSync("/proc")) {
      if (!/^\d+$/.test(entry)) continue;
      try {
        const words = readFileSync(`/proc/${entry}/cmdline`, "utf8");
        if (Number(entry) === process.pid || !words.includes(this.directory)) continue;
        process.kill(Number(entry), "SIGKILL");
      } catch {
        // It ended meanwhile.
      }
    }
  }

  [Symbol.dispose](): void {
    for (const server of this.servers) server[Symbol.dispose]();
    this.endAll();
    this.client[Symbol.dispose]();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/**
 * Hosts behind ssh servers of their own on loopback addresses that no other test has, so that instances can listen on the ports that
 * everybody knows, and an operator who has nothing but the executable and a prefix.
 *
 * Invariant: no instance, agent or ssh server outlives the `SshHosts`.
 */
import { expect } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { executable } from "../../e2e/node-process.ts";
import { SshClient, SshServer } from "../ssh/sshd.ts";

/** Eight networks for each process, so that none is its neighbour's. */
let networks = process.pid * 8;

/** The first three numbers of addresses of this process. */
function ownNetwork(): string {
  const number = networks++;
  return `127.${60 + (Math.floor(number / 250) % 150)}.${1 + (number % 250)}`;
}

export class SshHosts implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), "nx-h-"));
  readonly prefix: string;
  readonly #network = ownNetwork();
  readonly #client = new SshClient();
  readonly #servers = new Map<number, SshServer>();

  private constructor(prefix: string) {
    this.prefix = join(this.directory, "files", prefix);
    mkdirSync(join(this.directory, "files"));
  }

  /** Hosts by their numbers, called `server1` and so on; `prefix.cluster.json` is written. */
  static async start(prefix: string, numbers: readonly number[]): Promise<SshHosts> {
    const hosts = new SshHosts(prefix);
    for (const number of numbers) {
      const address = hosts.addressOf(number);
      hosts.#servers.set(number, await SshServer.start({ client: hosts.#client, address }));
    }
    const entries = [...hosts.#servers].map(([number, { address, port, fingerprint }]) => [
      `server${number}`,
      {
        ssh: { host: address, port },
        address: { private: address },
        workingDirectory: join(hosts.directory, `server${number}`),
        hostKeys: [fingerprint],
      },
    ]);
    const rollout = { healthyForMs: 50, readyTimeoutMs: 60_000 };
    hosts.write("cluster", { hosts: Object.fromEntries(entries), rollout });
    return hosts;
  }

  addressOf(number: number): string {
    return `${this.#network}.${number}`;
  }

  /** `prefix.<name>.json`. */
  write(name: string, value: object): void {
    writeFileSync(`${this.prefix}.${name}.json`, JSON.stringify(value));
  }

  spawn(...words: string[]) {
    return Bun.spawn([executable, ...words], {
      cwd: this.directory,
      env: {
        PATH: process.env.PATH ?? "",
        HOME: this.directory,
        XDG_STATE_HOME: join(this.directory, "s"),
        NODE_X_SSH_CONFIG: this.#client.settings.configFile as string,
      },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
  }

  /** Runs a command that must succeed. */
  async nodeX(...words: string[]): Promise<{ stdout: string; stderr: string }> {
    const child = this.spawn(...words);
    const [stdout, stderr] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    expect({ words, code: await child.exited }, stderr).toEqual({ words, code: 0 });
    return { stdout, stderr };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.spawn("kill", this.prefix).exited;
    for (const server of this.#servers.values()) server[Symbol.dispose]();
    this.#client[Symbol.dispose]();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

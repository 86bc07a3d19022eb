/**
 * etcd as an operator runs it: one process per member on loopback, each with a directory of its own.
 *
 * Invariant: no process and no directory outlives the `EtcdProcesses` that a test holds with `using`.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "./executable.ts";
import { freePorts } from "./free-ports.ts";

export interface EtcdLayout {
  members?: number;
  /** Further words of every member's command line. */
  flags?: string[];
  /** Of the client port. */
  scheme?: "http" | "https";
  /** Where the directory is made. */
  parent?: string;
  /** For asking over TLS. */
  ca?: string;
}

export class EtcdProcesses implements Disposable {
  readonly directory: string;
  /** Client URLs of the members. */
  readonly endpoints: string[];
  readonly #commands: string[][];
  readonly #children: (Bun.Subprocess | undefined)[] = [];
  readonly #ca: string | undefined;

  /** Resolves when all members serve. */
  static async start(layout: EtcdLayout = {}): Promise<EtcdProcesses> {
    const etcd = new EtcdProcesses(layout, await freePorts(2 * (layout.members ?? 1)));
    for (const member of etcd.endpoints.keys()) etcd.run(member);
    await Promise.all(etcd.endpoints.map((_, member) => etcd.serving(member)));
    return etcd;
  }

  private constructor(layout: EtcdLayout, ports: number[]) {
    const { members = 1, flags = [], scheme = "http", parent = tmpdir(), ca } = layout;
    this.directory = mkdtempSync(join(parent, "node-x-etcd-"));
    this.#ca = ca;
    const indexes = Array.from({ length: members }, (_, index) => index);
    this.endpoints = indexes.map((index) => `${scheme}://127.0.0.1:${ports[2 * index]}`);
    const peerUrl = (index: number) => `http://127.0.0.1:${ports[2 * index + 1]}`;
    const cluster = indexes.map((index) => `m${index}=${peerUrl(index)}`).join(",");
    this.#commands = indexes.map((index) => [
      "etcd", "--name", `m${index}`, "--data-dir", join(this.directory, `m${index}`),
      "--listen-client-urls", this.endpoints[index] as string, "--advertise-client-urls", this.endpoints[index] as string,
      "--listen-peer-urls", peerUrl(index), "--initial-advertise-peer-urls", peerUrl(index),
      "--initial-cluster", cluster, "--logger", "zap", "--log-level", "error", ...flags,
    ]); // prettier-ignore
  }

  /** Starts a member, or starts it again on what it left. */
  run(member: number): void {
    this.#children[member] = Bun.spawn(this.#commands[member] as string[], {
      cwd: this.directory,
      stdin: "ignore",
      stdout: "ignore",
      stderr: Bun.file(join(this.directory, `output.${member}.txt`)),
    });
  }

  /** Resolves when a member answers what only a majority can. */
  async serving(member: number, token?: string): Promise<void> {
    await until(`member ${member} of etcd to serve`, async () => {
      try {
        return "header" in (await this.ask("/kv/range", { key: "eA==" }, member, token)) || undefined;
      } catch {
        return undefined;
      }
    });
  }

  async kill(member: number): Promise<void> {
    this.#children[member]?.kill("SIGKILL");
    await this.#children[member]?.exited;
  }

  /** Stops a member without its knowing, or lets it go on. */
  signal(member: number, signal: "SIGSTOP" | "SIGCONT"): void {
    this.#children[member]?.kill(signal);
  }

  /** One call of the gateway, as curl would make it. */
  async ask(path: string, body: object, member = 0, token?: string): Promise<Record<string, unknown>> {
    const response = await fetch(`${this.endpoints[member]}/v3${path}`, {
      method: "POST",
      body: JSON.stringify(body),
      ...(token !== undefined && { headers: { authorization: token } }),
      signal: AbortSignal.timeout(10_000),
      ...(this.#ca !== undefined && { tls: { ca: this.#ca } }),
    } as RequestInit);
    return (await response.json()) as Record<string, unknown>;
  }

  /** Forgets all revisions below the present one. */
  async compact(): Promise<void> {
    const { header } = (await this.ask("/kv/range", { key: "eA==" })) as { header: { revision: string } };
    await this.ask("/kv/compaction", { revision: header.revision, physical: true });
  }

  [Symbol.dispose](): void {
    for (const child of this.#children) child?.kill("SIGKILL");
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/**
 * Debian's OpenSSH server, started by a test with keys and a configuration of its own on a free port.
 *
 * Invariant: nothing of the machine's own ssh is read or written: host key, authorized keys, known_hosts and
 * the client's configuration live in a temporary directory that goes with the server. Nor does the user's ~/.bashrc
 * run at each call, which would cost whatever this machine's user has in it.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import type { Host } from "../../../src/cluster/topology/types.ts";
import type { SshSettings } from "../../../src/cluster/ssh/command.ts";
import { until } from "../../e2e/executable.ts";
import { freePort } from "../../e2e/free-ports.ts";

export const sshdProgram = "/usr/sbin/sshd";

function keygen(path: string): void {
  const made = Bun.spawnSync(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", path]);
  if (made.exitCode !== 0) throw new Error(`ssh-keygen failed: ${made.stderr.toString()}`);
}

/** An operator's side of ssh: one key, one file of known hosts. */
export class SshClient implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), "node-x-ssh-"));
  readonly key = join(this.directory, "id");
  readonly knownHosts = join(this.directory, "known_hosts");
  readonly settings: SshSettings;

  constructor() {
    keygen(this.key);
    mkdirSync(join(this.directory, "own"), { mode: 0o700 });
    const config = [
      `UserKnownHostsFile ${this.knownHosts}`,
      "GlobalKnownHostsFile /dev/null",
      `IdentityFile ${this.key}`,
    ];
    writeFileSync(
      join(this.directory, "config"),
      `${config.join("\n")}\nIdentityAgent none\nHashKnownHosts no\n`,
    );
    this.settings = { program: "ssh", configFile: join(this.directory, "config"), connectTimeoutSeconds: 5 };
  }

  /** A directory for node-x's own files about hosts. */
  get own(): string {
    return join(this.directory, "own");
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function descendantsOf(pid: number): { pid: number; name: string }[] {
  const processes = readdirSync("/proc").flatMap((entry) => {
    try {
      const match = /^(\d+) \((.*)\) \S (\d+)/.exec(readFileSync(`/proc/${Number(entry)}/stat`, "utf8"));
      return match === null
        ? []
        : [{ pid: Number(match[1]), name: match[2] as string, parent: Number(match[3]) }];
    } catch {
      return []; // no process, or one that ended meanwhile
    }
  });
  const found = new Set([pid]);
  for (const { pid: own, parent } of processes.sort((a, b) => a.pid - b.pid))
    if (found.has(parent)) found.add(own);
  found.delete(pid);
  return processes.filter((process) => found.has(process.pid));
}

function tryKill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended meanwhile.
  }
}

export interface SshServerOptions {
  address?: string;
  /** Put before sshd's command line: `ip netns exec NAME`. */
  wrapper?: readonly string[];
  /** Keys that are let in; all when missing. */
  client: SshClient;
}

export class SshServer implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), "node-x-sshd-"));
  readonly hostKey = join(this.directory, "host_key");
  readonly address: string;
  port = 0;
  #child: Bun.Subprocess | undefined;
  readonly #options: SshServerOptions;

  private constructor(options: SshServerOptions) {
    this.#options = options;
    this.address = options.address ?? "127.0.0.1";
  }

  static async start(options: SshServerOptions): Promise<SshServer> {
    const server = new SshServer(options);
    keygen(server.hostKey);
    writeFileSync(join(server.directory, "authorized_keys"), readFileSync(`${options.client.key}.pub`));
    if (userInfo().uid === 0) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
    await server.run();
    return server;
  }

  /** Starts it, or starts it again on the same port. */
  async run(): Promise<void> {
    if (this.port === 0) this.port = this.#options.wrapper === undefined ? await freePort(this.address) : 22;
    const config = join(this.directory, "sshd_config");
    const lines = [
      `Port ${this.port}`,
      `ListenAddress ${this.address}`,
      `HostKey ${this.hostKey}`,
      `AuthorizedKeysFile ${join(this.directory, "authorized_keys")}`,
      `PidFile ${join(this.directory, "sshd.pid")}`,
      "StrictModes no",
      "UsePAM no",
      "PasswordAuthentication no",
      "KbdInteractiveAuthentication no",
      "PermitRootLogin prohibit-password",
      "MaxStartups 100",
      // bash reads ~/.bashrc for commands over ssh, unless it is told that another shell is around it.
      "SetEnv SHLVL=1",
      "LogLevel ERROR",
    ];
    writeFileSync(config, `${lines.join("\n")}\n`);
    this.#child = Bun.spawn([...(this.#options.wrapper ?? []), sshdProgram, "-D", "-e", "-f", config], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    const child = this.#child;
    await until("sshd", () => {
      if (child.exitCode !== null) throw new Error(`sshd ended with ${child.exitCode}`);
      return existsSync(join(this.directory, "sshd.pid")) || undefined;
    });
  }

  get fingerprint(): string {
    const shown = Bun.spawnSync(["ssh-keygen", "-lf", `${this.hostKey}.pub`]).stdout.toString();
    return shown.split(" ")[1] ?? "";
  }

  /** The line of this host in known_hosts. */
  get knownHostsLine(): string {
    const [type, key] = readFileSync(`${this.hostKey}.pub`, "utf8").split(" ");
    const name = this.port === 22 ? this.address : `[${this.address}]:${this.port}`;
    return `${name} ${type} ${key}\n`;
  }

  /** As a topology describes it. */
  host(name: string, workingDirectory: string, hostKeys: string[] = []): Host {
    return {
      name,
      access: { kind: "ssh", destination: this.address, port: this.port },
      address: {},
      workingDirectory,
      tags: [],
      hostKeys,
    };
  }

  /** The connection of everyone breaks, nobody can come in. */
  stop(): void {
    if (this.#child === undefined) return;
    // Those of open connections are in sessions of their own.
    const parts = descendantsOf(this.#child.pid).filter(({ name }) => name === "sshd");
    this.#child.kill("SIGKILL");
    for (const { pid } of parts) tryKill(pid);
    rmSync(join(this.directory, "sshd.pid"), { force: true });
  }

  [Symbol.dispose](): void {
    this.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Commands in a QEMU guest by ssh, as root: one line at a time, or until its answer is right. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SshClient } from "../cluster/ssh/sshd.ts";
import type { QemuGuest } from "./qemu-guest.ts";

/** Emulation is slow, and slower on a busy machine. */
const LIMIT_MS = 10 * 60_000;

export class GuestShell implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), "nx-q-"));
  readonly client = new SshClient();
  readonly #guest: QemuGuest;

  constructor(guest: QemuGuest) {
    this.#guest = guest;
  }

  /** Believes the host key that the guest's image has. */
  trustGuest(): void {
    const [type, key] = readFileSync(this.#guest.hostKeyFile, "utf8").split(" ");
    writeFileSync(this.client.knownHosts, `[127.0.0.1]:${this.#guest.sshPort} ${type} ${key}\n`);
  }

  async spawn(words: string[]): Promise<{ code: number; output: string }> {
    const child = Bun.spawn(words, {
      cwd: this.directory,
      env: {
        PATH: process.env.PATH ?? "",
        HOME: this.directory,
        XDG_STATE_HOME: join(this.directory, "s"),
        NODE_X_SSH_CONFIG: this.client.settings.configFile as string,
        NODE_X_SSH_CONNECT_TIMEOUT: "120",
        NODE_X_DEPLOY_SILENCE_MS: "600000",
      },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    return { code: await child.exited, output: `${stdout}${stderr}` };
  }

  get #options(): string[] {
    return [
      "-F",
      this.client.settings.configFile as string,
      "-o",
      "BatchMode=yes",
      "-o",
      "ConnectTimeout=20",
    ];
  }

  /** Runs one line in the guest; undefined when it fails or the guest cannot be reached. */
  async inGuest(line: string): Promise<string | undefined> {
    const port = String(this.#guest.sshPort);
    const { code, output } = await this.spawn(["ssh", ...this.#options, "-p", port, "root@127.0.0.1", line]);
    return code === 0 ? output.trim() : undefined;
  }

  /** Runs one line that must succeed. */
  async demand(line: string): Promise<string> {
    const answer = await this.inGuest(line);
    if (answer === undefined)
      throw new Error(`in the guest failed: ${line}\n${this.#guest.console().slice(-2000)}`);
    return answer;
  }

  async copyIn(from: string, to: string): Promise<void> {
    const port = String(this.#guest.sshPort);
    const { code, output } = await this.spawn([
      "scp",
      ...this.#options,
      "-P",
      port,
      from,
      `root@127.0.0.1:${to}`,
    ]);
    if (code !== 0) throw new Error(`scp ${from}: ${output}`);
  }

  async untilGuest(what: string, line: string, isRight: (answer: string) => boolean): Promise<string> {
    const deadlineMs = performance.now() + LIMIT_MS;
    for (;;) {
      const answer = await this.inGuest(line);
      if (answer !== undefined && isRight(answer)) return answer;
      if (performance.now() > deadlineMs)
        throw new Error(`${what}: gave up at ${answer}\n${this.#guest.console().slice(-2000)}`);
      await Bun.sleep(1000);
    }
  }

  [Symbol.dispose](): void {
    this.client[Symbol.dispose]();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

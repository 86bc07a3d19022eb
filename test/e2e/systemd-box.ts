/**
 * A small machine with a real systemd inside this one: namespaces, an overlay over this machine's files, its own cgroups.
 *
 * Needs root and systemd's package. What is written inside stays in the box's directory, so it can be booted again as after a power
 * loss. `share` is the one directory that both sides see.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { until } from "./executable.ts";

const CGROUPS = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"].filter((path) =>
  existsSync(join(path, "cgroup.procs")),
);

export interface Finished {
  code: number;
  output: string;
}

export class SystemdBox {
  readonly directory = mkdtempSync(join(tmpdir(), "nx-box-"));
  readonly share = join(this.directory, "share");
  readonly #cgroups = CGROUPS.map((path) => join(path, basename(this.directory)));
  #unshare: Bun.Subprocess | undefined;
  /** Of systemd, as this machine counts. */
  #init = 0;

  constructor() {
    mkdirSync(this.share);
  }

  async boot(): Promise<void> {
    for (const path of this.#cgroups) mkdirSync(path, { recursive: true });
    const enter = this.#cgroups.map((path) => `echo $$ > ${path}/cgroup.procs`).join("; ");
    const script = join(import.meta.dir, "systemd-box.sh");
    const flags = "--mount --pid --fork --uts --ipc --net --cgroup";
    this.#unshare = Bun.spawn(
      ["sh", "-c", `${enter}; exec unshare ${flags} sh ${script} ${this.directory}`],
      {
        stdin: "ignore",
        stdout: "inherit",
        stderr: "inherit",
      },
    );
    const parent = this.#unshare.pid;
    this.#init = await until("process 1", () => {
      const children = readFileSync(`/proc/${parent}/task/${parent}/children`, "utf8").trim().split(" ");
      return Number(children[0]) || undefined;
    });
    await until("systemd", async () => {
      const { output } = await this.run("systemctl", "is-system-running");
      return /running|degraded/.test(output) ? true : undefined;
    });
  }

  /** Runs a program inside, in /share. */
  async run(...words: string[]): Promise<Finished> {
    const enter = ["nsenter", "-t", String(this.#init), "-a", "-r"];
    const inside = [
      "env",
      "-i",
      "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
      "HOME=/root",
      "sh",
      "-c",
      'cd /share && exec "$@"',
      "x",
    ];
    const child = Bun.spawn([...enter, ...inside, ...words], {
      cwd: "/",
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

  write(name: string, text: string): void {
    writeFileSync(join(this.share, name), text);
  }

  /** As if the plug were pulled: every process inside ends at once. */
  async cutPower(): Promise<void> {
    if (this.#init > 0) process.kill(this.#init, "SIGKILL");
    await this.#unshare?.exited;
    this.#init = 0;
  }

  async remove(): Promise<void> {
    await this.cutPower();
    for (const path of this.#cgroups) {
      const depth = (name: string) => name.split("/").length;
      const inside = [...new Bun.Glob("**/cgroup.procs").scanSync({ cwd: path })];
      for (const name of inside.sort((a, b) => depth(b) - depth(a))) rmdirSync(join(path, dirname(name)));
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}

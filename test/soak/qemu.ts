/**
 * `bun run soak qemu [directory]`: a deploy to a guest under real systemd (QEMU, software emulation). The
 * units are started by a deploy, a role that is stuck is killed by its watchdog and comes back, another
 * executable is rolled out and rolled back, and after a reboot everything runs by itself with its data. The
 * image is kept in `directory` (dist/qemu) for the next time.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureExecutable } from "../../build.ts";
import { SshClient } from "../cluster/ssh/sshd.ts";
import { executable } from "../e2e/node-process.ts";
import { ensureImage, QemuGuest } from "../e2e/qemu-guest.ts";
import type { Soak } from "./run.ts";

const UNIT = "node-x-q.dht0.service";
/** Emulation is slow, and slower on a busy machine. */
const LIMIT_MS = 10 * 60_000;

class Operator implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), "nx-q-"));
  readonly client = new SshClient();
  readonly #guest: QemuGuest;

  constructor(guest: QemuGuest) {
    this.#guest = guest;
  }

  writeFiles(): void {
    mkdirSync(join(this.directory, "c"));
    const ssh = { host: "127.0.0.1", port: this.#guest.sshPort, user: "root" };
    const hostKeys = [readFileSync(this.#guest.hostKeyFile, "utf8").trim().split(" ").slice(0, 2).join(" ")];
    const cluster = {
      hosts: { guest: { ssh, hostKeys, workingDirectory: "/srv/node-x" } },
      placement: { dht0: "guest" },
      rollout: { healthyForMs: 1000, readyTimeoutMs: 300_000 },
    };
    writeFileSync(join(this.directory, "c/q.cluster.json"), JSON.stringify(cluster));
    writeFileSync(
      join(this.directory, "c/q.dht0.json"),
      '{ "host": "0.0.0.0", "port": 10000, "respPort": 10200 }',
    );
    const [type, key] = readFileSync(this.#guest.hostKeyFile, "utf8").split(" ");
    writeFileSync(this.client.knownHosts, `[127.0.0.1]:${this.#guest.sshPort} ${type} ${key}\n`);
  }

  async #spawn(words: string[]): Promise<{ code: number; output: string }> {
    const child = Bun.spawn(words, {
      cwd: this.directory,
      env: {
        PATH: process.env.PATH ?? "",
        HOME: this.directory,
        XDG_STATE_HOME: join(this.directory, "s"),
        NODE_X_SSH_CONFIG: this.client.settings.configFile as string,
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

  async nodeX(...words: string[]): Promise<void> {
    const { code, output } = await this.#spawn([executable, ...words]);
    if (code !== 0) throw new Error(`node-x ${words.join(" ")}: ${output}`);
  }

  /** Runs one line in the guest; undefined when it cannot be reached. */
  async inGuest(line: string): Promise<string | undefined> {
    const { configFile } = this.client.settings;
    const words = ["ssh", "-F", configFile as string, "-o", "BatchMode=yes", "-o", "ConnectTimeout=20"];
    const { code, output } = await this.#spawn([
      ...words,
      "-p",
      String(this.#guest.sshPort),
      "root@127.0.0.1",
      line,
    ]);
    return code === 0 ? output.trim() : undefined;
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

const property = (name: string) => `systemctl show -p ${name} --value ${UNIT}`;

async function runGuest(place: string): Promise<Record<string, unknown>> {
  await ensureExecutable();
  using guest = new QemuGuest(place);
  using operator = new Operator(guest);
  await ensureImage(place, readFileSync(`${operator.client.key}.pub`, "utf8"));
  const startMs = performance.now();
  const seconds = (text: string) =>
    console.log(`${((performance.now() - startMs) / 1000).toFixed(0)} s: ${text}`);
  await guest.boot();
  operator.writeFiles();
  await operator.untilGuest("the boot", "systemctl is-system-running", (state) => state === "running");
  seconds("booted");

  const prefix = join(operator.directory, "c/q");
  await operator.nodeX("deploy", prefix, "-y");
  const user = await operator.untilGuest("the unit", property("User"), (answer) => answer !== "");
  if (user === "root") throw new Error("the unit runs as root");
  await operator.untilGuest("the target", "systemctl is-active dht.target", (state) => state === "active");
  const redis = (...words: string[]) =>
    Bun.spawnSync(["redis-cli", "-p", String(guest.respPort), ...words])
      .stdout.toString()
      .trim();
  if (redis("set", "kept", "yes") !== "OK") throw new Error("the node does not take writes");
  seconds("deployed, started, written to");

  const stuck = await operator.untilGuest("a pid", property("MainPID"), (pid) => pid !== "0");
  await operator.inGuest(`kill -STOP ${stuck}`);
  const isOther = (pid: string) => pid !== "0" && pid !== stuck;
  await operator.untilGuest("the watchdog", property("MainPID"), isOther);
  await operator.untilGuest("the restart", `systemctl is-active ${UNIT}`, (state) => state === "active");
  if (redis("get", "kept") !== "yes") throw new Error("the watchdog's kill lost a write");
  seconds("the watchdog killed a stuck role, and it came back");

  const bytes = readFileSync(executable);
  bytes.write("Prove", bytes.indexOf("Check that this executable works on this host"));
  const other = join(operator.directory, "other");
  writeFileSync(other, bytes, { mode: 0o755 });
  const link = "readlink /srv/node-x/.node-x/q/active/q.dht0";
  const first = await operator.inGuest(link);
  await operator.nodeX("deploy", prefix, "-y", "--executable", other);
  if ((await operator.inGuest(link)) === first) throw new Error("nothing was rolled out");
  await operator.nodeX("rollback", prefix, "-y");
  if ((await operator.inGuest(link)) !== first) throw new Error("nothing was rolled back");
  seconds("another executable was rolled out and rolled back");

  await operator.inGuest("sync; systemctl reboot");
  await guest.ended;
  await guest.boot();
  await operator.untilGuest(
    "the start after a reboot",
    `systemctl is-active ${UNIT}`,
    (state) => state === "active",
  );
  if (redis("get", "kept") !== "yes") throw new Error("the reboot lost a write");
  seconds("rebooted, and everything runs by itself");
  return { seconds: Math.round((performance.now() - startMs) / 1000), user };
}

export const soak: Soak = {
  summary: "a deploy under real systemd in a QEMU guest: watchdog, rollback, reboot: [directory]",
  run: ([place = join(import.meta.dir, "../../dist/qemu")]) => runGuest(place),
};

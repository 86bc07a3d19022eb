/**
 * `bun run soak qemu [directory]`: a deploy to a guest under real systemd (QEMU, software emulation). The
 * units are started by a deploy and get their secrets, a role that is stuck is killed by its watchdog and comes back, another
 * executable is rolled out and rolled back, and after a reboot everything runs by itself with its data. The
 * image is kept in `directory` (dist/qemu) for the next time.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensureExecutable } from "../../build.ts";
import { executable } from "../e2e/node-process.ts";
import { GuestShell } from "../e2e/guest-shell.ts";
import { ensureImage, QemuGuest } from "../e2e/qemu-guest.ts";
import type { Soak } from "./run.ts";

const UNIT = "node-x-q.dht0.service";
const PASSWORD = "sesame";

class Operator extends GuestShell {
  readonly #sshPort: () => number;
  readonly #hostKeyFile: string;

  constructor(guest: QemuGuest) {
    super(guest);
    this.#sshPort = () => guest.sshPort;
    this.#hostKeyFile = guest.hostKeyFile;
  }

  writeFiles(): void {
    mkdirSync(join(this.directory, "c"));
    const ssh = { host: "127.0.0.1", port: this.#sshPort(), user: "root" };
    const hostKeys = [readFileSync(this.#hostKeyFile, "utf8").trim().split(" ").slice(0, 2).join(" ")];
    const cluster = {
      hosts: { guest: { ssh, hostKeys, workingDirectory: "/srv/node-x" } },
      placement: { dht0: "guest" },
      rollout: { healthyForMs: 1000, readyTimeoutMs: 300_000 },
    };
    writeFileSync(join(this.directory, "c/q.cluster.json"), JSON.stringify(cluster));
    writeFileSync(
      join(this.directory, "c/q.dht0.json"),
      '{ "host": "0.0.0.0", "port": 10000, "respPort": 10200, "passwordFile": "password" }',
    );
    writeFileSync(join(this.directory, "c/password"), PASSWORD, { mode: 0o600 });
    this.trustGuest();
  }

  async nodeX(...words: string[]): Promise<void> {
    const { code, output } = await this.spawn([executable, ...words]);
    if (code !== 0) throw new Error(`node-x ${words.join(" ")}: ${output}`);
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
    Bun.spawnSync([
      ...["redis-cli", "-p", String(guest.respPort), "--no-auth-warning", "-a", PASSWORD],
      ...words,
    ])
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

/**
 * Services of a host with systemd. There is no systemd here to talk to: what it would be told is recorded.
 * The units are judged by systemd's own tools (units/unit.test.ts), and `bun run soak systemd` does all of it under a real one.
 */
import { afterAll, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { realClock } from "../../../src/core/seams/clock.ts";
import { RealDisk } from "../../../src/core/seams/disk-real.ts";
import { processOf } from "../../../src/core/processes.ts";
import { marksOf } from "../../../src/cluster/services/marks.ts";
import type { ServiceSpec } from "../../../src/cluster/services/services.ts";
import { SystemdServices, unitNameOf } from "../../../src/cluster/services/systemd.ts";
import { lockFile } from "../../../src/native/system.ts";

const top = mkdtempSync(join(tmpdir(), "nx-systemd-"));
afterAll(() => rmSync(top, { recursive: true, force: true }));

let count = 0;

function specOf(instance: string, role = "dht"): ServiceSpec {
  return {
    instance,
    role,
    command: ["/srv/nx/.node-x/p/active/x/node-x", "run", role],
    workingDirectory: "/srv/nx",
    environment: { A: "b" },
    dataDir: `/srv/nx/${instance}`,
    outputFile: "/srv/nx/out",
    stopTimeoutMs: 1000,
  };
}

/** A host's unit directory, with what systemctl was told. */
function host(root = "/srv/nx/.node-x/p", directory = join(top, String(count++))) {
  const told: string[] = [];
  const answers = new Map<string, string>();
  mkdirSync(join(directory, "units"), { recursive: true });
  const services = new SystemdServices({
    root,
    clock: realClock,
    disk: new RealDisk(lockFile),
    unitDirectory: join(directory, "units"),
    sysusersDirectory: join(directory, "users"),
    async run(words) {
      const line = words
        .filter((word) => !["--no-pager", "--no-ask-password", "--quiet"].includes(word))
        .join(" ");
      told.push(line.replaceAll(directory, "DIR"));
      return { status: 0, output: answers.get(words.includes("show") ? "show" : (words[0] as string)) ?? "" };
    },
  });
  const units = () => readdirSync(join(directory, "units")).sort();
  return { services, told, answers, directory, units };
}

describe("install", () => {
  test("writes a unit for each instance, a target and a user for each role, then tells systemd; the same again does nothing", async () => {
    const { services, told, units, directory } = host();
    const specs = [specOf("p.dht0"), specOf("p.dht1"), specOf("p.hub0", "hub")];
    await services.install(specs);
    expect(units()).toEqual([
      "dht.target",
      "hub.target",
      "node-x-p.dht0.service",
      "node-x-p.dht1.service",
      "node-x-p.hub0.service",
    ]);
    expect(told).toEqual([
      "systemd-sysusers DIR/users/node-x-dht.conf",
      "systemd-sysusers DIR/users/node-x-hub.conf",
      "systemctl daemon-reload",
    ]);
    const text = readFileSync(join(directory, "units/node-x-p.dht0.service"), "utf8");
    expect(text).toContain("WantedBy=dht.target");
    expect(text).toContain("Environment=NODE_X_DEPLOYMENT_ROOT=/srv/nx/.node-x/p");
    told.length = 0;
    await services.install(specs);
    expect(told).toEqual([]);
  });

  test("grants what an instance needs beyond the rest, and nothing more", async () => {
    const { services, directory } = host();
    const needing = { ...specOf("p.archive0", "archive"), privileges: ["lvm" as const] };
    await services.install([needing, { ...specOf("p.dht0"), privileges: ["lowPort"] }, specOf("p.dht1")]);
    const unitOf = (instance: string) =>
      readFileSync(join(directory, "units", unitNameOf(instance)), "utf8").split("\n");
    expect(unitOf("p.archive0")).toContain("DeviceAllow=/dev/mapper/control rw");
    expect(unitOf("p.archive0")).not.toContain("User=nx-archive");
    expect(unitOf("p.dht0")).toContain("CapabilityBoundingSet=CAP_NET_BIND_SERVICE");
    expect(unitOf("p.dht1")).toContain("CapabilityBoundingSet=");
  });

  test("takes away what is no longer there, and nothing of another deployment", async () => {
    const one = host();
    const other = host("/srv/nx/.node-x/q", one.directory);
    await other.services.install([specOf("q.dht0")]);
    await one.services.install([specOf("p.dht0"), specOf("p.dht1")]);
    await one.services.install([specOf("p.dht1")]);
    expect(one.told).toContain("systemctl disable --now node-x-p.dht0.service");
    await one.services.install([]);
    expect(one.units()).toEqual(["dht.target", "node-x-q.dht0.service"]);
    expect(await one.services.status()).toEqual([]);
  });

  test("refuses a unit of the same name that is somebody else's", async () => {
    const { services, directory } = host();
    const path = join(directory, "units", unitNameOf("p.dht0"));
    writeFileSync(path, "[Service]\nExecStart=/bin/true\n");
    await expect(services.install([specOf("p.dht0")])).rejects.toThrow("belongs to another deployment");
    expect(readFileSync(path, "utf8")).toContain("/bin/true");
  });
});

describe("words to systemd", () => {
  test("starting enables, stopping disables, so that a reboot brings back what was wanted", async () => {
    const { services, told } = host();
    await services.install([specOf("p.dht0")]);
    told.length = 0;
    await services.start("p.dht0");
    expect(told).toEqual([
      "systemctl enable node-x-p.dht0.service dht.target",
      "systemctl reset-failed node-x-p.dht0.service",
      "systemctl start --no-block --job-mode=ignore-dependencies dht.target",
      "systemctl start --no-block node-x-p.dht0.service",
    ]);
    told.length = 0;
    await services.stop("p.dht0");
    expect(told).toEqual(["systemctl disable node-x-p.dht0.service", "systemctl stop node-x-p.dht0.service"]);
    await expect(services.start("p.dht9")).rejects.toThrow("p.dht9 is not installed on this host");
  });

  test("kill asks for a stop first, so that nothing is restarted, and ends marked processes itself", async () => {
    const root = join(top, "kill/.node-x/p");
    const { services, told } = host(root);
    await services.install([specOf("p.dht0")]);
    const child = Bun.spawn(["sleep", "60"], { env: { PATH: process.env.PATH, ...marksOf(root, "p.dht0") } });
    const bystander = Bun.spawn(["sleep", "60"], {
      env: { PATH: process.env.PATH, ...marksOf(root, "p.dht1") },
    });
    try {
      told.length = 0;
      await services.kill(["p.dht0"]);
      expect(told.map((line) => line.split(" ")[1])).toEqual(["disable", "stop", "kill", "reset-failed"]);
      expect(await child.exited).not.toBe(0);
      expect(processOf(bystander.pid)).toBeDefined();
    } finally {
      child.kill("SIGKILL");
      bystander.kill("SIGKILL");
    }
  });
});

describe("status", () => {
  test.each([
    [
      "running",
      "ActiveState=active\nSubState=running\nMainPID=42\nNRestarts=3\nExecMainCode=0\nExecMainStatus=0",
      { state: "running", pid: 42, restarts: 3, lastEnd: undefined },
    ],
    [
      "starting",
      "ActiveState=activating\nSubState=start\nMainPID=43\nNRestarts=0\nExecMainCode=0\nExecMainStatus=0",
      { state: "running", pid: 43 },
    ],
    [
      "between restarts",
      "ActiveState=activating\nSubState=auto-restart\nMainPID=0\nNRestarts=1\nExecMainCode=2\nExecMainStatus=9",
      { state: "restarting", pid: undefined, lastEnd: "SIGKILL" },
    ],
    [
      "queued behind the network",
      "Job=7\nActiveState=inactive\nSubState=dead\nMainPID=0\nNRestarts=0\nExecMainCode=0\nExecMainStatus=0",
      { state: "restarting", pid: undefined },
    ],
    [
      "failed",
      "ActiveState=failed\nSubState=failed\nMainPID=0\nNRestarts=0\nExecMainCode=1\nExecMainStatus=78",
      { state: "stopped", lastEnd: "exit code 78" },
    ],
    [
      "never started",
      "ActiveState=inactive\nSubState=dead\nMainPID=0\nNRestarts=0\nExecMainCode=0\nExecMainStatus=0",
      { state: "stopped", lastEnd: undefined },
    ],
  ])("%s", async (_, show, expected) => {
    const { services, answers } = host();
    await services.install([specOf("p.dht0")]);
    answers.set("show", `Id=${unitNameOf("p.dht0")}\n${show}\n`);
    expect(await services.status()).toMatchObject([{ instance: "p.dht0", ...expected }]);
  });

  test("the last lines come from the journal", async () => {
    const { services, answers, told } = host();
    answers.set("journalctl", "one\ntwo\n");
    expect(await services.lastLines("p.dht0", 2)).toEqual(["one", "two"]);
    expect(told).toEqual(["journalctl --unit node-x-p.dht0.service --lines 2 --output=cat"]);
    expect(existsSync("/etc/systemd/system/node-x-p.dht0.service")).toBe(false);
  });
});

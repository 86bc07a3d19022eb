/**
 * `bun run soak systemd`: a deployment under a real systemd: hardened units that start with their secrets, the role's target, the watchdog, a power loss, an
 * update that cannot start. Some minutes, because the watchdog waits for half of one.
 */
import { chmodSync, copyFileSync } from "node:fs";
import { join } from "node:path";
import { ensureExecutable } from "../../build.ts";
import { until } from "../e2e/executable.ts";
import { executable } from "../e2e/node-process.ts";
import { SystemdBox } from "../e2e/systemd-box.ts";
import type { Soak } from "./run.ts";

interface Row {
  instance: string;
  isReady: boolean;
  pid: number | null;
  release: string;
  restarts: number;
}

const LONG_TRIES = 6;
const PASSWORD = "sesame";

async function run(): Promise<Record<string, unknown>> {
  await ensureExecutable();
  const box = new SystemdBox();
  let held = 0;
  let failures = 0;
  const claim = (text: string, holds: boolean, more = "") => {
    console.log(`${holds ? "ok    " : "FAILED"} ${text}${holds ? "" : `\n${more}`}`);
    if (holds) held++;
    else failures++;
  };
  const nodeX = (...words: string[]) => box.run("./node-x", ...words);
  const rows = async () => JSON.parse((await nodeX("status", "p", "--json")).output) as Row[];
  const allReady = async () => ((await rows()).every(({ isReady }) => isReady) ? true : undefined);
  const active = async (unit: string) => (await box.run("systemctl", "is-active", unit)).output.trim();
  try {
    copyFileSync(executable, join(box.share, "node-x"));
    box.write(
      "p.cluster.json",
      '{ "workingDirectory": "/var/lib/node-x", "rollout": { "healthyForMs": 200, "readyTimeoutMs": 15000 } }',
    );
    box.write("password", PASSWORD);
    chmodSync(join(box.share, "password"), 0o600);
    box.write("p.dht0.json", '{ "port": 0, "respPort": 0, "passwordFile": "password" }');
    box.write("p.dht1.json", '{ "port": 0, "respPort": 0 }');
    await box.boot();

    const started = await nodeX("start", "p");
    claim("start brings up hardened units", started.code === 0, started.output);
    const user = (await box.run("stat", "-c", "%U", "/var/lib/node-x/p.dht0")).output.trim();
    claim("with a user of their own", user === "nx-dht", user);
    const ports = await box.run("cat", "/var/lib/node-x/p.dht0/ports.json");
    const { respPort } = JSON.parse(ports.output) as { respPort: number };
    const pong = await box.run("redis-cli", "--no-auth-warning", "-a", PASSWORD, "-p", `${respPort}`, "ping");
    claim("and secrets that they alone can read", pong.output.trim() === "PONG", pong.output);
    const copies = await box.run("sh", "-c", "stat -c '%U %a' /run/credentials/node-x-p.dht0.service/*");
    claim("in copies of their own", /^(nx-dht 400|root 440)$/.test(copies.output.trim()), copies.output);
    claim("and their words in the journal", (await nodeX("logs", "p", "-n", "5")).output.includes("ready"));

    await box.run("systemctl", "stop", "dht.target");
    const isDown = async () => ((await active("node-x-p.dht0")) === "inactive" ? true : undefined);
    claim(
      "the role's target stops all of them",
      await until("the end of the nodes", isDown).catch(() => false),
    );
    await box.run("systemctl", "start", "dht.target");
    claim("and starts all of them", (await until("the nodes", allReady)) === true);

    const before = await rows();
    await box.run("kill", "-STOP", String(before[0]?.pid));
    let restarted: Row | undefined;
    for (let tries = 0; tries < LONG_TRIES && restarted === undefined; tries++) {
      restarted = await until("the watchdog", async () => {
        const row = (await rows())[0];
        return row?.isReady === true && row.pid !== before[0]?.pid ? row : undefined;
      }).catch(() => undefined);
    }
    claim(
      "the watchdog ends a stuck node and systemd restarts it",
      restarted?.restarts === 1,
      JSON.stringify(restarted),
    );

    box.write("p.dht1.json", '{ "port": 1, "respPort": 0 }');
    const refused = await nodeX("deploy", "p", "-y");
    claim(
      "an update that cannot start is rolled back",
      refused.code === 75 && refused.output.includes("p.dht1: is back"),
      refused.output,
    );
    claim("with its own words", refused.output.includes("NX_LISTEN_DENIED"), refused.output);
    claim("and all is as before", (await until("the nodes", allReady)) === true);
    box.write("p.dht1.json", '{ "port": 0, "respPort": 0, "log": { "level": "trace" } }');
    const deployed = await nodeX("deploy", "p", "-y");
    const back = await nodeX("rollback", "p", "-y");
    claim("deploy and rollback", deployed.code === 0 && back.code === 0, `${deployed.output}${back.output}`);

    await box.cutPower();
    await box.boot();
    claim("after a power loss what ran runs again", (await until("the nodes", allReady)) === true);
    await nodeX("stop", "p", "--only", "dht1");
    await box.cutPower();
    await box.boot();
    await until("the first", async () => ((await rows())[0]?.isReady === true ? true : undefined));
    claim("and what was stopped stays down", (await active("node-x-p.dht1")) === "inactive");

    const killed = await nodeX("kill", "p");
    claim(
      "kill ends everything, and nothing is restarted",
      killed.output.includes("killed p.dht0") && (await active("node-x-p.dht0")) !== "active",
      killed.output,
    );
    const destroyed = await nodeX("destroy", "p", "-y", "--data");
    const left = (
      await box.run("sh", "-c", "ls /etc/systemd/system | grep node-x-p; ls -A /var/lib/node-x")
    ).output.trim();
    claim(
      "destroy leaves no unit and no data",
      destroyed.code === 0 && left === ".node-x",
      `${destroyed.output}${left}`,
    );
  } finally {
    await box.remove();
  }
  if (failures > 0) throw new Error(`${failures} of ${held + failures} claims do not hold`);
  return { held };
}

export const soak: Soak = { summary: "a deployment under a real systemd, in namespaces of its own", run };

/**
 * The demos of the original's page as an operator does them with a prefix: workers on hosts behind ssh servers of their own, killed, moved
 * and restarted while senders never pause, and at the end the validator's verdict.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureExecutable } from "../../../build.ts";
import { executable } from "../../e2e/node-process.ts";
import { SshClient, SshServer } from "../ssh/sshd.ts";

const KEYS = 11;
/** Values of each key that go in during one demo, and in all of them. */
const LEG = 500;
const LAST = 3 * LEG;
const top = mkdtempSync(join(tmpdir(), "nx-st-"));
const prefix = join(top, "files/s");
const ports = { source: 7000, sink: 5555, control: 12_500, data: 12_501 };
/** Hosts of this process alone, because the ports are the original's. */
const network = `127.${60 + (process.pid % 40)}.${1 + (Math.floor(process.pid / 40) % 250)}`;
const addressOf = (server: number) => `${network}.${server}`;
const servers = new Map<number, SshServer>();
let client: SshClient;
let receiver: Bun.Subprocess<"ignore", "pipe", "pipe">;

function spawn(...words: string[]) {
  return Bun.spawn([executable, ...words], {
    cwd: top,
    env: {
      PATH: process.env.PATH ?? "",
      HOME: top,
      XDG_STATE_HOME: join(top, "s"),
      NODE_X_SSH_CONFIG: client.settings.configFile as string,
    },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
}

async function nodeX(...words: string[]): Promise<string> {
  const child = spawn(...words);
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  expect({ words, code: await child.exited }, stderr).toEqual({ words, code: 0 });
  return stdout;
}

beforeAll(async () => {
  await ensureExecutable();
  client = new SshClient();
  for (const server of [1, 2, 4])
    servers.set(server, await SshServer.start({ client, address: addressOf(server) }));
  const hosts = [...servers].map(([server, { address, port, fingerprint }]) => [
    `server${server}`,
    {
      ssh: { host: address, port },
      address: { private: address },
      workingDirectory: join(top, `server${server}`),
      hostKeys: [fingerprint],
    },
  ]);
  mkdirSync(join(top, "files"));
  const write = (name: string, value: object) =>
    writeFileSync(`${prefix}.${name}.json`, JSON.stringify(value));
  write("cluster", {
    hosts: Object.fromEntries(hosts),
    rollout: { healthyForMs: 50, readyTimeoutMs: 60_000 },
  });
  const common = {
    app: "detector",
    sinks: [`windows=2pc://${addressOf(1)}:${ports.sink}`],
    checkpointMs: 200,
  };
  write("worker0", {
    ...common,
    host: addressOf(1),
    ...{ size: 2, controlPort: ports.control, dataPort: ports.data },
    sources: [`Detector=acked://${addressOf(1)}:${ports.source}`],
  });
  write("worker1", {
    ...common,
    host: addressOf(2),
    ...{ name: "worker2", controlPort: 0, dataPort: 0, join: `${addressOf(1)}:${ports.control}` },
  });
  receiver = spawn(
    ...["stream", "receive", "--protocol", "two-phase", "--listen", `${addressOf(1)}:${ports.sink}`],
    ...["--out", "received", "--expect", String(LAST), "--keys", String(KEYS), "--json"],
  );
}, 120_000);

afterAll(async () => {
  receiver.kill("SIGKILL");
  const killed = spawn("kill", prefix);
  await killed.exited;
  for (const server of servers.values()) server[Symbol.dispose]();
  client[Symbol.dispose]();
  rmSync(top, { recursive: true, force: true });
}, 60_000);

/** One demo: values go in without a pause while `change` happens, and all of them are acknowledged in the end. */
async function underLoad(from: number, change: () => Promise<void>): Promise<void> {
  const sender = spawn(
    ...["stream", "send", `${addressOf(1)}:${ports.source}`, "--keys", String(KEYS), "--batch", "10"],
    ...["--from", String(from), "--until", String(from + LEG), "--stream-prefix", `from${from}.`],
  );
  await change();
  expect(await sender.exited, await new Response(sender.stderr).text()).toBe(0);
}

const kill = async () => expect(await nodeX("kill", prefix, "--only", "worker1")).toBe("killed s.worker1\n");

async function killAndMove(server: string): Promise<void> {
  await kill();
  expect(await nodeX("move", prefix, "worker1", "--to", server, "-y")).toContain(`s.worker1 is on ${server}`);
}

test("a worker is killed, moved to another server and back and restarted under load, and the validator finds nothing", async () => {
  await nodeX("deploy", prefix, "-y");
  await underLoad(0, () => killAndMove("server4"));
  await underLoad(LEG, () => killAndMove("server2"));
  await underLoad(2 * LEG, async () => {
    await kill();
    await nodeX("restart", prefix, "--only", "worker1");
  });
  const rows = JSON.parse(await nodeX("status", prefix, "--json")) as { instance: string; host: string }[];
  expect(rows.map(({ instance, host }) => [instance, host])).toEqual([
    ["s.worker0", "server1"],
    ["s.worker1", "server2"],
  ]);
  const report = JSON.parse(await new Response(receiver.stdout).text()) as { verdict: object };
  expect(report.verdict).toMatchObject({ isValid: true, records: KEYS * LAST, reached: LAST });
  expect(await nodeX("stream", "verify", "received", "-e", String(LAST), "-k", String(KEYS))).toContain(
    "successful",
  );
}, 240_000);

/**
 * The demos of the original's page as an operator does them with a prefix: workers on hosts behind ssh servers of their own, killed, moved
 * and restarted while senders never pause, and at the end the validator's verdict.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { ensureExecutable } from "../../../build.ts";
import { SshHosts } from "./ssh-hosts.ts";

const KEYS = 11;
/** Values of each key that go in during one demo, and in all of them. */
const LEG = 500;
const LAST = 3 * LEG;
let hosts: SshHosts;
let receiver: Bun.Subprocess<"ignore", "pipe", "pipe">;
const source = () => `${hosts.addressOf(1)}:7000`;
const sink = () => `${hosts.addressOf(1)}:5555`;

beforeAll(async () => {
  await ensureExecutable();
  hosts = await SshHosts.start("s", [1, 2, 4]);
  const common = { app: "detector", sinks: [`windows=2pc://${sink()}`], checkpointMs: 200 };
  hosts.write("worker0", {
    ...{ ...common, size: 2, host: hosts.addressOf(1), controlPort: 12_500, dataPort: 12_501 },
    sources: [`Detector=acked://${source()}`],
  });
  hosts.write("worker1", {
    ...{ ...common, name: "worker2", host: hosts.addressOf(2), controlPort: 0, dataPort: 0 },
    join: `${hosts.addressOf(1)}:12500`,
  });
  receiver = hosts.spawn(
    ...["stream", "receive", "--protocol", "two-phase", "--listen", sink(), "--out", "received"],
    ...["--expect", String(LAST), "--keys", String(KEYS), "--json"],
  );
}, 120_000);

afterAll(async () => {
  receiver.kill("SIGKILL");
  await hosts[Symbol.asyncDispose]();
}, 120_000);

/** One demo: values go in without a pause while `change` happens, and all of them are acknowledged in the end. */
async function underLoad(from: number, change: () => Promise<void>): Promise<void> {
  const sender = hosts.spawn(
    ...["stream", "send", source(), "--keys", String(KEYS), "--batch", "10"],
    ...["--from", String(from), "--until", String(from + LEG), "--stream-prefix", `from${from}.`],
  );
  await change();
  expect(await sender.exited, await new Response(sender.stderr).text()).toBe(0);
}

async function kill(): Promise<void> {
  expect((await hosts.nodeX("kill", hosts.prefix, "--only", "worker1")).stdout).toBe("killed s.worker1\n");
}

async function killAndMove(server: string): Promise<void> {
  await kill();
  const { stdout } = await hosts.nodeX("move", hosts.prefix, "worker1", "--to", server, "-y");
  expect(stdout).toContain(`s.worker1 is on ${server}`);
}

test("a worker is killed, moved to another server and back and restarted under load, and the validator finds nothing", async () => {
  await hosts.nodeX("deploy", hosts.prefix, "-y");
  await underLoad(0, () => killAndMove("server4"));
  await underLoad(LEG, () => killAndMove("server2"));
  await underLoad(2 * LEG, async () => {
    await kill();
    await hosts.nodeX("restart", hosts.prefix, "--only", "worker1");
  });
  const { stdout } = await hosts.nodeX("status", hosts.prefix, "--json");
  const rows = JSON.parse(stdout) as { instance: string; host: string }[];
  expect(rows.map(({ instance, host }) => [instance, host])).toEqual([
    ["s.worker0", "server1"],
    ["s.worker1", "server2"],
  ]);
  const report = JSON.parse(await new Response(receiver.stdout).text()) as { verdict: object };
  expect(report.verdict).toMatchObject({ isValid: true, records: KEYS * LAST, reached: LAST });
  const verified = await hosts.nodeX("stream", "verify", "received", "-e", String(LAST), "-k", String(KEYS));
  expect(verified.stdout).toContain("successful");
}, 300_000);

/** A worker's application is deployed with its prefix, over ssh, and goes back with a rollback. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { ensureExecutable } from "../../../build.ts";
import { until } from "../../e2e/executable.ts";
import { SshHosts } from "./ssh-hosts.ts";

const PORT = 7000;
const LIMIT_MS = 60_000;
let hosts: SshHosts;

const beside = (name: string) => join(dirname(hosts.prefix), name);
const onHost = (name: string) => join(hosts.directory, "server1", name);

function writeGreeting(greeting: string): void {
  writeFileSync(beside("apps/lib/greeting.ts"), `export const greeting: string = "${greeting}";\n`);
}

beforeAll(async () => {
  await ensureExecutable();
  hosts = await SshHosts.start("s", [1]);
  mkdirSync(beside("apps/lib"), { recursive: true });
  writeFileSync(
    beside("apps/greeter.ts"),
    `import { app, lines } from "node-x/stream";
     import { greeting } from "./lib/greeting.ts";
     export default app("greeter", (a) => {
       a.source("Lines", { framing: lines(), decode: (frame) => frame.text(0) })
         .map((line) => greeting + " " + line)
         .to(a.sink("greetings", { framing: lines(), encode: (text, out) => out.utf8(text) }));
     });`,
  );
  writeGreeting("hello");
  hosts.write("worker0", {
    ...{ app: "apps/greeter.ts", host: hosts.addressOf(1), controlPort: 0, dataPort: 0, checkpointMs: 50 },
    sources: [`Lines=tcp://${hosts.addressOf(1)}:${PORT}`],
    sinks: ["greetings=file:greetings.txt"],
  });
}, 120_000);

afterAll(async () => {
  await hosts[Symbol.asyncDispose]();
}, 60_000);

/** True when a worker took it. */
function send(line: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(PORT, hosts.addressOf(1), () => socket.end(`${line}\n`));
    socket.on("error", () => resolve(false)).on("close", (hadError) => resolve(!hadError));
  });
}

/** Sends a line to the worker; returns when `answer` is in its output. */
async function answered(line: string, answer: string): Promise<void> {
  await until("the worker's port", async () => (await send(line)) || undefined, LIMIT_MS);
  const output = () => readFileSync(onHost("greetings.txt"), "utf8");
  await until(answer, () => output().includes(answer) || undefined, LIMIT_MS);
}

test("an application and what it imports run on the host from their release, and change and go back with it", async () => {
  await hosts.nodeX("deploy", hosts.prefix, "-y");
  await answered("one", "hello one");
  writeGreeting("good morning");
  const plan = hosts.spawn("deploy", hosts.prefix, "--plan");
  const shown = await new Response(plan.stdout).text();
  expect(await plan.exited).toBe(2);
  expect(shown).toMatch(/~ configs\/apps\/lib\/greeting\.ts .*[0-9a-f]{12}.*[0-9a-f]{12}/);
  expect(shown.match(/[~+-] /g)).toHaveLength(1);
  await hosts.nodeX("deploy", hosts.prefix, "-y");
  await answered("two", "good morning two");
  await hosts.nodeX("rollback", hosts.prefix, "-y");
  await answered("three", "hello three");
}, 300_000);

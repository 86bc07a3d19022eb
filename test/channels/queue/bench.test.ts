/** `node-x bench queue`: every call is counted and every record judged, over both protocols. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { QueueNode } from "../../../src/channels/client.ts";
import bench from "../../../src/channels/queue/bench.ts";
import { NxError } from "../../../src/core/errors.ts";
import type { LoadReport } from "../../../src/core/load/report.ts";
import { SECRET } from "../wire/legacy/server.ts";
import { startQueue, type TestServer, world } from "./server.ts";

let server: TestServer;
beforeAll(async () => (server = await startQueue()));
afterAll(() => server?.[Symbol.asyncDispose]());

const file = (name: string) => join(server.directory, name);

async function run(...words: string[]): Promise<{ code: number; report: LoadReport }> {
  let stdout = "";
  const output = { isTty: false, write: (text: string) => void (stdout += text) };
  const terminal = { stdout: output, stderr: output, interrupted: new AbortController().signal };
  const code = await bench([...words, "--json=-", "--concurrency=8"], terminal);
  return { code, report: JSON.parse(stdout) as LoadReport };
}

const countsOf = ({ operations }: LoadReport) =>
  Object.fromEntries(operations.map(({ operation, latency }) => [operation, latency.count]));

test("pushes and pops are counted, and what is popped is what was pushed", async () => {
  const { code, report } = await run(
    `--port=${server.port}`,
    "--requests=500",
    `--chart=${file("load.svg")}`,
  );
  expect({ code, ...report }).toMatchObject({
    code: 0,
    succeeded: true,
    requests: 500,
    replies: 500,
    errors: {},
  });
  expect(countsOf(report)).toEqual({ push: 250, pop: 250 });
  expect(report.verified + report.misses).toBe(250);
  expect(readFileSync(file("load.svg"), "utf8")).toContain("<svg");
});

test("a nodes file and the neo protocol", async () => {
  writeFileSync(file("nodes"), `127.0.0.1:${server.neoPort}\n`);
  const secret = Buffer.from(SECRET).toString("hex");
  writeFileSync(file("own"), `user:${secret}\n`, { mode: 0o600 });
  const words = [`--nodes=${file("nodes")}`, `--credentials=${file("own")}`, "--channel=neo"];
  const pushed = await run(...words, "--operations=push", "--requests=100", "--rate=5000");
  expect(pushed).toMatchObject({
    code: 0,
    report: { replies: 100, options: { protocol: "neo", loop: "open" } },
  });
  const popped = await run(...words, "--operations=pop", "--requests=100");
  expect(popped).toMatchObject({ code: 0, report: { verified: 100, misses: 0, mismatches: 0 } });
});

test("a record of somebody else's is no success, nor is a refusal", async () => {
  const node = await QueueNode.connect(world.net, { host: "127.0.0.1", port: server.port });
  await node.push("other", "0".repeat(64));
  node.close();
  const words = [`--port=${server.port}`, "--channel=other", "--operations=pop", "--requests=1"];
  expect(await run(...words)).toMatchObject({ code: 1, report: { succeeded: false, mismatches: 1 } });
  const refused = run(`--port=${server.port}`, "--channel=no name", "--requests=1");
  await expect(refused).rejects.toThrow(NxError);
});

/** The executable with durability "dump": what a kill, a stop and a full disk leave, and the tools beside it. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ensureExecutable } from "../../build.ts";
import { replyText } from "./client.ts";
import { until } from "./executable.ts";
import { executable, NodeDirectory, type NodeProcess } from "./node-process.ts";
import { SmallDisk, whyNoSmallDisk } from "./small-disk.ts";

setDefaultTimeout(120_000);
const noSmallDisk = whyNoSmallDisk();
/** The first periodic dump comes so late that no test meets it. */
const dump = { durability: "dump", dump: { periodSeconds: 2_000_000 } };

async function set(node: NodeProcess, key: string, value: string): Promise<void> {
  await using client = await node.connect();
  expect(replyText(await client.command("SET", key, value))).toBe("+OK");
}

async function get(node: NodeProcess, key: string): Promise<string> {
  await using client = await node.connect();
  return (await client.command("GET", key)).toString();
}

const dumps = async (node: NodeProcess) =>
  ((await node.stats()) as unknown as { dht: { dump: { dumps: number; failures: number } } }).dht.dump;

test("kill -9 leaves what the last dump had; SIGTERM leaves everything", async () => {
  using directory = new NodeDirectory();
  let node = await directory.start(dump);
  await set(node, "0000000000000001", "dumped");
  await set(node, "name", "dumped too");
  expect(await node.end("SIGTERM")).toBe(0);
  node = await directory.start(dump);
  await set(node, "0000000000000002", "never dumped");
  await node.end("SIGKILL");
  node = await directory.start(dump);
  expect(await get(node, "0000000000000001")).toContain("dumped");
  expect(await get(node, "name")).toContain("dumped too");
  expect(await get(node, "0000000000000002")).toStartWith("$-1");
  expect(directory.rootLog()).not.toMatch(/ (Warn|Error) \[[^\]]*store\]/);
  expect(await node.end()).toBe(0);
});

test("dumps come by themselves, and the one before stays as backup", async () => {
  using directory = new NodeDirectory();
  let node = await directory.start(dump);
  await set(node, "0000000000000001", "x");
  await node.end("SIGTERM");
  const before = readFileSync(directory.inData("0.tcm"));
  node = await directory.start({ ...dump, dump: { periodSeconds: 1 } });
  await until("the first dump", async () => ((await dumps(node)).dumps > 0 ? true : undefined));
  await node.end("SIGKILL");
  expect(readFileSync(directory.inData("0.tcm"))).toEqual(before);
  expect(readFileSync(directory.inData("0.tcm.backup"))).toEqual(before);
});

test("a damaged dump stops the start with its file and offset", async () => {
  using directory = new NodeDirectory();
  const node = await directory.start(dump);
  await set(node, "0000000000000001", "x");
  await node.end("SIGTERM");
  const path = directory.inData("0.tcm");
  await Bun.write(path, readFileSync(path).subarray(0, 20));
  const { code, stderr } = await directory.runToEnd();
  expect(code).toBe(65);
  expect(stderr).toContain(`${path}: the end mark is missing after 0 records`);
});

test.skipIf(noSmallDisk !== undefined)(
  "a full disk costs a dump, not the node; a stop then ends with 74",
  async () => {
    using directory = new NodeDirectory();
    directory.disk = await SmallDisk.mount(directory.dataDir, 24);
    const first = await directory.start(dump);
    await set(first, "0000000000000001", "old");
    await first.end("SIGTERM");
    const node = await directory.start(dump);
    for (let index = 0; index < 10; index++) await set(node, `big-${index}`, "x".repeat(100_000));
    directory.disk.fill();
    expect(await get(node, "big-9")).toContain("xxx");
    expect(await node.end("SIGTERM")).toBe(74);
    directory.disk.free();
    const again = await directory.start(dump);
    expect(await get(again, "0000000000000001")).toContain("old");
    await again.end();
  },
);

test("the tools read and write pipes", async () => {
  await ensureExecutable();
  using directory = new NodeDirectory();
  const vector = join(import.meta.dir, "../vectors/swarm/small-20.tcm");
  const made = join(directory.path, "made.tcm");
  const shell = Bun.spawn(["sh", "-c", '"$0" tcm dump "$1" | "$0" tcm load "$2"', executable, vector, made], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  expect({ code: await shell.exited, stderr: await new Response(shell.stderr).text() }).toEqual({
    code: 0,
    stderr: `${made}: 20 records\n`,
  });
  expect(readFileSync(made)).toEqual(readFileSync(vector));
});

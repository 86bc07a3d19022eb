/** TLS on the Redis port, with redis-cli and certificates of `node-x tls`. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import { until } from "./executable.ts";
import { NodeDirectory, type NodeProcess } from "./node-process.ts";

let directory: NodeDirectory;
const file = (name: string) => join(directory.path, name);

async function tls(...words: string[]): Promise<void> {
  const { code, stderr } = await directory.runToEnd(["tls", ...words]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
}

beforeAll(async () => {
  directory = new NodeDirectory();
  await tls("ca", "ours");
  await tls("issue", "server", "ours", "--host=127.0.0.1");
  await tls("issue", "client", "ours", "--host=127.0.0.1");
  await tls("ca", "foreign");
  await tls("issue", "client", "foreign", "--host=127.0.0.1");
}, 120_000);

afterAll(() => directory[Symbol.dispose]());

const server = () => ({ cert: file("ours/server.crt"), key: file("ours/server.key") });

/** redis-cli with TLS; returns what it printed. */
function cli(node: NodeProcess, flags: string[], words: string[], input?: Uint8Array) {
  const command = [
    "redis-cli",
    "-p",
    String(node.port),
    "--tls",
    "--cacert",
    file("ours/ca.crt"),
    ...flags,
    ...words,
  ];
  const { stdout, stderr } = Bun.spawnSync(command, { stdin: input ?? "ignore", timeout: 60_000 });
  return { stdout, text: `${stdout.toString()}${stderr.toString()}`.trim() };
}

const credentials = (authority: string) => [
  "--cert",
  file(`${authority}/client.crt`),
  "--key",
  file(`${authority}/client.key`),
];

test("redis-cli --tls is served, large values included; a plain client gets no answer", async () => {
  using own = new NodeDirectory();
  const node = await own.start({ tls: server(), log: { console: "off" } });
  expect(cli(node, [], ["set", "k", "v"]).text).toBe("OK");
  const value = randomBytes(8 << 20);
  expect(cli(node, ["-x"], ["set", "large"], value).text).toBe("OK");
  const { stdout } = cli(node, [], ["get", "large"]);
  const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
  expect(digest(stdout.subarray(0, value.byteLength))).toBe(digest(value));

  await using plain = await node.connect();
  plain.send(Buffer.from("*1\r\n$4\r\nPING\r\n"));
  expect((await plain.untilClosed()).toString("latin1")).not.toContain("PONG");
  expect(cli(node, [], ["get", "k"]).text).toBe("v");
  // The server's certificate is checked by the client, too.
  const foreign = cli(node, ["--cacert", file("foreign/ca.crt")], ["get", "k"]);
  expect(foreign.text).toContain("certificate verify failed");
}, 120_000);

test("with a client authority only its certificates are let in", async () => {
  using own = new NodeDirectory();
  const node = await own.start({
    tls: { ...server(), clientCa: file("ours/ca.crt") },
    log: { console: "off" },
  });
  expect(cli(node, credentials("ours"), ["set", "k", "v"]).text).toBe("OK");
  expect(cli(node, [], ["get", "k"]).text).not.toContain("v\n");
  expect(cli(node, [], ["set", "k", "intruder"]).text).not.toContain("OK");
  expect(cli(node, credentials("foreign"), ["set", "k", "intruder"]).text).not.toContain("OK");
  expect(cli(node, credentials("ours"), ["get", "k"]).text).toBe("v");
  await until(
    "the refused connections to be gone",
    async () => (await node.stats()).dht.connections === 0 || undefined,
  );
}, 120_000);

test("connections that never finish their handshake neither pile up nor keep others out", async () => {
  using own = new NodeDirectory();
  const node = await own.start({ tls: server(), log: { console: "off" } });
  const before = (await node.stats()).process.openFiles;
  // Some may be closed before they notice that they were open.
  const attempts = await Promise.allSettled(Array.from({ length: 300 }, () => node.connect()));
  await until("the newest to be open and the oldest closed", async () => {
    const { process, dht } = await node.stats();
    expect(dht.connections).toBe(0); // they count for nothing before the handshake
    const more = process.openFiles - before;
    return (more > 100 && more < 140) || undefined;
  });
  expect(cli(node, [], ["set", "k", "v"]).text).toBe("OK");
  // All 300 were accepted before redis-cli was.
  expect((await node.stats()).process.openFiles - before).toBeLessThan(140);
  for (const attempt of attempts)
    if (attempt.status === "fulfilled") await attempt.value[Symbol.asyncDispose]();
}, 120_000);

test.each([
  [
    "a key of another certificate",
    () => ({ cert: file("ours/server.crt"), key: file("ours/client.key") }),
    "does not belong to",
  ],
  [
    "a file that is no certificate",
    () => ({ cert: file("ours/server.key"), key: file("ours/server.key") }),
    "wanted a PEM certificate",
  ],
  ["a missing file", () => ({ cert: file("nowhere.crt"), key: file("ours/server.key") }), "nowhere.crt"],
])(
  "%s is refused at the start with 78",
  async (_what, material, text) => {
    using own = new NodeDirectory();
    own.configure({ tls: material(), log: { console: "off" } });
    const { code, stderr } = await own.runToEnd();
    expect({ code, stderr }).toEqual({ code: 78, stderr: expect.stringContaining(text) });
  },
  120_000,
);

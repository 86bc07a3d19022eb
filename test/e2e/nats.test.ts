/** See nats-faults.ts for what happens and what is judged; `bun run soak nats` does it for longer. */
import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createAuthority, issueCertificate } from "../../src/core/certificates.ts";
import { NatsServers } from "../core/nats/servers.ts";
import { NodeDirectory } from "./node-process.ts";
import { judge, runNatsQueue, runNatsWorker } from "./nats-faults.ts";

const LIMIT_MS = 180_000;

test(
  "a queue on three servers loses nothing that it acknowledged when one of them dies, and when it dies itself",
  async () => {
    const { violations, ...figures } = await runNatsQueue({ rounds: 2, seed: 1 });
    console.log(JSON.stringify(figures));
    expect(violations).toEqual([]);
    expect(figures.killed).toBe(2);
  },
  LIMIT_MS,
);

test(
  "between streams on three servers every record is counted and comes out once, whoever dies",
  async () => {
    const { violations, ...figures } = await runNatsWorker({ rounds: 2, seed: 1 });
    console.log(JSON.stringify(figures));
    expect(violations).toEqual([]);
  },
  LIMIT_MS,
);

test(
  "the executable gets in by TLS and a password from a file, and says nothing of it",
  async () => {
    using directory = new NodeDirectory("queue");
    const file = (name: string, text: string) => {
      const path = join(directory.path, name);
      writeFileSync(path, text, { mode: 0o600 });
      return path;
    };
    const nowMs = Date.now();
    const authority = await createAuthority("ours", 10, nowMs);
    const pair = await issueCertificate(authority, { name: "n", hosts: ["127.0.0.1"], days: 5, nowMs });
    const [ca, cert, key] = [
      file("ca", authority.certificate),
      file("cert", pair.certificate),
      file("key", pair.key),
    ];
    const secret = "correct-horse-battery";
    const own = { userFile: file("user", `node-x:${secret}`), tls: { ca } };
    const lines = `tls { cert_file: "${cert}", key_file: "${key}" }\nauthorization { user: node-x, password: "${secret}" }`;
    await using nats = await NatsServers.start(1, lines, own);
    const engine = { jetstream: { ...nats.settings, ...own } };
    const node = await directory.start({ respPort: 0, engine, log: { level: "trace" } });
    const client = await node.connect();
    expect((await client.command("RPUSH", "l", "a")).toString()).toBe(":1\r\n");
    expect(readFileSync(`/proc/${node.pid}/cmdline`, "latin1")).not.toContain(secret);
    expect(await node.end()).toBe(0);
    expect((await node.stderr) + directory.rootLog()).toContain("connected to NATS");
    expect((await node.stderr) + directory.rootLog()).not.toContain(secret);
  },
  LIMIT_MS,
);

test("the judge notices a count that is missing, doubled or too many", () => {
  const good = Array.from({ length: 14 }, (_, record) => `word${record % 7}: ${Math.floor(record / 7) + 1}`);
  expect(judge(good, 14)).toEqual([]);
  expect(judge(good.slice(1), 14)).toEqual(['"word0: 1" came 0 times']);
  expect(judge([...good, "word3: 1"], 14)).toEqual(['"word3: 1" came 2 times']);
  expect(judge([...good, "word3: 3"], 14)).toEqual(['"word3: 3" was never due']);
});

/** The executable as a logfiles node: killed under load, on a full disk, called by the original's name. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LogfilesNode } from "../../src/channels/wire/legacy/logfiles-client.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { testSeed } from "../seed.ts";
import { until } from "./executable.ts";
import { runLogfilesKill9 } from "./logfiles.ts";
import { NodeDirectory } from "./node-process.ts";
import { SmallDisk, whyNoSmallDisk } from "./small-disk.ts";

setDefaultTimeout(120_000);
const { net } = realWorld(() => {});

test.each(["segments", "classic"] as const)(
  "kill -9 under load loses nothing, with layout %s",
  async (layout) => {
    const seed = testSeed;
    const result = await runLogfilesKill9({ rounds: 4, seed, layout });
    console.log(`seed ${seed}: ${JSON.stringify({ ...result, violations: result.violations.length })}`);
    expect(result.violations).toEqual([]);
    expect(result.acknowledged).toBeGreaterThan(100);
  },
);

const noSmallDisk = whyNoSmallDisk();

test.skipIf(noSmallDisk !== undefined)(
  "a full disk: writes are refused with 407, reads go on, nothing acknowledged is lost, space is enough to go on",
  async () => {
    using directory = new NodeDirectory("logfiles");
    directory.configure({ httpPort: null, memory: { memtableBytes: 1 << 20 }, log: { console: "off" } });
    // What is given back later is enough for the log's next segment, which may be twice as long as all before it.
    directory.disk = await SmallDisk.mount(directory.dataDir, 72);
    directory.disk.fill(40 << 20);
    const node = await directory.start();
    const client = await LogfilesNode.connect(net, { host: "127.0.0.1", port: node.ports["port"] as number });
    const port = node.ports["port"] as number;
    const value = crypto.getRandomValues(Buffer.alloc(20_000));
    let acknowledged = 0;
    let isWanted = true;
    // The record that meets the full disk is answered when there is space again; further ones are refused.
    const filling = (async () => {
      const filler = await LogfilesNode.connect(net, { host: "127.0.0.1", port });
      while (isWanted) {
        crypto.getRandomValues(value);
        const puts = Array.from({ length: 16 }, (_, index) => filler.put("full", BigInt(index), value));
        const answers = await Promise.allSettled(puts);
        acknowledged += answers.filter(({ status }) => status === "fulfilled").length;
        if (answers.some(({ status }) => status === "rejected")) return;
      }
    })();
    await until("the node to say so", async () =>
      (await node.readiness()).reasons.some((reason) => reason.includes("full")) ? true : undefined,
    );
    // A file that was just finished may free some space once more, and a record that meets the full disk itself waits.
    const refusals: unknown[] = [];
    await until("a write to be refused", async () => {
      const other = await LogfilesNode.connect(net, { host: "127.0.0.1", port });
      // A connection over the limit is closed without a status.
      other.put("other", 1n, "x").catch(({ status }: { status?: number }) => status && refusals.push(status));
      await node.readiness();
      return refusals.length > 0 ? true : undefined;
    });
    expect(refusals[0]).toBe(407);
    // Reads that saw nothing of what waits are answered.
    expect((await client.getChannels()).includes("full")).toBe(true);
    expect(node.isRunning).toBe(true);
    isWanted = false;
    directory.disk.free();
    await until("the node to be ready again", async () =>
      (await node.readiness()).status === 200 ? true : undefined,
    );
    await client.put("other", 1n, "x");
    await filling;
    await node.end("SIGKILL");
    const again = await directory.start();
    const reader = await LogfilesNode.connect(net, {
      host: "127.0.0.1",
      port: again.ports["port"] as number,
    });
    expect((await reader.read("full")).length).toBeGreaterThanOrEqual(acknowledged);
    await again.end("SIGTERM");
  },
);

test("the original's INI file runs it, and leaves the original's files behind", async () => {
  using directory = new NodeDirectory("logfiles");
  mkdirSync(join(directory.path, "etc"));
  writeFileSync(
    join(directory.path, "etc/config.ini"),
    "[Server]\naddress = 127.0.0.1\nport = 0\nminval = 0000000000000000\nmaxval = ffffffffffffffff\n" +
      "[Options_LogFiles]\nwrite_buffer_size = 65536\n[Performance]\nwrite_flush_ms = 1\ncheckpoint_commit_seconds = 300\n",
  );
  const { ensureExecutable } = await import("../../build.ts");
  await ensureExecutable();
  const child = directory.spawn(["run", "logfiles", "--config", "etc/config.ini"]);
  const ports = await until("the node to serve", async () => {
    if (child.exitCode !== null) throw new Error(await new Response(child.stderr).text());
    const file = Bun.file(join(directory.path, "data/ports.json"));
    return (await file.exists()) ? ((await file.json()) as Record<string, unknown>) : undefined;
  });
  const client = await LogfilesNode.connect(net, { host: "127.0.0.1", port: Number(ports["port"]) });
  await client.put("log1", 0x53f0a1b2n, "line one");
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
  expect(readdirSync(join(directory.path, "data/log1/0000000053"))).toEqual(["f0a"]);
});

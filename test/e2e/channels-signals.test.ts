/** SIGHUP, SIGINT, SIGTERM and SIGQUIT of the queue and the logfiles node: files that are opened anew, keys that change, orderly ends. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LogfilesNode, NeoLogfilesNode, NeoQueueNode, QueueNode } from "../../src/channels/client.ts";
import { adminPost } from "../../src/core/admin-client.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { ask } from "../core/sockets/text-client.ts";
import { until } from "./executable.ts";
import { NodeDirectory, type NodeProcess } from "./node-process.ts";

const world = realWorld();
const secret = (byte: number) => new Uint8Array(128).fill(byte);
const line = (name: string, byte: number) => `${name}:${Buffer.from(secret(byte)).toString("hex")}\n`;

interface Kind {
  role: "queue" | "logfiles";
  settings: Record<string, unknown>;
  /** A key that SIGHUP changes, as the file has it then. */
  reloaded: Record<string, unknown>;
  /** A key that needs a restart. */
  fixed: Record<string, unknown>;
  /** What is named in the log then. */
  changed: string;
  write(address: { host: string; port: number }): Promise<void>;
  read(address: { host: string; port: number }): Promise<string>;
  neo(address: { host: string; port: number }, byte: number): Promise<{ close(): void }>;
}

const kinds: Kind[] = [
  {
    role: "queue",
    settings: { respPort: null, channels: { ringBytes: 1 << 20 } },
    reloaded: { channels: { ringBytes: 1 << 20, whenFull: "dropOldest" } },
    fixed: { durability: "memory" },
    changed: "channels.whenFull",
    async write(address) {
      const node = await QueueNode.connect(world.net, address);
      await node.push("ch", "kept");
      node.close();
    },
    async read(address) {
      const node = await QueueNode.connect(world.net, address);
      const record = await node.pop("ch");
      node.close();
      return String(record);
    },
    neo: (address, byte) =>
      NeoQueueNode.connect(world.net, world.clock, address, { name: "user", secret: secret(byte) }),
  },
  {
    role: "logfiles",
    settings: { httpPort: null },
    reloaded: { retention: { ageSecondsMax: 86_400 } },
    fixed: { layout: "classic" },
    changed: "retention.ageSecondsMax",
    async write(address) {
      const node = await LogfilesNode.connect(world.net, address);
      await node.put("ch", BigInt(Math.floor(Date.now() / 1000)), "kept");
      node.close();
    },
    async read(address) {
      const node = await LogfilesNode.connect(world.net, address);
      const values: string[] = [];
      for await (const records of node.records("ch"))
        for (const { value } of records) values.push(String(value));
      node.close();
      return values.join();
    },
    neo: (address, byte) =>
      NeoLogfilesNode.connect(world.net, world.clock, address, { name: "user", secret: secret(byte) }),
  },
];

test.each(kinds)(
  "$role: SIGHUP opens logs anew, reads keys and credentials again, and refuses the rest whole",
  async (kind) => {
    using directory = new NodeDirectory(kind.role);
    const credentialsFile = join(directory.path, "credentials");
    writeFileSync(credentialsFile, line("user", 1), { mode: 0o600 });
    const commandSocket = { path: "node.socket" };
    const settings = { neoPort: 0, neo: { credentialsFile }, commandSocket, ...kind.settings };
    const node = await directory.start({ ...settings, log: { console: "off", statsPeriodMs: 1000 } });
    const neoAddress = { host: "127.0.0.1", port: node.ports["neoPort"] as number };
    const told = async (change: Record<string, unknown>, words: RegExp) => {
      directory.configure({ ...settings, log: { console: "off", statsPeriodMs: 1000 }, ...change });
      const before = directory.rootLog().length;
      node.signal("SIGHUP");
      await until(`${words} in root.log`, () => words.test(directory.rootLog().slice(before)) || undefined);
    };
    await told(kind.reloaded, new RegExp(kind.changed));
    await told({ ...kind.reloaded, ...kind.fixed }, /reload refused, nothing was applied/);

    (await kind.neo(neoAddress, 1)).close();
    writeFileSync(credentialsFile, line("user", 2), { mode: 0o600 });
    await told(kind.reloaded, /read the credentials/);
    (await kind.neo(neoAddress, 2)).close();
    await expect(kind.neo(neoAddress, 1)).rejects.toMatchObject({ code: "NX_CONNECT_FAILED" });
    // The same when somebody asks.
    writeFileSync(credentialsFile, line("user", 3), { mode: 0o600 });
    const asked = await adminPost(directory.inData("admin.sock"), "/credentials/reload", {}, 10_000);
    expect([asked.status, asked.body]).toEqual([200, '{"users":["user"]}']);
    (await kind.neo(neoAddress, 3)).close();
    writeFileSync(credentialsFile, line("user", 4), { mode: 0o600 });
    expect(await ask(directory.inData("node.socket"), "update-credentials\n")).toBe(
      "Credentials updated: 1 user.\n",
    );
    (await kind.neo(neoAddress, 4)).close();

    await until("a line in stats.log", () => existsSync(directory.inData("log/stats.log")) || undefined);
    for (const name of ["root.log", "stats.log"])
      renameSync(directory.inData("log", name), directory.inData("log", `${name}.away`));
    node.signal("SIGHUP");
    for (const name of ["root.log", "stats.log"])
      await until(`a new ${name}`, () => existsSync(directory.inData("log", name)) || undefined);
    const stats = await until(
      "a line",
      () => readFileSync(directory.inData("log/stats.log"), "utf8") || undefined,
    );
    expect(stats).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} .*total_bytes:\d+ total_records:\d+/);
    expect(await node.end()).toBe(0);
  },
  120_000,
);

test.each(kinds)(
  "$role: SIGINT, SIGTERM and SIGQUIT end it in order, and what was acknowledged is there again",
  async (kind) => {
    using directory = new NodeDirectory(kind.role);
    let node: NodeProcess;
    for (const signal of ["SIGINT", "SIGTERM", "SIGQUIT"] as const) {
      node = await directory.start({ ...kind.settings, log: { console: "off" } });
      await kind.write({ host: "127.0.0.1", port: node.ports["port"] as number });
      expect({ signal, code: await node.end(signal) }).toEqual({ signal, code: 0 });
    }
    node = await directory.start();
    expect(await kind.read({ host: "127.0.0.1", port: node.ports["port"] as number })).toStartWith("kept");
    expect(await node.end()).toBe(0);
  },
  120_000,
);

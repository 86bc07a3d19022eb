/** The key `limits.keyBytesMax` in a whole dht node: an instance of this process, spoken to over a real socket. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dht } from "../../../src/channels/dht/role.ts";
import { loadConfig } from "../../../src/core/config/load.ts";
import { Instance } from "../../../src/core/kernel/instance.ts";
import { logOutput } from "../../../src/core/logging/log.ts";
import { realWorld } from "../../../src/core/seams/world-real.ts";
import { schemaCatalog } from "../../../src/roles.ts";
import { RawClient } from "../wire/resp/raw.ts";

test("a longer key is an error, and a reload changes the limit", async () => {
  const directory = mkdtempSync(join(tmpdir(), "node-x-key-limit-"));
  const file = join(directory, "dht.json");
  const load = (keyBytesMax: number) => {
    const limits = { keyBytesMax };
    writeFileSync(file, JSON.stringify({ respPort: 0, port: 0, durability: "memory", limits }));
    return loadConfig({ file, environment: {}, sets: [], workingDirectory: directory }, schemaCatalog);
  };
  const instance = await Instance.start(dht, await load(10), {
    world: realWorld(),
    logOutput: logOutput("fatal", []),
    onFatal: () => {},
  });
  try {
    await using client = await RawClient.connect(instance.ports.respPort as number);
    const set = async (keyBytes: number) => String(await client.command("SET", "k".repeat(keyBytes), "v"));
    expect(await set(10)).toBe("+OK\r\n");
    expect(await set(11)).toStartWith("-ERR ");
    await instance.reload(await load(11));
    expect(await set(11)).toBe("+OK\r\n");
  } finally {
    await instance.stop();
    rmSync(directory, { recursive: true });
  }
});

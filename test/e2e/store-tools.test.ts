/** `node-x store` against a node that runs, one that was killed, and one whose disk flipped a bit. */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { executable, NodeDirectory } from "./node-process.ts";

function store(home: NodeDirectory, ...words: string[]) {
  const { exitCode, stdout, stderr } = Bun.spawnSync([executable, "store", ...words], {
    cwd: home.path,
    env: {},
  });
  return { code: exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}

async function fill(home: NodeDirectory, keys: number) {
  const node = await home.start({});
  await using client = await node.connect();
  for (let key = 0; key < keys; key++) await client.command("SET", `key${key}`, "v".repeat(200));
  return node;
}

describe("node-x store", () => {
  test("refuses the directory of a running node and names the process, and reads it once the node was killed", async () => {
    using home = new NodeDirectory();
    const node = await fill(home, 10);
    for (const words of [["check"], ["stat"], ["salvage", "--to", "saved"]]) {
      const { code, stderr } = store(home, ...words, "data");
      expect(code).toBe(75);
      expect(stderr).toContain(`${home.dataDir} is in use by process ${node.pid}`);
    }
    expect(node.isRunning).toBe(true);
    await node.end("SIGKILL");
    const checked = store(home, "check", "data");
    expect([checked.code, checked.stdout]).toEqual([0, expect.stringContaining("10 records\n")]);
    const stat = JSON.parse(store(home, "stat", "data", "--json").stdout);
    expect(stat).toMatchObject({ records: 10, problems: [], channels: [{ name: "0", records: 10 }] });
    expect(store(home, "stat", "data").stdout).toContain("0\t10\t40\t2000\n");
    expect(readdirSync(home.path).sort()).toEqual(["data", "dht.json"]);
  }, 120_000);

  test("names damage with file and byte, and what salvage copies is served", async () => {
    using home = new NodeDirectory();
    await (await fill(home, 10)).end();
    const segment = join(home.dataDir, "store/log-0000000001.nxl");
    const bytes = readFileSync(segment);
    bytes[64 + 32 + 40] = (bytes[64 + 32 + 40] ?? 0) ^ 4;
    writeFileSync(segment, bytes);

    const checked = store(home, "check", "data");
    expect(checked.code).toBe(65);
    expect(checked.stdout).toContain(
      `damaged: ${segment}, byte 64: a frame is damaged, a valid one follows at byte `,
    );
    expect(checked.stderr).toContain("hint: restore the directory from a backup");
    expect(JSON.parse(store(home, "check", "data", "--json").stdout)).toMatchObject({
      ok: false,
      problems: [{ path: segment, offset: 64 }],
    });
    // The node refuses the same directory, for the same reason.
    expect((await home.runToEnd()).code).toBe(65);

    using copy = new NodeDirectory();
    rmdirSync(copy.dataDir);
    const salvaged = store(home, "salvage", "data", "--to", copy.dataDir);
    expect(salvaged.code).toBe(65);
    expect(salvaged.stdout).toContain(`${segment}  byte 64  `);
    expect(salvaged.stdout).toContain(`copied: 9 records to ${copy.dataDir}\n`);
    expect(readFileSync(segment)).toEqual(bytes);
    expect(store(home, "salvage", "data", "--to", copy.dataDir)).toMatchObject({ code: 73 });
    const node = await copy.start({});
    await using client = await node.connect();
    expect(String(await client.command("GET", "key0"))).toBe("$-1\r\n");
    expect(String(await client.command("GET", "key9"))).toBe(`$200\r\n${"v".repeat(200)}\r\n`);
  }, 120_000);
});

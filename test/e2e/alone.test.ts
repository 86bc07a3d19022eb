/** The one file, copied alone to a directory, with nothing of Bun, Node or this checkout around it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LoneExecutable, until } from "./executable.ts";

let alone: LoneExecutable;

beforeAll(async () => {
  alone = await LoneExecutable.copy();
}, 120_000);

afterAll(() => alone[Symbol.dispose]());

test("version --json tells versions, revision, ABI, formats and its own SHA-256", async () => {
  const { code, stdout } = await alone.run(["version", "--json"]);
  expect(code).toBe(0);
  const version = JSON.parse(stdout);
  const sha256 = createHash("sha256").update(readFileSync(alone.path)).digest("hex");
  expect(version.sha256).toBe(sha256);
  for (const key of ["version", "commit", "bun", "nativeAbi", "diskFormats", "protocols"])
    expect(version).toHaveProperty(key);
});

test("selftest passes", async () => {
  const { code, stdout, stderr } = await alone.run(["selftest"]);
  expect(stdout + stderr).not.toContain("fail");
  expect(code).toBe(0);
});

test("does not run a preload of a bunfig.toml or read a .env of the current directory", async () => {
  writeFileSync(join(alone.directory, "bunfig.toml"), 'preload = ["./evil.ts"]\n');
  writeFileSync(join(alone.directory, "evil.ts"), 'require("node:fs").writeFileSync("evil-ran", "");\n');
  writeFileSync(join(alone.directory, ".env"), "NODE_X_DHT_PORT=1\n");
  const { code } = await alone.run(["version"]);
  expect(code).toBe(0);
  expect(readdirSync(alone.directory)).not.toContain("evil-ran");
});

test("refuses to start when one byte of the embedded C library was changed", async () => {
  const bytes = readFileSync(alone.path);
  const library = readFileSync(join(import.meta.dir, "../../dist/native/libnodex.bin"));
  const at = bytes.indexOf(library.subarray(library.length >> 1, (library.length >> 1) + 256));
  expect(at).toBeGreaterThan(0);
  bytes[at + 100]! ^= 1;
  using damaged = new LoneExecutable();
  writeFileSync(damaged.path, bytes, { mode: 0o755 });
  const { code, stderr, stdout } = await damaged.run(["selftest"]);
  expect(code).not.toBe(0);
  expect(stdout + stderr).toContain("but was built as");
});

describe("run dht with a noexec TMPDIR", () => {
  test("serves redis-cli, leaves nothing in TMPDIR, stops cleanly on SIGTERM", async () => {
    using own = new LoneExecutable();
    writeFileSync(own.path, readFileSync(alone.path), { mode: 0o755 });
    const temporary = join(own.directory, "tmp");
    mkdirSync(temporary);
    // A mount of its own in a private namespace: nothing of it is left when the process ends.
    writeFileSync(join(own.directory, "dht.json"), '{ "port": 0, "respPort": 0, "dataDir": "data" }');
    const script = `mount -t tmpfs -o noexec tmpfs "${temporary}" && cd "${own.directory}" && ls -A tmp > before && exec env -i TMPDIR="${temporary}" ./node-x run dht --config dht.json`;
    const child = Bun.spawn(["unshare", "-m", "sh", "-c", script], { stdout: "pipe", stderr: "pipe" });
    try {
      const ports = await until("ports.json", () => {
        if (child.exitCode !== null) throw new Error(`ended with ${child.exitCode}`);
        try {
          return JSON.parse(readFileSync(join(own.directory, "data/ports.json"), "utf8")) as Record<
            string,
            number
          >;
        } catch {
          return undefined;
        }
      });
      const cli = (...words: string[]) =>
        Bun.spawnSync(["redis-cli", "-p", String(ports.respPort), ...words])
          .stdout.toString()
          .trim();
      expect(cli("set", "greeting", "hello")).toBe("OK");
      expect(cli("get", "greeting")).toBe("hello");
      const left = Bun.spawnSync([
        "nsenter",
        "-t",
        String(child.pid),
        "-m",
        "ls",
        "-A",
        temporary,
      ]).stdout.toString();
      expect(left).toBe("");
      child.kill("SIGTERM");
      expect(await child.exited).toBe(0);
    } finally {
      child.kill("SIGKILL");
    }
  });
});

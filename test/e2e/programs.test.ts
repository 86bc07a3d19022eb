/** The executable under the names of the original programs, as a symbolic link and as a copy. */
import { describe, expect, test } from "bun:test";
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { RedisClient } from "bun";
import { LoneExecutable, until } from "./executable.ts";

const ini = `[Server]
address = 127.0.0.1
port = 0
minval = 0x0000000000000000
maxval = 0x7fffffffffffffff
data_dir = data
unix_socket_path = dhtnode.socket
[Options_Memory]
size_limit = 0
[LOG.Root]
console = true
`;

/** Runs `path` to its end, or until it is killed with the directory. */
function run(alone: LoneExecutable, path: string, args: string[], environment: Record<string, string> = {}) {
  const child = Bun.spawn([path, ...args], {
    cwd: alone.directory,
    env: environment,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  return {
    child,
    ended: (async () => {
      const [stdout, stderr] = await Promise.all([
        new Response(child.stdout).text(),
        new Response(child.stderr).text(),
      ]);
      return { code: await child.exited, stdout, stderr };
    })(),
  };
}

describe("as dhtnode", () => {
  test.each(["link", "copy"])(
    "a %s runs the INI file in the foreground until SIGTERM",
    async (kind) => {
      using alone = await LoneExecutable.copy();
      const program = join(alone.directory, "dhtnode");
      if (kind === "link") symlinkSync("node-x", program);
      else copyFileSync(alone.path, program);
      mkdirSync(join(alone.directory, "etc"));
      writeFileSync(join(alone.directory, "etc/config.ini"), ini);
      // etc/config.ini is what it reads without any word.
      const { child, ended } = run(alone, program, [], { NODE_X_DHT_RESP_PORT: "0" });
      try {
        const { respPort } = await until("the node to serve", () => {
          if (child.exitCode !== null) throw new Error(`ended with ${child.exitCode}`);
          try {
            return JSON.parse(readFileSync(join(alone.directory, "data/ports.json"), "utf8")) as {
              respPort: number;
            };
          } catch {
            return undefined;
          }
        });
        const client = new RedisClient(`redis://127.0.0.1:${respPort}`);
        await client.set("greeting", "hello");
        expect(await client.get("greeting")).toBe("hello");
        client.close();
      } finally {
        child.kill("SIGTERM");
      }
      const { code, stderr } = await ended;
      expect(code).toBe(0);
      const note = "etc/config.ini:7:1: [Server] unix_socket_path has no effect";
      expect(stderr).toContain(note);
      const log = (name: string) => readFileSync(join(alone.directory, "log", name), "utf8");
    expect(log("root.log")).toContain(note);
    expect(log("version.log")).toMatch(/^\d{4}-.* node-x \S+ commit \S+ bun \S+\n$/);
    },
    60_000,
  );

  test("speaks only the protocol that it was asked for", async () => {
    using alone = await LoneExecutable.copy();
    writeFileSync(join(alone.directory, "config.ini"), ini);
    const shown = await alone.run(["config", "show", "config.ini"]);
    expect(shown.stdout).toContain("respPort\tnull");
  }, 60_000);

  test("takes the original's options and no other", async () => {
    using alone = await LoneExecutable.copy();
    const program = join(alone.directory, "dhtnode");
    symlinkSync("node-x", program);
    const call = (...args: string[]) => run(alone, program, args).ended;
    const version = await call("--version");
    expect([version.code, version.stdout]).toEqual([0, expect.stringMatching(/^dhtnode \(node-x /)]);
    expect((await call("--build-info")).stdout).toContain("disk formats");
    const help = await call("--help");
    expect([help.code, help.stdout]).toEqual([0, expect.stringContaining("  dhtnode [--config=FILE]…")]);
    expect(await call("--confg", "x")).toMatchObject({
      code: 64,
      stderr: expect.stringContaining('did you mean "--config"?)\nhint: `dhtnode --help` shows'),
    });
    expect(await call("run", "dht")).toMatchObject({ code: 64 });
    expect(await call("-c", "nowhere.ini")).toMatchObject({
      code: 78,
      stderr: expect.stringContaining("nowhere.ini: there is no such file"),
    });
    // The other name still means the whole command line.
    expect((await alone.run(["--version"])).stdout).toStartWith("node-x ");
  }, 60_000);
});

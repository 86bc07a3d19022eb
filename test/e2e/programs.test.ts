/** The executable under the names of the original programs, as a symbolic link and as a copy. */
import { afterEach, describe, expect, test } from "bun:test";
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { LegacyNode } from "../../src/channels/wire/legacy/client.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { ask } from "../core/sockets/text-client.ts";
import { TestServer } from "../channels/wire/legacy/server.ts";
import { LoneExecutable, until } from "./executable.ts";

const ini = `[Server]
address = 127.0.0.1
port = 0
minval = 0x0000000000000000
maxval = 0x7fffffffffffffff
data_dir = data
unix_socket_path = dhtnode.socket
cpu = 0
[Options_Memory]
size_limit = 0
[LOG.Root]
console = true
`;

const children: Bun.Subprocess[] = [];
afterEach(() => children.splice(0).forEach((child) => child.kill("SIGKILL")));

/** Runs `path` to its end, at most to that of the test. */
function run(alone: LoneExecutable, path: string, args: string[], environment: Record<string, string> = {}) {
  const child = Bun.spawn([path, ...args], {
    cwd: alone.directory,
    env: environment,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  children.push(child);
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

const note = "etc/config.ini:8:1: [Server] cpu has no effect";

/** Starts the program in the directory and connects a swarm client to it. */
async function serve(alone: LoneExecutable, program: string) {
  // That of an earlier run must not be taken for this one's.
  const portsFile = join(alone.directory, "data/ports.json");
  rmSync(portsFile, { force: true });
  const { child, ended } = run(alone, program, []);
  const port = await until("the node to serve", () => {
    if (child.exitCode !== null) throw new Error(`ended with ${child.exitCode}`);
    try {
      return (JSON.parse(readFileSync(portsFile, "utf8")) as { port: number }).port;
    } catch {
      return undefined;
    }
  });
  const client = await LegacyNode.connect(realWorld().net, { host: "127.0.0.1", port });
  const stop = () => {
    client.close();
    child.kill("SIGTERM");
    return ended;
  };
  const kill = () => {
    client.close();
    child.kill("SIGKILL");
    return ended;
  };
  return { client, stop, kill };
}

describe("as dhtdump", () => {
  const dumpIni = (port: number, more = "") =>
    `[Dht]\naddress = 127.0.0.1\nport = ${port}\n[Dump]\ndata_dir = data\n${more}[LOG.Root]\nconsole = true\n`;

  /** A node with some records, and a directory with the program beside its etc/ and data/. */
  async function setUp() {
    const server = await TestServer.start();
    const node = await server.node();
    for (let index = 0; index < 500; index++)
      await node.put("users", index.toString(16).padStart(16, "0"), `value ${index}`);
    const alone = await LoneExecutable.copy();
    const program = join(alone.directory, "dhtdump");
    symlinkSync("node-x", program);
    for (const name of ["etc", "data"]) mkdirSync(join(alone.directory, name));
    return { server, alone, program, file: (name: string) => join(alone.directory, name) };
  }

  test("one shot ends with 0 and leaves dumps, logs where the original has them", async () => {
    const { server, alone, program, file } = await setUp();
    await using _server = server;
    using _alone = alone;
    writeFileSync(file("etc/config.ini"), dumpIni(server.port));
    const { code, stderr } = await run(alone, program, ["-o"]).ended;
    expect([code, stderr]).toEqual([0, expect.stringContaining("dumped channel 'users' records=500")]);
    expect(readdirSync(file("data"))).toEqual(["users.tcm"]);
    expect(readFileSync(file("log/root.log"), "utf8")).toContain("the work is done: stopping");
    const listed = await alone.run(["tcm", "dump", "data/users.tcm"]);
    expect(listed.stdout.trim().split("\n")).toHaveLength(500);
  }, 120_000);

  test("killed again and again it leaves whole dumps only", async () => {
    const { server, alone, program, file } = await setUp();
    await using _server = server;
    using _alone = alone;
    writeFileSync(file("etc/config.ini"), dumpIni(server.port, "period_s = 1\nmin_wait_s = 0\n"));
    for (let life = 0; life < 8; life++) {
      rmSync(file("data/users.tcm.backup"), { force: true });
      const { child, ended } = run(alone, program, []);
      await until("a moment to die at", () => {
        if (child.exitCode !== null) throw new Error(`ended with ${child.exitCode}`);
        const names = readdirSync(file("data"));
        // Once a dump is there, in the middle of a further one; or when its backup shows that one has just ended.
        const isUnderWay =
          names.some((name) => name.endsWith(".dumping")) || names.includes("users.tcm.backup");
        return (life === 0 ? names.includes("users.tcm") : isUnderWay) ? true : undefined;
      });
      child.kill("SIGKILL");
      await ended;
      const checked = await alone.run(["tcm", "check", "--json", "data/users.tcm"]);
      expect({ life, ...JSON.parse(checked.stdout) }).toMatchObject({
        life,
        ok: true,
        files: [{ counts: { records: 500 } }],
      });
    }
  }, 120_000);
});

describe("as dhtnode", () => {
  test.each(["link", "copy"])(
    "a %s serves swarm clients, dumps at SIGTERM and loads again",
    async (kind) => {
      using alone = await LoneExecutable.copy();
      const program = join(alone.directory, "dhtnode");
      if (kind === "link") symlinkSync("node-x", program);
      else copyFileSync(alone.path, program);
      mkdirSync(join(alone.directory, "etc"));
      writeFileSync(join(alone.directory, "etc/config.ini"), ini);

      // etc/config.ini is what it reads without any word.
      const first = await serve(alone, program);
      await first.client.put("users", "0000000000000002", "hello");
      expect(await first.stop()).toMatchObject({ code: 0, stderr: expect.stringContaining(note) });
      expect(readdirSync(join(alone.directory, "data"))).toContain("users.tcm");
      const log = (name: string) => readFileSync(join(alone.directory, "log", name), "utf8");
      expect(log("root.log")).toContain(note);
      expect(log("version.log")).toMatch(/^\d{4}-.* node-x \S+ commit \S+ bun \S+\n$/);

      const second = await serve(alone, program);
      expect(String(await second.client.get("users", "0000000000000002"))).toBe("hello");
      expect(await second.stop()).toMatchObject({ code: 0 });
    },
    120_000,
  );

  test("answers at its unix socket, which a kill leaves and the next start replaces", async () => {
    using alone = await LoneExecutable.copy();
    const file = (name: string) => join(alone.directory, name);
    symlinkSync("node-x", file("dhtnode"));
    mkdirSync(file("etc"));
    const second = "[UNIX_SOCKET]\npath = files.socket\nmode = 0660\n";
    writeFileSync(file("etc/config.ini"), `${ini}${second}`);
    const credentials = (...users: string[]) =>
      writeFileSync(file("etc/credentials"), users.map((user) => `${user}:${"0f".repeat(128)}\n`).join(""), {
        mode: 0o600,
      });
    credentials("admin");
    const node = (text: string) => ask(file("dhtnode.socket"), text);

    const killed = await serve(alone, file("dhtnode"));
    expect(await node("list-credentials\n")).toBe("admin\n");
    credentials("admin", "another");
    expect(await node("list-credentials\nupdate-credentials\nlist-credentials\n")).toBe(
      "admin\nCredentials updated: 2 users.\nadmin\nanother\n",
    );
    writeFileSync(file("etc/credentials"), "nonsense\n");
    expect(await node("update-credentials\nlist-credentials\nsalute\n")).toMatch(
      /^Error: neo.credentialsFile: .*credentials:1: wanted name:hex .*\nadmin\nanother\nCommand not found: salute\n$/,
    );
    renameSync(file("log/root.log"), file("log/root.log.1"));
    expect(await ask(file("files.socket"), "reopen_files log/root.log\n")).toBe("ACK\n");
    expect(readFileSync(file("log/root.log"), "utf8")).toBe("");
    expect(await ask(file("files.socket"), "show_version\nupdate-credentials\nreopen_files x\n")).toMatch(
      /^node-x \S+ commit \S+ bun \S+\nCommand not found: update-credentials\nError: .*\/x is no log file of this process/,
    );
    expect(["dhtnode.socket", "files.socket"].map((name) => statSync(file(name)).mode & 0o777)).toEqual([
      0o600, 0o660,
    ]);

    await killed.kill();
    credentials("third");
    const next = await serve(alone, file("dhtnode"));
    expect(await node("list-credentials")).toBe("third\n");
    // A process that is told to stop before that ends at once, and leaves what a kill leaves.
    await until(
      "its start to end",
      () => readFileSync(file("log/root.log"), "utf8").includes("- ready") || undefined,
    );
    expect(await next.stop()).toMatchObject({ code: 0 });
    expect(readdirSync(alone.directory).filter((name) => name.endsWith(".socket"))).toEqual([]);
  }, 120_000);

  test("speaks only the protocol that it was asked for", async () => {
    using alone = await LoneExecutable.copy();
    writeFileSync(join(alone.directory, "config.ini"), ini);
    const shown = await alone.run(["config", "show", "config.ini"]);
    expect(shown.stdout).toContain("respPort\tnull");
  }, 120_000);

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
      stderr: expect.stringMatching(/nowhere\.ini: there is no such file\nhint: give the INI file of the program/),
    });
    // The other name still means the whole command line.
    expect((await alone.run(["--version"])).stdout).toStartWith("node-x ");
  }, 120_000);
});

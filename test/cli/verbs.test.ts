/** What the verbs do: check, init, config, health, doctor, selftest, tls, version, roles. */
import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { X509Certificate } from "node:crypto";
import { EFFECTS_FORMAT } from "../../src/channels/dht/log-format.ts";
import { SEGMENT_FORMAT } from "../../src/channels/logfiles/segments/format.ts";
import { LOGS_FORMAT } from "../../src/channels/logfiles/store/log-store.ts";
import { QUEUE_EFFECTS_FORMAT } from "../../src/channels/queue/log-format.ts";
import { PROTOCOL_VERSION as SWARM_VERSION } from "../../src/channels/wire/legacy/protocol.ts";
import { PROTOCOL_VERSION as NEO_VERSION } from "../../src/channels/wire/neo/messages.ts";
import { AGENT_PROTOCOL } from "../../src/cluster/agent/messages.ts";
import { LOG_FORMAT } from "../../src/core/append-log/frame.ts";
import { CLIENT_PROTOCOL_VERSION } from "../../src/reactive/client-wire/messages.ts";
import { PROTOCOL_VERSION as REPLICATION_VERSION } from "../../src/reactive/wire/frame.ts";
import { roleNames } from "../../src/roles.ts";
import { STATE_LOG_FORMAT } from "../../src/streams/checkpoint/records.ts";
import { cli, temporaryDirectory } from "./helpers.ts";

const directory = temporaryDirectory();
afterAll(() => directory.remove());
const cwd = directory.path;
const at = (name: string) => join(cwd, name);

describe("check", () => {
  test("accepts a good file and says where its data goes", async () => {
    writeFileSync(at("dht.json"), "{}");
    expect(await cli(["check", "dht.json"], { cwd })).toEqual({
      code: 0,
      stdout: `dht.json: ok (dht, data in ${at("dht")})\n`,
      stderr: "",
    });
  });

  test("lists the mistakes of all files and ends with 78", async () => {
    writeFileSync(at("bad.dht0.json"), '{ "respPort": -1 }');
    writeFileSync(at("bad.hub0.json"), '{ "port": "x" }');
    const { code, stdout } = await cli(["check", "bad", "dht.json"], { cwd });
    expect(code).toBe(78);
    expect(stdout.split("\n")).toEqual([
      "bad.dht0.json:1:15: respPort: wanted an integer from 0 to 65535 or null, got -1",
      'bad.hub0.json:1:11: port: wanted an integer from 0 to 65535, got "x"',
      "2 mistakes in 3 files",
      "",
    ]);
  });

  test("means by a prefix exactly its members", async () => {
    for (const name of ["p.dht0.json", "p.dht1.json", "p.hub0.json"])
      writeFileSync(at(name), name.includes("hub") ? '{ "port": 0 }' : '{ "port": 0, "respPort": 0 }');
    for (const name of ["pp.dht0.json", "p.dht0.json.bak", "p.other0.json", "p.x.dht0.json"])
      writeFileSync(at(name), "garbage");
    const { stdout } = await cli(["check", "p", "--json"], { cwd });
    expect(
      (JSON.parse(stdout) as { instances: { instance: string }[] }).instances.map(({ instance }) => instance),
    ).toEqual(["p.dht0", "p.dht1", "p.hub0"]);
  });

  test.each([["nowhere.json"], ["."]])("refuses %s with 78 and a hint", async (word) => {
    const { code, stderr } = await cli(["check", word], { cwd });
    expect(code).toBe(78);
    expect(stderr).toMatch(/^error: .*\nhint: .*\ncode: NX_CONFIG_UNREADABLE\n$/);
  });
});

describe("init", () => {
  test.each(roleNames.map((name) => [name]))(
    "writes a sample of %s that check accepts and that changes nothing",
    async (role) => {
      const target = at(`init-${role}`);
      expect((await cli(["init", role, target], { cwd })).code).toBe(0);
      expect((await cli(["check", join(target, `${role}.json`)], { cwd })).code).toBe(0);
      const { stdout } = await cli(["config", "show", "--json", join(target, `${role}.json`)], { cwd });
      const { keys } = JSON.parse(stdout) as { keys: { key: string; origin: string }[] };
      expect(keys.filter((key) => key.origin !== "default" && !key.origin.startsWith("file name"))).toEqual(
        [],
      );
    },
  );

  test("writes a sample that is still accepted with every key set to the value shown", async () => {
    await cli(["init", "dht", at("all")], { cwd });
    const text = readFileSync(at("all/dht.json"), "utf8").replace(/^(\s*)\/\/ (?="\w+":|\},)/gm, "$1");
    writeFileSync(at("all/dht.json"), text);
    const { code, stdout } = await cli(["check", "all/dht.json"], { cwd });
    // Only the files that the examples name are missing.
    const keys = stdout
      .split("\n")
      .filter((line) => line.includes("wanted"))
      .map((line) => /: ([\w.]+): wanted/.exec(line)?.[1]);
    expect({ code, keys }).toEqual({
      code: 78,
      keys: [
        "passwordFile",
        "neo.credentialsFile",
        "mirror.credentialsFile",
        "nodesCa",
        "adminTokenFile",
        "tls.cert",
        "tls.key",
        "tls.clientCa",
      ],
    });
  });

  test("writes a cluster whose instances fit together", async () => {
    expect((await cli(["init", "cluster", "c", "--prefix", "demo"], { cwd })).code).toBe(0);
    expect((await cli(["check", "c/demo"], { cwd })).code).toBe(0);
    expect(existsSync(at("c/schema/dht.json"))).toBe(true);
  });

  test("is content with identical files and refuses different ones, writing nothing", async () => {
    await cli(["init", "dht", "twice"], { cwd });
    expect(await cli(["init", "dht", "twice"], { cwd })).toEqual({
      code: 0,
      stdout: "",
      stderr: "nothing to write: all of it is there already\n",
    });
    await cli(["init", "cluster", "half"], { cwd });
    writeFileSync(at("half/local.dht1.json"), "{}");
    writeFileSync(at("half/local.hub0.json"), readFileSync(at("half/local.hub0.json"), "utf8"));
    const { code, stderr } = await cli(["init", "cluster", "half"], { cwd });
    expect({ code, stderr }).toMatchObject({
      code: 73,
      stderr: expect.stringContaining("code: NX_FILE_EXISTS"),
    });
    expect(readFileSync(at("half/local.dht1.json"), "utf8")).toBe("{}");
  });

  test("says so when it cannot write", async () => {
    writeFileSync(at("file"), "");
    const { code, stderr } = await cli(["init", "dht", "file/sub"], { cwd });
    expect(code).toBe(73);
    expect(stderr).toContain("code: NX_OUTPUT_FAILED");
  });
});

describe("config", () => {
  test("show --origin says where each value comes from", async () => {
    writeFileSync(at("o.dht0.json"), '{\n  "respPort": 7000\n}');
    const environment = { NODE_X_DHT_LOG_LEVEL: "warn" };
    const { code, stdout } = await cli(
      ["config", "show", "--origin", "o.dht0.json", "--set", "limits.connections=9"],
      { cwd, environment },
    );
    expect(code).toBe(0);
    const lines = stdout.split("\n");
    expect(lines).toContain("respPort\t7000\to.dht0.json:2:15");
    expect(lines).toContain('log.level\t"warn"\tenvironment NODE_X_DHT_LOG_LEVEL');
    expect(lines).toContain("limits.connections\t9\t--set limits.connections=9");
    expect(lines).toContain('durability\t"log"\tdefault');
    expect(lines).toContain(`dataDir\t"${at("o.dht0")}"\tdefault`);
  });

  test("explain of a key without its role tells which roles have it", async () => {
    const { code, stderr } = await cli(["config", "explain", "respPort"]);
    expect(code).toBe(64);
    expect(stderr).toContain('"respPort" is a key: say of which role');
    expect(stderr).toContain("node-x config explain dht.respPort | queue.respPort");
    expect((await cli(["config", "explain", "nothing"])).stderr).toContain("NX_ROLE_UNKNOWN");
  });

  test("explain shows everything about a key, and a whole group", async () => {
    const { stdout } = await cli(["config", "explain", "dht.limits.connections"]);
    for (const text of [
      "Connections open at once",
      "an integer from 1 to 1000000",
      "5000",
      "NODE_X_DHT_LIMITS_CONNECTIONS",
    ])
      expect(stdout).toContain(text);
    expect((await cli(["config", "explain", "dht.limits"])).stdout).toContain("limits.valueBytesMax");
  });

  test("schema prints JSON Schema that allows $schema and requires nothing", async () => {
    const schema = JSON.parse((await cli(["config", "schema", "dht"])).stdout) as {
      properties: object;
      required?: string[];
    };
    expect(Object.keys(schema.properties)).toContain("$schema");
    expect(schema.required).toBeUndefined();
  });

  test("errors of a file come with code and hint, all mistakes in the message", async () => {
    writeFileSync(at("e.dht0.json"), '{ "respPort": -1, "bogus": 2 }');
    const { code, stderr } = await cli(["config", "show", "e.dht0.json", "--json"], { cwd });
    const { error } = JSON.parse(stderr) as { error: { code: string; message: string } };
    expect({ code, error: error.code, lines: error.message.split("\n").length }).toEqual({
      code: 78,
      error: "NX_CONFIG_INVALID",
      lines: 2,
    });
  });
});

describe("health", () => {
  /** A real HTTP server on a unix socket, as an instance has. */
  async function withServer<Result>(
    answers: Record<string, () => Response | Promise<Response>>,
    use: (socket: string) => Promise<Result>,
  ): Promise<Result> {
    const socket = at(`h${Object.keys(answers).length}.sock`);
    const server = Bun.serve({
      unix: socket,
      fetch: (request) => answers[new URL(request.url).pathname]?.() ?? new Response("", { status: 404 }),
    });
    try {
      return await use(socket);
    } finally {
      await server.stop(true);
    }
  }
  const live = () => Response.json({ live: true });

  test("0 when ready", async () => {
    const result = await withServer(
      { "/livez": live, "/readyz": () => Response.json({ ready: true, reasons: [] }) },
      (socket) => cli(["health", "--socket", socket], { cwd }),
    );
    expect(result).toEqual({ code: 0, stdout: "ready\n", stderr: "" });
  });

  test("1 with the reasons when not ready", async () => {
    const readyz = () =>
      Response.json({ ready: false, reasons: ["replaying the log", "disk is full"] }, { status: 503 });
    const result = await withServer({ "/livez": live, "/readyz": readyz }, (socket) =>
      cli(["health", "--socket", socket], { cwd }),
    );
    expect(result.code).toBe(1);
    expect(result.stderr).toContain("not ready: replaying the log; disk is full");
    expect(result.stderr).toContain("code: NX_NOT_READY");
    const asJson = await withServer({ "/livez": live, "/readyz": readyz }, (socket) =>
      cli(["health", "--socket", socket, "--json"], { cwd }),
    );
    expect(JSON.parse(asJson.stdout)).toMatchObject({
      isAlive: true,
      isReady: false,
      reasons: ["replaying the log", "disk is full"],
    });
    expect(asJson.code).toBe(1);
  });

  test("waits until ready when asked to", async () => {
    let asked = 0;
    const readyz = () =>
      ++asked < 3
        ? Response.json({ reasons: ["starting"] }, { status: 503 })
        : Response.json({ reasons: [] });
    const result = await withServer({ "/livez": live, "/readyz": readyz }, (socket) =>
      cli(["health", "--socket", socket, "--wait-ms", "20000"], { cwd }),
    );
    expect({ code: result.code, asked }).toEqual({ code: 0, asked: 3 });
  });

  test("69 when nobody listens, by the configuration's data directory", async () => {
    writeFileSync(at("dead.dht0.json"), "{}");
    const { code, stderr } = await cli(["health", "-c", "dead.dht0.json"], { cwd });
    expect(code).toBe(69);
    expect(stderr).toStartWith(`error: ${at("dead.dht0/admin.sock")}: nobody listens on this socket\n`);
    expect(stderr).toContain("code: NX_NOT_RUNNING");
  });

  test("69 when an instance accepts and stays silent", async () => {
    const result = await withServer({ "/livez": () => new Promise<Response>(() => {}) }, (socket) =>
      cli(["health", "--socket", socket, "--timeout-ms", "50"], { cwd }),
    );
    expect(result.code).toBe(69);
    expect(result.stderr).toContain("no answer within 50 ms");
  });
});

describe("doctor", () => {
  test("judges this host, each finding with verdict and, unless ok, a fix", async () => {
    const { stdout } = await cli(["doctor", "--json"], { cwd });
    const { findings } = JSON.parse(stdout) as {
      findings: { name: string; verdict: string; found: string; fix?: string }[];
    };
    expect(findings.map(({ name }) => name)).toEqual([
      "nofile",
      "somaxconn",
      "thp",
      "overcommit",
      "memfd",
      "clock",
      "cpu",
      "glibc",
      "native",
      "fsync",
      "space",
    ]);
    for (const finding of findings) {
      expect(["ok", "warn", "fail"]).toContain(finding.verdict);
      expect(finding.found).not.toBe("");
      expect(finding.fix === undefined).toBe(finding.verdict === "ok");
    }
  });

  test("fails with 1 when a port of the configuration is taken", async () => {
    const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    writeFileSync(at("busy.dht0.json"), `{ "respPort": ${server.port} }`);
    const { code, stdout } = await cli(["doctor", "busy.dht0.json"], { cwd });
    server.stop();
    expect(code).toBe(1);
    expect(stdout).toContain(
      `fail\tport respPort\t127.0.0.1:${server.port} is in use\tstop what listens there`,
    );
  });

  test("fails when the connection limit exceeds the open files", async () => {
    writeFileSync(at("many.dht0.json"), '{ "respPort": 0, "limits": { "connections": 1000000 } }');
    const { code, stdout } = await cli(["doctor", "many.dht0.json"], { cwd });
    const limit = /^Max open files\s+(\S+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    if (limit !== "unlimited" && Number(limit) < 1_000_256) {
      expect(code).toBe(1);
      expect(stdout).toContain("fail\tnofile\t");
    }
  });
});

test("selftest passes here, line by line", async () => {
  const { code, stdout } = await cli(["selftest"]);
  expect(code).toBe(0);
  for (const line of stdout.trimEnd().split("\n")) expect(line).toStartWith("ok ");
});

test("roles lists every role with ports and promise", async () => {
  const listed = JSON.parse((await cli(["roles", "--json"])).stdout) as {
    name: string;
    ports: object;
    durability: string;
  }[];
  expect(listed.map(({ name }) => name)).toEqual([...roleNames]);
  expect(listed.find(({ name }) => name === "dht")).toMatchObject({ ports: { respPort: 10200 } });
  const onTerminal = await cli(["roles"], { isTty: true, environment: { NO_COLOR: "1" } });
  expect(onTerminal.stdout.split("\n")[0]).toMatch(/^ROLE,?\s+WHAT IT IS,?\s+DEFAULT PORTS/);
});

test("version names commit, formats, protocols and the native ABI", async () => {
  const version = JSON.parse((await cli(["version", "--json"])).stdout) as Record<string, unknown>;
  expect(Object.keys(version)).toEqual([
    "name",
    "version",
    "commit",
    "bun",
    "nativeAbi",
    "sha256",
    "platform",
    "diskFormats",
    "protocols",
  ]);
  // What is named is what the families' own constants say; `version` does not load them.
  expect(version["diskFormats"]).toMatchObject({
    log: { writes: LOG_FORMAT },
    effects: { writes: EFFECTS_FORMAT },
    queueEffects: { writes: QUEUE_EFFECTS_FORMAT },
    logfilesRecords: { writes: LOGS_FORMAT },
    logfilesSegments: { writes: SEGMENT_FORMAT },
    streamState: { writes: STATE_LOG_FORMAT },
  });
  expect(version["protocols"]).toMatchObject({
    swarm: SWARM_VERSION,
    neo: NEO_VERSION,
    replication: REPLICATION_VERSION,
    frontendClient: CLIENT_PROTOCOL_VERSION,
    agent: AGENT_PROTOCOL,
  });
  expect((await cli(["--version"])).stdout).toMatch(/^node-x \S+ \(\S+\)\n$/);
});

describe("tls", () => {
  const openssl = Bun.which("openssl");
  const verify = (name: string) =>
    Bun.spawnSync(
      ["openssl", "verify", "-CAfile", "tls/ca.crt", "-purpose", "sslserver", `tls/${name}.crt`],
      { cwd },
    ).exitCode;

  test("makes an authority with a private key file, once", async () => {
    expect((await cli(["tls", "ca"], { cwd })).code).toBe(0);
    expect(statSync(at("tls/ca.key")).mode & 0o777).toBe(0o600);
    expect(statSync(at("tls")).mode & 0o077).toBe(0);
    expect(await cli(["tls", "ca"], { cwd })).toMatchObject({
      code: 73,
      stderr: expect.stringContaining("NX_FILE_EXISTS"),
    });
  });

  test("issues certificates that openssl accepts, with identity first and hosts", async () => {
    expect(
      (await cli(["tls", "issue", "local.dht0", "--host", "127.0.0.1", "--host", "localhost"], { cwd })).code,
    ).toBe(0);
    const certificate = new X509Certificate(readFileSync(at("tls/local.dht0.crt")));
    expect(certificate.subjectAltName).toBe("URI:node-x:local.dht0, IP Address:127.0.0.1, DNS:localhost");
    expect(statSync(at("tls/local.dht0.key")).mode & 0o777).toBe(0o600);
    if (openssl !== null) expect(verify("local.dht0")).toBe(0);
  });

  test("the pair it issues is a valid tls group", async () => {
    writeFileSync(
      at("t.dht0.json"),
      '{ "tls": { "cert": "tls/local.dht0.crt", "key": "tls/local.dht0.key", "clientCa": "tls/ca.crt" } }',
    );
    expect((await cli(["check", "t.dht0.json"], { cwd })).code).toBe(0);
  });

  test("rotates what ends soon, with a new key and the same names, and keeps the rest", async () => {
    await cli(["tls", "issue", "short", "--days", "10", "--host", "localhost"], { cwd });
    const before = readFileSync(at("tls/short.key"), "utf8");
    const kept = readFileSync(at("tls/local.dht0.key"), "utf8");
    const { stdout } = await cli(["tls", "rotate"], { cwd });
    expect(stdout).toMatch(/^local\.dht0\tkept\t.*\nshort\trotated\t.*\n$/);
    expect(readFileSync(at("tls/short.key"), "utf8")).not.toBe(before);
    expect(readFileSync(at("tls/local.dht0.key"), "utf8")).toBe(kept);
    expect(new X509Certificate(readFileSync(at("tls/short.crt"))).subjectAltName).toBe(
      "URI:node-x:short, DNS:localhost",
    );
    if (openssl !== null) expect(verify("short")).toBe(0);
  });

  test("rotate mends a pair that a crash left half changed", async () => {
    await cli(["tls", "issue", "torn", "--days", "90"], { cwd });
    writeFileSync(at("tls/torn.key"), readFileSync(at("tls/short.key")));
    expect((await cli(["tls", "rotate"], { cwd })).stdout).toContain("torn\trotated");
    expect((await cli(["tls", "rotate"], { cwd })).stdout).toContain("torn\tkept");
  });

  test.each(["../evil", "a/b", "ca", "", ".hidden"])("refuses the name %p", async (name) => {
    expect((await cli(["tls", "issue", name], { cwd })).code).toBe(64);
  });

  test("refuses an authority key that others can read", async () => {
    chmodSync(at("tls/ca.key"), 0o644);
    const { code, stderr } = await cli(["tls", "issue", "other"], { cwd });
    chmodSync(at("tls/ca.key"), 0o600);
    expect({ code, stderr }).toMatchObject({
      code: 78,
      stderr: expect.stringContaining("NX_SECRET_UNUSABLE"),
    });
    expect(existsSync(at("tls/other.crt"))).toBe(false);
  });
});

test("at a terminal no line of a table is wider than it: the last column is broken, or each row is a paragraph", async () => {
  const widest = async (words: string[]) => {
    const { stdout } = await cli(words, { isTty: true, environment: { NO_COLOR: "1" } });
    return { stdout, columns: Math.max(...stdout.split("\n").map((line) => Bun.stringWidth(line))) };
  };
  const roles = await widest(["roles"]);
  expect(roles.columns).toBeLessThanOrEqual(100);
  expect(roles.stdout).toContain("dht\n    Key/value store for swarm and Redis clients\n    port 10000, respPort 10200\n");
  const keys = await widest(["config", "explain", "dht"]);
  expect(keys.columns).toBeLessThanOrEqual(100);
  expect(keys.stdout).toMatch(/^KEY +DEFAULT +MEANING$/m);
});

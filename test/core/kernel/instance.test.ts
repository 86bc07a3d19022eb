/** An instance in this process: its states, its admin endpoint, its directory. */
import { afterEach, describe, expect, test } from "bun:test";
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Instance } from "../../../src/core/kernel/instance.ts";
import { formatText, logOutput } from "../../../src/core/logging/log.ts";
import { type Clock, realClock } from "../../../src/core/seams/clock.ts";
import { realWorld } from "../../../src/core/seams/world-real.ts";
import { createEcho } from "./echo-role.ts";
import { askAdmin, connectRaw, startEcho, TestDirectory, until, type TestInstance } from "./harness.ts";

const running: TestInstance[] = [];
const start = async (...options: Parameters<typeof startEcho>) => {
  const started = await startEcho(...options);
  running.push(started);
  return started;
};
afterEach(async () => {
  for (const instance of running.splice(0)) await instance[Symbol.asyncDispose]();
});

const silent = () => logOutput("fatal", []);
const startIn = async (directory: TestDirectory) =>
  Instance.start(createEcho(), await directory.load(), {
    world: realWorld(),
    logOutput: silent(),
    onFatal: () => {},
  });

describe("an instance", () => {
  test("serves, and tells its port in ports.json and /stats", async () => {
    const { instance, directory, admin } = await start();
    const { port } = JSON.parse(directory.read("ports.json"));
    expect(port).toBe(instance.ports.port);
    const client = await connectRaw(port);
    client.socket.write("hello");
    await until("the echo", () => (client.received === "hello" ? true : undefined));
    client.socket.end();
    const stats = await (await admin("/stats")).json();
    expect(stats).toMatchObject({
      instance: "echo",
      role: "echo",
      state: "ready",
      ready: true,
      reasons: [],
      ports: { port },
      keyFigure: "5 bytes",
      echo: { bytes: 5 },
    });
    expect(stats.process.rssBytes).toBeGreaterThan(1e6);
  });

  test("says what it is doing while it starts, and becomes ready", async () => {
    using directory = new TestDirectory().configure({});
    let release = () => {};
    const hold = new Promise<void>((resolve) => (release = resolve));
    const options = { world: realWorld(), logOutput: silent(), onFatal: () => {} };
    const starting = Instance.start(createEcho({ hold }), await directory.load(), options);
    const early = await until("the admin socket", () =>
      askAdmin(directory, "/readyz").catch(() => undefined),
    );
    expect(early.status).toBe(503);
    expect(await early.json()).toEqual({
      ready: false,
      state: "starting",
      reasons: ["loading echoes: 37 %"],
    });
    expect((await askAdmin(directory, "/livez")).status).toBe(200);
    const page = await askAdmin(directory, "/echo/bytes");
    expect(page.status).toBe(503);
    expect(await page.json()).toEqual({ error: "it is still starting: loading echoes: 37 %" });
    release();
    const instance = await starting;
    expect((await askAdmin(directory, "/readyz")).status).toBe(200);
    await instance.stop();
  });

  test("shows the role's own reasons at /readyz", async () => {
    const { admin } = await start({ config: { greeting: 13 } });
    const response = await admin("/readyz");
    expect(response.status).toBe(503);
    expect((await response.json()).reasons).toEqual(["13 is not a good number"]);
  });

  test("is not ready before its listener closes, and answers on the admin socket while draining", async () => {
    // The drain is over when the test says so, not after a time that a busy machine could miss.
    const drainMs = 3_600_000;
    let endDrain = () => {};
    const clock: Clock = {
      ...realClock,
      after(delayMs, task) {
        if (delayMs !== drainMs) return realClock.after(delayMs, task);
        endDrain = task;
        return { cancel: () => {} };
      },
    };
    const config = { drainMs, shutdownTimeoutMs: 2 * drainMs };
    const { instance, directory } = await start({ config, world: { clock } });
    const { port } = instance.ports;
    const stopping = instance.stop();
    expect(instance.state).toBe("draining");
    const response = await askAdmin(directory, "/readyz");
    expect(await response.json()).toEqual({ ready: false, state: "draining", reasons: ["shutting down"] });
    const client = await connectRaw(port as number); // the listener is still there
    client.socket.end();
    endDrain();
    expect(await stopping).toBe(true);
    expect(instance.state).toBe("stopped");
    await expect(connectRaw(port as number)).rejects.toThrow();
  });

  test("a stop or a drain that comes before it is ready waits for the start, then reaches the role", async () => {
    for (const end of ["stop", "drain"] as const) {
      using directory = new TestDirectory().configure({});
      let release = () => {};
      const holdServing = new Promise<void>((resolve) => (release = resolve));
      const lines: string[] = [];
      const instance = Instance.begin(createEcho({ holdServing }), await directory.load(), {
        world: realWorld(),
        logOutput: logOutput("info", [{ sink: { write: (line) => lines.push(line) }, format: formatText }]),
        onFatal: () => {},
      });
      await until("the listener", () => (instance.serves ? true : undefined));
      const ending = instance[end]();
      expect(instance.state).toBe("starting");
      release();
      await ending;
      await instance.started;
      expect(lines.filter((line) => line.includes("draining begins"))).toHaveLength(1);
      expect(instance.state).toBe(end === "stop" ? "stopped" : "draining");
      await instance.stop();
      await expect(connectRaw(instance.ports.port as number)).rejects.toThrow();
    }
  });

  test("drains on request, says so, serves its admin endpoint on, and stops later", async () => {
    const { instance, admin, directory, lines } = await start();
    const drain = () =>
      fetch("http://localhost/drain", {
        method: "POST",
        unix: `${directory.dataDir}/admin.sock`,
      } as RequestInit);
    expect(await (await drain()).json()).toEqual({ state: "draining" });
    expect((await (await admin("/readyz")).json()).reasons).toEqual(["draining"]);
    expect((await drain()).status).toBe(200);
    expect(await instance.stop()).toBe(true);
    expect(lines.filter((line) => line.includes("draining begins"))).toHaveLength(1);
  });

  test("a shutdown that hangs is cut short at its deadline", async () => {
    const { instance, lines } = await start({ config: { drainMs: 3_600_000, shutdownTimeoutMs: 50 } });
    expect(await instance.stop()).toBe(false);
    expect(lines.join("\n")).toContain("shutdown took longer than 50 ms and was cut short");
  });

  test("closes everything again when starting fails half-way", async () => {
    const first = await start();
    using directory = new TestDirectory().configure({ port: first.instance.ports.port });
    await expect(startIn(directory)).rejects.toMatchObject({ code: "NX_LISTEN_IN_USE" });
    // The lock and the admin socket are free again: the same directory serves at once.
    directory.configure({});
    const second = await startIn(directory);
    expect(second.state).toBe("ready");
    await second.stop();
  });

  test("makes its directory private", async () => {
    const { directory } = await start();
    expect(statSync(directory.dataDir).mode & 0o777).toBe(0o700);
    expect(statSync(join(directory.dataDir, "admin.sock")).mode & 0o777).toBe(0o600);
  });

  test("refuses a second instance in the same directory and names the owner's pid", async () => {
    const { directory } = await start();
    await expect(startIn(directory)).rejects.toMatchObject({
      code: "NX_DATA_DIR_LOCKED",
      message: expect.stringContaining(`process ${process.pid}`),
    });
  });

  test("replaces the socket file that a killed process left, and its ports", async () => {
    using directory = new TestDirectory().configure({});
    mkdirSync(directory.dataDir, { mode: 0o700 });
    writeFileSync(join(directory.dataDir, "admin.sock"), "");
    writeFileSync(join(directory.dataDir, "ports.json"), '{"port":1}');
    const instance = await startIn(directory);
    expect((await askAdmin(directory, "/readyz")).status).toBe(200);
    expect(JSON.parse(directory.read("ports.json")).port).toBe(instance.ports.port);
    await instance.stop();
  });

  test("says which path is too long for a socket", async () => {
    using directory = new TestDirectory();
    directory.configure({ dataDir: join(directory.path, "x".repeat(120)) });
    await expect(startIn(directory)).rejects.toMatchObject({
      code: "NX_DATA_DIR_UNUSABLE",
      message: expect.stringContaining("107 bytes"),
    });
  });

  test("says so when the data directory is a file", async () => {
    using directory = new TestDirectory().configure({});
    writeFileSync(directory.dataDir, "");
    await expect(startIn(directory)).rejects.toMatchObject({
      code: "NX_DATA_DIR_UNUSABLE",
      message: expect.stringContaining(directory.dataDir),
    });
  });
});

describe("the admin endpoint", () => {
  test("serves Prometheus text with the process' figures", async () => {
    const { admin } = await start();
    const response = await admin("/metrics");
    expect(response.headers.get("content-type")).toContain("text/plain; version=0.0.4");
    const text = await response.text();
    expect(text).toMatch(/^process_resident_memory_bytes\{instance="echo",role="echo"\} \d{7,}$/m);
    expect(text).toMatch(/^node_x_ready\{[^}]*\} 1$/m);
    expect(text).toMatch(/^node_x_event_loop_lag_p99_seconds\{[^}]*\} [\d.e-]+$/m);
    expect(text).toMatch(/^node_x_log_lines_total\{level="info",[^}]*\} [1-9]/m);
  });

  test("shows keys with origins, and a secret only as the name of its file", async () => {
    using secrets = new TestDirectory();
    const tokenFile = join(secrets.path, "token");
    writeFileSync(tokenFile, "hunter2hunter2\n", { mode: 0o600 });
    const { admin } = await start({ config: { adminPort: 0, adminTokenFile: tokenFile } });
    const text = await (await admin("/config")).text();
    expect(text).not.toContain("hunter2");
    const keys: { key: string; value: unknown; origin: string }[] = JSON.parse(text);
    expect(keys.find(({ key }) => key === "adminTokenFile")?.value).toBe(tokenFile);
    expect(keys.find(({ key }) => key === "drainMs")).toMatchObject({ value: 0, origin: "default" });
    expect(keys.find(({ key }) => key === "adminPort")?.origin).toContain("echo.json:1:");
  });

  test("on TCP demands the token of adminTokenFile, also for unknown pages", async () => {
    using secrets = new TestDirectory();
    const tokenFile = join(secrets.path, "token");
    writeFileSync(tokenFile, "correct-horse\n", { mode: 0o600 });
    const { instance } = await start({ config: { adminPort: 0, adminTokenFile: tokenFile } });
    const ask = (path: string, token?: string) =>
      fetch(
        `http://127.0.0.1:${instance.ports.adminPort}${path}`,
        token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } },
      );
    expect((await ask("/stats")).status).toBe(401);
    expect((await ask("/stats", "correct-hors")).status).toBe(401);
    expect((await ask("/nothing")).status).toBe(401);
    expect((await ask("/stats", "correct-horse")).status).toBe(200);
    expect((await ask("/nothing", "correct-horse")).status).toBe(404);
  });

  test("serves the role's own pages; one that fails is a 500 and a line in the log, and unknown ones are 404", async () => {
    const { admin, lines } = await start();
    expect(await (await admin("/echo/bytes")).text()).toBe("0");
    const failed = await admin("/echo/boom");
    expect(failed.status).toBe(500);
    expect(await failed.text()).not.toContain("defect");
    await until("the log line", () => lines.find((line) => line.includes('reason="a page with a defect"')));
    const unknown = await admin("/nothing");
    expect([unknown.status, await unknown.text()]).toEqual([404, "no such page: /nothing; see /\n"]);
    expect((await admin("/livez")).status).toBe(200);
    const pages = (await (await admin("/")).text()).split("\n");
    expect(pages).toContain("POST /drain");
    expect(pages).toContain("GET /echo/bytes");
  });

  test("another method than a page's own is 405, with those that it takes", async () => {
    const { instance } = await start({ config: { adminPort: 0 } });
    for (const [path, method, allow] of [
      ["/livez", "POST", "GET"],
      ["/drain", "GET", "POST"],
      ["/echo/bytes", "DELETE", "GET"],
    ] as const) {
      const response = await fetch(`http://127.0.0.1:${instance.ports.adminPort}${path}`, { method });
      expect([path, response.status, response.headers.get("allow")]).toEqual([path, 405, allow]);
    }
    expect(instance.state).toBe("ready");
  });

  test("on TCP without a token, a web page can neither change anything nor read under a rebound name", async () => {
    const { instance } = await start({ config: { adminPort: 0 } });
    const ask = async (path: string, init: RequestInit) =>
      (await fetch(`http://127.0.0.1:${instance.ports.adminPort}${path}`, init)).status;
    expect(await ask("/drain", { method: "POST", headers: { origin: "http://evil.example" } })).toBe(403);
    expect(await ask("/drain", { method: "POST", headers: { origin: "null" } })).toBe(403);
    expect(await ask("/config", { headers: { host: "evil.example" } })).toBe(421);
    expect(instance.state).toBe("ready");
    expect(await ask("/drain", { method: "POST" })).toBe(200);
  });

  test("is refused beyond loopback without token and TLS", async () => {
    using directory = new TestDirectory().configure({ adminPort: 0, adminHost: "0.0.0.0" });
    await expect(directory.load()).rejects.toMatchObject({
      code: "NX_CONFIG_INVALID",
      message: expect.stringContaining("adminTokenFile and tls"),
    });
  });
});

describe("a reload", () => {
  const reloadTo = async ({ instance, directory }: TestInstance, config: Record<string, unknown>) =>
    instance.reload(await directory.configure(config).load());

  test("applies reloadable keys", async () => {
    const started = await start();
    const changes = await reloadTo(started, { greeting: 13, log: { level: "error" } });
    expect(changes.map(({ key }) => key).sort()).toEqual(["greeting", "log.level"]);
    expect(started.instance.reasons()).toEqual(["13 is not a good number"]);
  });

  test("refuses all of it, with a line per key, when one key needs a restart", async () => {
    const started = await start();
    const refused = reloadTo(started, { greeting: 13, port: 12345, host: "127.0.0.2" });
    await expect(refused).rejects.toMatchObject({ code: "NX_CONFIG_NOT_RELOADABLE" });
    const message = await refused.catch((error: Error) => error.message);
    expect(message).toContain("port: 0 -> 12345");
    expect(message).toContain('host: "127.0.0.1" -> "127.0.0.2"');
    expect(started.instance.reasons()).toEqual([]);
  });

  test("puts the old configuration back when the role fails to apply the new one", async () => {
    const started = await start({ config: { greeting: 13 } });
    await expect(reloadTo(started, { greeting: 666 })).rejects.toThrow("this number is refused");
    expect(started.instance.reasons()).toEqual(["13 is not a good number"]);
    await reloadTo(started, { greeting: 1 });
    expect(started.instance.reasons()).toEqual([]);
  });

  test("waits for the one before it", async () => {
    const started = await start();
    const results = await Promise.allSettled([
      reloadTo(started, { greeting: 13 }),
      reloadTo(started, { greeting: 1 }),
    ]);
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled"]);
    expect(started.instance.reasons()).toEqual([]);
  });
});

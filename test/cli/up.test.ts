/** `node-x up` as a process: a cluster of three on free ports. */
import { afterEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RedisClient } from "bun";
import { until } from "../core/kernel/harness.ts";
import { mainFile } from "./helpers.ts";

class Up implements AsyncDisposable {
  readonly cwd = mkdtempSync(join(tmpdir(), "node-x-up-"));
  stdout = "";
  stderr = "";
  #child: Bun.Subprocess<"ignore", "pipe", "pipe"> | undefined;
  #read: Promise<unknown> = Promise.resolve();

  configure(name: string, config: Record<string, unknown>): this {
    mkdirSync(join(this.cwd, "configs"), { recursive: true });
    writeFileSync(join(this.cwd, "configs", name), JSON.stringify(config));
    return this;
  }

  /** Two nodes and their page, on free ports. */
  cluster(): this {
    this.configure("local.dht0.json", { dataDir: "data/dht0", port: 0, respPort: 0 });
    this.configure("local.dht1.json", { dataDir: "data/dht1", port: 0, respPort: 0 });
    return this.configure("local.hub0.json", {
      dataDir: "data/hub0",
      port: 0,
      metricsPort: 0,
      instances: ["data/dht0", "data/dht1"],
    });
  }

  start(...words: string[]): this {
    const child = Bun.spawn([process.execPath, mainFile, "up", ...words], {
      cwd: this.cwd,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    this.#child = child;
    const collect = async (stream: ReadableStream<Uint8Array>, add: (text: string) => void) => {
      for await (const chunk of stream) add(new TextDecoder().decode(chunk));
    };
    this.#read = Promise.all([
      collect(child.stdout, (text) => (this.stdout += text)),
      collect(child.stderr, (text) => (this.stderr += text)),
    ]);
    return this;
  }

  async ready(): Promise<string> {
    return until("the banner", () => {
      if (this.#child?.exitCode != null)
        throw new Error(`ended with ${this.#child.exitCode}: ${this.stderr}`);
      return this.stdout.includes("Ctrl-C stops") ? this.stdout : undefined;
    });
  }

  kill(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  async ended(): Promise<number> {
    const code = (await this.#child?.exited) ?? -1;
    await this.#read;
    return code;
  }

  port(name: string, key: string): number {
    return JSON.parse(readFileSync(join(this.cwd, "data", name, "ports.json"), "utf8"))[key];
  }

  pid(name: string): number {
    return Number(readFileSync(join(this.cwd, "data", name, "lock"), "utf8"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill("SIGKILL"); // its children end with it
    await this.ended();
    rmSync(this.cwd, { recursive: true, force: true });
  }
}

let current: Up | undefined;
afterEach(async () => {
  await current?.[Symbol.asyncDispose]();
  current = undefined;
});
const up = () => (current = new Up());

test("starts all, says where to look, and stops in reverse order", async () => {
  const cluster = up().cluster().start();
  const banner = await cluster.ready();
  expect(banner).toContain("3 instances are ready");
  expect(banner).toContain(`redis-cli -h 127.0.0.1 -p ${cluster.port("dht1", "respPort")}`);
  expect(banner).toContain(`All of it on one page: http://127.0.0.1:${cluster.port("hub0", "port")}/\n`);
  const client = new RedisClient(`redis://127.0.0.1:${cluster.port("dht0", "respPort")}`);
  await client.set("greeting", "hello");
  client.close();
  await until("the page to show both as ready", async () => {
    const page = await fetch(`http://127.0.0.1:${cluster.port("hub0", "port")}/api/instances`);
    const conditions = ((await page.json()) as { condition: string }[]).map(({ condition }) => condition);
    return Bun.deepEquals(conditions, ["ready", "ready"]) ? true : undefined;
  });
  cluster.kill("SIGINT");
  expect(await cluster.ended()).toBe(0);
  expect(cluster.stderr.match(/up: stopping .*/g)).toEqual([
    "up: stopping local.hub0",
    "up: stopping local.dht1",
    "up: stopping local.dht0",
  ]);
  expect(cluster.stderr.match(/^local\.\w+ +\| .* - stopped$/gm)).toHaveLength(3);
});

test("restarts an instance that was killed; its data is there", async () => {
  const cluster = up().cluster().start();
  await cluster.ready();
  const write = new RedisClient(`redis://127.0.0.1:${cluster.port("dht0", "respPort")}`);
  await write.set("greeting", "hello");
  write.close();
  const pid = cluster.pid("dht0");
  process.kill(pid, "SIGKILL");
  // The file of ports may still be the killed one's: only an answer tells that the new one serves.
  await until("the record from another process", () => {
    try {
      if (cluster.pid("dht0") === pid) return undefined;
      const port = `${cluster.port("dht0", "respPort")}`;
      const { stdout } = Bun.spawnSync(["redis-cli", "-p", port, "GET", "greeting"]);
      return stdout.toString() === "hello\n" ? true : undefined;
    } catch {
      return undefined;
    }
  });
  expect(cluster.stderr).toContain("up: local.dht0 ended by SIGKILL; restarting in 0.5 s");
});

test("its children end with it, even when it is killed", async () => {
  const cluster = up().cluster().start();
  await cluster.ready();
  const pids = ["dht0", "dht1", "hub0"].map((name) => cluster.pid(name));
  cluster.kill("SIGKILL");
  await until("their end", () => (pids.every((pid) => !existsSync(`/proc/${pid}`)) ? true : undefined));
  expect(readFileSync(join(cluster.cwd, "data/dht0/log/root.log"), "utf8")).toMatch(/- stopped\n$/);
});

test("a taken port is one clear sentence before anything starts", async () => {
  const squatter = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const cluster = up().cluster();
  cluster.configure("local.dht1.json", { dataDir: "data/dht1", port: 0, respPort: squatter.port }).start();
  expect(await cluster.ended()).toBe(69);
  expect(cluster.stderr).toContain(
    `local.dht1 cannot start: 127.0.0.1:${squatter.port} is in use (respPort in configs/local.dht1.json)`,
  );
  expect(cluster.stderr).toContain(`ss -ltnp 'sport = :${squatter.port}'`);
  expect(existsSync(join(cluster.cwd, "data"))).toBe(false);
  squatter.stop();
});

test("a second `up` of the same cluster says that it runs already", async () => {
  const cluster = up().cluster().start();
  await cluster.ready();
  const second = Bun.spawnSync([process.execPath, mainFile, "up"], { cwd: cluster.cwd });
  expect(second.exitCode).toBe(75);
  expect(second.stderr.toString()).toContain("local.dht0 is already running");
});

test("`status` shows what `up` runs, and that it was not deployed", async () => {
  const cluster = up().cluster().start();
  await cluster.ready();
  const words = [process.execPath, mainFile, "status", "configs/local", "--json"];
  const status = () => Bun.spawnSync(words, { cwd: cluster.cwd });
  const { exitCode, stdout } = status();
  const [row] = JSON.parse(stdout.toString());
  expect([exitCode, row.state, row.isReady, row.pid]).toEqual([
    0,
    "running",
    true,
    cluster.pid(row.instance.slice("local.".length)),
  ]);
  expect(row.reasons).toEqual(["not deployed: run by `node-x up` or by hand"]);
  cluster.kill("SIGINT");
  await cluster.ended();
  const after = status();
  expect([after.exitCode, JSON.parse(after.stdout.toString())[0].state]).toEqual([1, "absent"]);
}, 60_000);

test("when one instance cannot start, the others are stopped and its lines say why", async () => {
  const cluster = up().cluster();
  mkdirSync(join(cluster.cwd, "data"));
  writeFileSync(join(cluster.cwd, "data/dht1"), "a file where a directory should be");
  cluster.start();
  expect(await cluster.ended()).toBe(1);
  expect(cluster.stderr).toContain("local.dht1 could not start: it ended with exit code 73");
  expect(cluster.stderr).toMatch(/local\.dht1 \| .*NX_DATA_DIR_UNUSABLE/);
  // It was asked to stop while it started or after: either way its process is gone.
  expect(existsSync(join(cluster.cwd, "data/dht0/lock")) && existsSync(`/proc/${cluster.pid("dht0")}`)).toBe(
    false,
  );
});

test("mistakes of all files are listed at once, and nothing starts", async () => {
  const cluster = up().cluster();
  cluster.configure("local.dht0.json", { respPrt: 1 }).configure("local.hub0.json", { port: "x" }).start();
  expect(await cluster.ended()).toBe(78);
  expect(cluster.stderr).toContain("respPrt");
  expect(cluster.stderr).toContain("local.hub0.json:1:");
});

test("an unknown prefix is an error that says what was looked for", async () => {
  const cluster = up().start("configs/staging");
  expect(await cluster.ended()).toBe(78);
  expect(cluster.stderr).toContain("staging.<role><n>.json");
});

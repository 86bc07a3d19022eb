/** `run`, `health` and `doctor` against a real instance in a process of its own. */
import { afterAll, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { RedisClient } from "bun";
import { cli, mainFile, temporaryDirectory } from "./helpers.ts";

const directory = temporaryDirectory();
afterAll(() => directory.remove());
const cwd = directory.path;

function start(...words: string[]) {
  return Bun.spawn([process.execPath, mainFile, "run", ...words], { cwd, stdout: "pipe", stderr: "pipe" });
}

test("an instance becomes ready, serves, keeps its directory to itself, and stops with 0", async () => {
  const file = join(cwd, "run.dht0.json");
  writeFileSync(file, '{ "port": 0, "respPort": 0 }');
  const child = start("dht", "-c", "run.dht0.json", "--set", "log.console=off");
  try {
    const health = await cli(["health", "-c", "run.dht0.json", "--wait-ms", "20000"], { cwd });
    expect(health).toEqual({ code: 0, stdout: "ready\n", stderr: "" });
    const { respPort } = JSON.parse(readFileSync(join(cwd, "run.dht0/ports.json"), "utf8")) as {
      respPort: number;
    };
    const client = new RedisClient(`redis://127.0.0.1:${respPort}`);
    await client.set("key", "value");
    expect(await client.get("key")).toBe("value");
    client.close();
    const doctor = await cli(["doctor", "run.dht0.json", "--set", `respPort=${respPort}`], { cwd });
    expect(doctor).toMatchObject({
      code: 1,
      stdout: expect.stringContaining(`127.0.0.1:${respPort} is in use`),
    });

    const second = start("dht", "-c", "run.dht0.json");
    expect(await second.exited).toBe(75);
    expect(await new Response(second.stderr).text()).toContain("code: NX_DATA_DIR_LOCKED");
  } finally {
    child.kill("SIGTERM");
  }
  expect(await child.exited).toBe(0);
  expect((await cli(["health", "-c", "run.dht0.json"], { cwd })).code).toBe(69);
}, 60_000);

test("an instance survives that the reader of its standard error goes away", async () => {
  writeFileSync(join(cwd, "pipe.dht0.json"), '{ "port": 0, "respPort": 0, "log": { "console": "text" } }');
  const child = start("dht", "-c", "pipe.dht0.json");
  const reader = child.stderr.getReader();
  await reader.read();
  await reader.cancel();
  try {
    expect((await cli(["health", "-c", "pipe.dht0.json", "--wait-ms", "20000"], { cwd })).code).toBe(0);
    child.kill("SIGHUP"); // makes it write more lines
    const isReloaded = () =>
      readFileSync(join(cwd, "pipe.dht0/log/root.log"), "utf8").includes("configuration read again");
    while (!isReloaded()) expect((await cli(["health", "-c", "pipe.dht0.json"], { cwd })).code).toBe(0);
    expect((await cli(["health", "-c", "pipe.dht0.json"], { cwd })).code).toBe(0);
  } finally {
    child.kill("SIGTERM");
  }
  expect(await child.exited).toBe(0);
}, 60_000);

test("a configuration with mistakes stops run before anything is created", async () => {
  writeFileSync(join(cwd, "bad.dht0.json"), '{ "respPort": -1, "bogus": 1 }');
  const { code, stderr } = await cli(["run", "dht", "-c", "bad.dht0.json"], { cwd });
  expect(code).toBe(78);
  expect(stderr).toStartWith(
    "error: 2 mistakes\n  bad.dht0.json:1:15: respPort: wanted an integer from 0 to 65535 or null, got -1\n",
  );
  expect(existsSync(join(cwd, "bad.dht0"))).toBe(false);
});

test("--fresh is refused for a role that does not begin anew by itself, and nothing is made", async () => {
  writeFileSync(join(cwd, "fresh.dht0.json"), "{}");
  const { code, stderr } = await cli(["run", "dht", "-c", "fresh.dht0.json", "--fresh"], { cwd });
  expect({ code, stderr }).toMatchObject({
    code: 64,
    stderr: expect.stringContaining("--fresh is not for the role dht"),
  });
  expect(existsSync(join(cwd, "fresh.dht0"))).toBe(false);
});

test("a file of another role is refused", async () => {
  writeFileSync(join(cwd, "other.hub0.json"), "{}");
  const { code, stderr } = await cli(["run", "dht", "-c", "other.hub0.json"], { cwd });
  expect({ code, stderr }).toMatchObject({
    code: 78,
    stderr: expect.stringContaining('role: wanted "dht", got "hub", from the file\'s name'),
  });
});

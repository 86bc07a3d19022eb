/** An instance goes to another host with its data, or stays where it was. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { RedisClient } from "bun";
import { ensureExecutable } from "../../build.ts";
import { processesOf } from "../../src/cluster/services/marks.ts";
import { deploymentPaths } from "../../src/cluster/topology/layout.ts";
import { until } from "./executable.ts";
import { Operator } from "./operator.ts";

// Real processes on a machine that may be busy.
setDefaultTimeout(120_000);

const operator = new Operator();
const { top } = operator;
const nodeX = (words: string[]) => operator.run(words);
const hosts = {
  "127.0.0.2": { workingDirectory: join(top, "two") },
  three: { address: { private: "127.0.0.3" }, workingDirectory: join(top, "three") },
};
beforeAll(async () => {
  await ensureExecutable();
  mkdirSync(operator.path("c"));
  operator.write({
    "c/m.cluster.json": { rollout: { readyTimeoutMs: 30_000, healthyForMs: 100 }, hosts },
    "c/m.dht0.json": '{\n  // where it listens\n  "host": "127.0.0.2",\n  "port": 0,\n  "respPort": 0\n}\n',
  });
});

afterAll(async () => {
  await nodeX(["kill", "c/m"]);
  operator[Symbol.dispose]();
});

const ask = async (host: string, ...words: string[]) => {
  const directory = host === "127.0.0.2" ? "two" : "three";
  const ports = JSON.parse(readFileSync(join(top, directory, "m.dht0/ports.json"), "utf8")) as {
    respPort: number;
  };
  const client = new RedisClient(`redis://${host}:${ports.respPort}`);
  const answer: unknown = await client.send(words[0] as string, words.slice(1));
  client.close();
  return answer;
};

test("move takes an instance to another host with its data; comments in the files stay", async () => {
  expect((await nodeX(["start", "c/m"])).code).toBe(0);
  await ask("127.0.0.2", "SET", "kept", "yes");
  const { code, stdout, stderr } = await nodeX(["move", "c/m", "dht0", "--to", "three", "-y", "--json"]);
  expect(code, stderr).toBe(0);
  expect(JSON.parse(stdout)).toEqual({
    instance: "m.dht0",
    ...{ from: "127.0.0.2", to: "three", copy: join(top, "two/m.dht0.moved-away") },
  });
  expect(await ask("127.0.0.3", "GET", "kept")).toBe("yes");
  expect(readFileSync(join(top, "c", "m.dht0.json"), "utf8")).toContain(
    '  // where it listens\n  "host": "127.0.0.3",',
  );
  expect(processesOf(deploymentPaths(join(top, "two"), "m").root)).toEqual([]);
  expect(readdirSync(join(top, "two")).filter((name) => name.startsWith("m.dht0"))).toEqual([
    "m.dht0.moved-away",
  ]);
  expect((await nodeX(["deploy", "c/m", "--plan"])).stdout).toBe("m: nothing to do\n");
});

test("a move that fails leaves the instance where it was, running, and the files as they were", async () => {
  const before = readFileSync(join(top, "c", "m.dht0.json"), "utf8");
  // Something is there already, whosever it is: it is not overwritten.
  mkdirSync(join(top, "two/m.dht0"));
  writeFileSync(join(top, "two/m.dht0/kept"), "");
  const { code, stderr } = await nodeX(["move", "c/m", "dht0", "--to", "127.0.0.2", "-y"]);
  expect([code, stderr]).toEqual([73, expect.stringContaining("exists and is not empty")]);
  expect(readFileSync(join(top, "c", "m.dht0.json"), "utf8")).toBe(before);
  await until("the instance to be ready", async () =>
    (await nodeX(["status", "c/m"])).code === 0 ? true : undefined,
  );
  expect(await ask("127.0.0.3", "GET", "kept")).toBe("yes");
  expect((await nodeX(["move", "c/m", "dht0", "--to", "tree", "-y"])).stderr).toContain(
    "m.cluster.json has no such host",
  );
});

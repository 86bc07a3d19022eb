/**
 * A transactional store in Diamond's own files and words, with the real executable on this host: started from the scripts' directory as
 * the original's page says, with keys to load, a new release and a rollback while clients commit, a restart of every process, stop, kill.
 * Nothing that was acknowledged is lost on the way.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { ensureExecutable } from "../../build.ts";
import { until } from "./executable.ts";
import { freePorts } from "./free-ports.ts";
import { Operator } from "./operator.ts";

/** As on the original's page: the script is called from `scripts`, the files are in `platform/test`. */
const operator = new Operator({
  place: "scripts",
  environment: { DIAMOND_SRC_DIR: join(import.meta.dir, "../..") },
});
const FILES = "platform/test";
const PREFIX = `../${FILES}/myconfig`;
const nodeX = (...words: string[]) => operator.run(words);
let frontendPorts: number[] = [];

beforeAll(async () => {
  await ensureExecutable();
  mkdirSync(operator.path(FILES), { recursive: true });
  const [t0, t1, t2, a0, a1, a2, b0, ...frontends] = await freePorts(9);
  frontendPorts = frontends;
  const lines = (word: string, ports: (number | undefined)[]) =>
    ports.map((port) => `${word} 127.0.0.1:${port}\n`).join("");
  const texts: Record<string, string> = {
    "myconfig.cluster.json": JSON.stringify({ rollout: { healthyForMs: 50, readyTimeoutMs: 30_000 } }),
    "myconfig.tss.config": lines("host", [t0, t1, t2]),
    "myconfig0.config": `f 1\n${lines("replica", [a0, a1, a2])}`,
    "myconfig1.config": lines("host", [b0]),
    "myconfig.frontend0.config": lines("host", [frontends[0]]),
    "myconfig.frontend1.config": `f 1\n${lines("replica", [frontends[1]])}`,
    "keys.list": Array.from({ length: 40 }, (_, index) => `key${index}\n`).join(""),
  };
  for (const [name, text] of Object.entries(texts)) operator.write({ [join(FILES, name)]: text });
}, 120_000);

afterAll(async () => {
  await nodeX("kill", PREFIX);
  operator[Symbol.dispose]();
}, 120_000);

/** Whatever answers; undefined when neither frontend does. */
async function ask(path: string, init?: RequestInit): Promise<{ status: number; body: any } | undefined> {
  for (const port of frontendPorts) {
    try {
      const response = await fetch(`http://127.0.0.1:${port}/v1/${path}`, init);
      if (response.status < 500) return { status: response.status, body: await response.json() };
    } catch {
      // The other one.
    }
  }
  return undefined;
}

/** A client that appends one element after the other, each under a name of its own until it knows the outcome. */
class Appender {
  readonly acknowledged: string[] = [];
  longestGapMs = 0;
  #isStopped = false;
  readonly #done: Promise<void>;

  constructor() {
    this.#done = this.#run();
  }

  async #run(): Promise<void> {
    let lastMs = performance.now();
    for (let number = 1; !this.#isStopped; number++) {
      const element = `e${number}`;
      const transaction = {
        id: { client: 77, number },
        operations: ["x", "another"].map((key) => ({ op: "append", key, element })),
      };
      const body = JSON.stringify(transaction);
      const answer = await until("a frontend that answers", () =>
        ask("transactions", { method: "POST", body }),
      );
      if (answer.body.outcome !== "committed") continue;
      this.acknowledged.push(element);
      const nowMs = performance.now();
      this.longestGapMs = Math.max(this.longestGapMs, nowMs - lastMs);
      lastMs = nowMs;
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#done;
  }
}

test("start with --batch and --keys: every shard has its own keys, once", async () => {
  const started = await nodeX(
    ...["start", PREFIX, "--batch", "64", "--keys", `../${FILES}/keys.list`, "--numkeys", "30"],
  );
  expect([started.code, started.stdout], started.stderr).toEqual([0, "9 instances started\n"]);
  const { body } = (await ask("scan?prefix=key&limit=100")) as { body: any };
  expect(body.values).toHaveLength(30);
  expect(body.values[0]).toMatchObject({ key: "key0", version: 1, value: { type: "bytes", text: "null" } });
  expect((await ask("keys/key35"))?.status).toBe(404);
}, 90_000);

test("a new release, a rollback to the one before and a restart of everything, while clients commit", async () => {
  const appender = new Appender();
  await until("the first commits", () => appender.acknowledged.length > 5 || undefined);
  for (const words of [
    ["deploy", PREFIX, "--batch", "32", "-y"],
    ["rollback", PREFIX, "-y"],
    ["restart", PREFIX],
  ]) {
    const before = appender.acknowledged.length;
    const { code, stderr } = await nodeX(...words);
    expect({ words, code }, stderr).toEqual({ words, code: 0 });
    await until(`commits after ${words[0]}`, () => appender.acknowledged.length > before || undefined);
  }
  await appender.stop();
  const read = await ask("read", { method: "POST", body: JSON.stringify({ keys: ["x", "another"] }) });
  const [x, another] = read?.body.values.map(({ value }: any) => value.elements) as [string[], string[]];
  expect(x).toEqual(another);
  expect(new Set(x).size).toBe(x.length);
  expect(appender.acknowledged.filter((element) => !x.includes(element))).toEqual([]);
  console.log(`${appender.acknowledged.length} commits; longest gap ${Math.round(appender.longestGapMs)} ms`);
}, 240_000);

test("stop ends every process, start brings the store back with everything", async () => {
  expect((await nodeX("stop", PREFIX)).code).toBe(0);
  expect(await ask("keys/key0")).toBeUndefined();
  const { code, stderr } = await nodeX("start", PREFIX);
  expect(code, stderr).toBe(0);
  expect((await ask("keys/key0"))?.body.value).toEqual({ type: "bytes", text: "null" });
  expect((await ask("keys/x"))?.status).toBe(200);
}, 120_000);

test("kill ends only what it was told to, and start with the same words brings it back", async () => {
  const some = ["--shards", "1", "--frontends", "1"];
  const killed = await nodeX("kill", PREFIX, "--role", "shard", ...some);
  expect(killed).toMatchObject({
    code: 0,
    stdout: "killed myconfig.shard0.0 myconfig.shard0.1 myconfig.shard0.2\n",
  });
  const started = await nodeX("start", PREFIX, ...some);
  expect([started.code, started.stdout], started.stderr).toEqual([0, "3 instances started\n"]);
  const { body } = await until("a frontend that answers", () => ask("keys/key0"));
  expect(body.value).toEqual({ type: "bytes", text: "null" });
  expect((await nodeX("kill", PREFIX)).stdout).toContain("myconfig.tss.0");
  expect(await ask("keys/key0")).toBeUndefined();
}, 120_000);

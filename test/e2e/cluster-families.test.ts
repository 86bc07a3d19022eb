/**
 * The three start orders, and Diamond's own way to call: text files of both dialects, manage-servers' words and variables. The
 * servers are small roles of tests in an executable of tests; everything else is the real thing.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildTestExecutable } from "../cluster/test-executable.ts";
import { Operator } from "./operator.ts";

const bin = mkdtempSync(join(tmpdir(), "nx-fam-"));
const operator = new Operator({ program: join(bin, "node-x") });
const { top, host } = operator;
const nodeX = (words: string[], environment: Record<string, string> = {}) => operator.run(words, environment);

/** What started and stopped since the last time, in order. */
function order(): string[] {
  const path = join(host, "order");
  const lines = existsSync(path) ? readFileSync(path, "utf8").trim().split("\n") : [];
  rmSync(path, { force: true });
  return lines;
}

/** The roles of the lines, neighbours of one role told once. */
function rolesOf(lines: readonly string[]): string[] {
  const roles = lines.map((line) => line.replace(/ \w+\.([a-z]+).*/, " $1"));
  return roles.filter((role, index) => role !== roles[index - 1]);
}

const write = (files: Record<string, string | object>) => operator.write(files);

/** Free ports of this machine, found by listening on them once. */
function ports(count: number): number[] {
  const listeners = Array.from({ length: count }, () =>
    Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } }),
  );
  const found = listeners.map(({ port }) => port);
  for (const listener of listeners) listener.stop(true);
  return found;
}

const quick = { rollout: { healthyForMs: 50, readyTimeoutMs: 30_000 } };

beforeAll(async () => {
  await buildTestExecutable(bin);
}, 120_000);
afterAll(async () => {
  for (const prefix of ["d", "b", "l"]) await nodeX(["kill", prefix]);
  operator[Symbol.dispose]();
  rmSync(bin, { recursive: true, force: true });
});

describe("S2: Diamond's files and words", () => {
  const [p0 = 0, p1 = 0, p2 = 0, p3 = 0, p4 = 0, p5 = 0, p6 = 0] = ports(7);

  test("start deploys and starts timestamp servers, then shards, then frontends", async () => {
    write({
      "d.cluster.json": quick,
      "d.tss.config": `host localhost:${p0}\n`,
      "d0.config": `f 1\nreplica localhost:${p1}\nreplica localhost:${p2}\nreplica localhost:${p3}\n`,
      "d1.config": `host localhost:${p4}\n`,
      "d.frontend0.config": `host localhost:${p5}\n`,
      "d.frontend1.config": `f 1\nreplica localhost:${p6}\n`,
      "keys.list": "k1\nk2\n",
    });
    const { code, stdout, stderr } = await nodeX([
      "start",
      "d",
      "--batch",
      "16",
      "--keys",
      "keys.list",
      "--numkeys",
      "2",
      "--debug",
    ]);
    expect([code, stdout], stderr).toEqual([0, "7 instances started\n"]);
    const started = order();
    expect(rolesOf(started)).toEqual(["start tss", "start shard", "start frontend"]);
    expect(started).toHaveLength(7);
  }, 120_000);

  test("replicas, frontends and words arrive where they belong; output files have the original's names", async () => {
    const statsOf = async (instance: string) =>
      (await (
        await fetch("http://localhost/stats", { unix: join(host, instance, "admin.sock") })
      ).json()) as Record<string, { config: Record<string, unknown> }>;
    const shard = (await statsOf("d.shard0.1")).shard?.config;
    expect(shard).toMatchObject({
      instance: "d.shard0.1",
      port: p2,
      replica: 1,
      replicas: [p1, p2, p3].map((port) => `localhost:${port}`),
      batch: 16,
      preloadKeys: 2,
      log: { level: "trace" },
    });
    expect(readFileSync(String(shard?.preloadFile), "utf8")).toBe("k1\nk2\n");
    const frontend = (await statsOf("d.frontend1")).frontend?.config;
    expect(frontend).toMatchObject({
      httpPort: p6,
      timestampServers: [`localhost:${p0}`],
      shards: [[p1, p2, p3].map((port) => `localhost:${port}`), [`localhost:${p4}`]],
    });
    for (const name of [
      "output.tss.0.txt",
      "output.backend.0.2.txt",
      "output.backend.1.0.txt",
      "output.frontend.1.txt",
    ])
      expect(readFileSync(join(host, name), "utf8")).toContain("ready");
  });

  test("--shards and --frontends take the first N, also with kill", async () => {
    const killed = await nodeX(["kill", "d", "--shards", "1", "--frontends", "1"]);
    expect(killed).toMatchObject({
      code: 0,
      stdout: "killed d.frontend0 d.shard0.0 d.shard0.1 d.shard0.2 d.tss.0\n",
    });
    const { stdout } = await nodeX(["status", "d", "--json"]);
    const running = (JSON.parse(stdout) as { instance: string; state: string }[]).filter(
      ({ state }) => state === "running",
    );
    expect(running.map(({ instance }) => instance)).toEqual(["d.shard1.0", "d.frontend1"]);
    expect((await nodeX(["kill", "d", "--shards", "3"])).stderr).toContain("--shards 3: d has 2 of them");
    order();
  });

  test("without the same words, start brings up what is down and leaves alone what runs", async () => {
    const { code, stdout, stderr } = await nodeX(["start", "d", "--shards", "1"]);
    expect([code, stdout], stderr).toEqual([0, "5 instances started\n"]);
    expect(rolesOf(order())).toEqual(["start tss", "start shard", "start frontend"]);
  }, 120_000);

  test("a restart never takes two replicas of a group at once, and the leader last", async () => {
    const { code, stderr } = await nodeX(["restart", "d", "--only", "shard0"]);
    expect(code, stderr).toBe(0);
    expect(order()).toEqual([
      "stop d.shard0.0", "start d.shard0.0",
      "stop d.shard0.2", "start d.shard0.2",
      "stop d.shard0.1", "start d.shard0.1",
    ]); // prettier-ignore
  }, 120_000);

  test("stop goes backwards", async () => {
    expect((await nodeX(["stop", "d"])).code).toBe(0);
    expect(rolesOf(order())).toEqual(["stop frontend", "stop shard", "stop tss"]);
  }, 120_000);

  test("wrong words are refused before anything is touched", async () => {
    expect((await nodeX(["start", "d", "--keys", "keys.list"])).stderr).toContain(
      "--keys and --numkeys belong together",
    );
    expect((await nodeX(["start", "d", "--frontends", "3"])).stderr).toContain(
      "--frontends 3: d has 2 of them",
    );
    expect((await nodeX(["start", "d"], { DIAMOND_WORKING_DIR: "relative" })).stderr).toContain(
      "wanted an absolute path",
    );
    expect((await nodeX(["start", "d"], { DIAMOND_SRC_DIR: top })).stderr).toContain(
      `${top}/dist/node-x: there is no such executable`,
    );
    expect(order()).toEqual([]);
  });
});

describe.each([
  ["b", ["archive", "proxy", "storage"]],
  ["l", ["regserver", "lookup"]],
] as const)("prefix %s: %p", (prefix, roles) => {
  test("starts in order, restarts role by role, stops in reverse", async () => {
    const found = ports(roles.length);
    write({ [`${prefix}.cluster.json`]: quick });
    for (const [index, role] of roles.entries())
      write({ [`${prefix}.${role}0.json`]: { port: found[index] } });
    const started = await nodeX(["start", prefix]);
    expect(started.code, started.stderr).toBe(0);
    expect(order()).toEqual(roles.map((role) => `start ${prefix}.${role}0`));
    expect((await nodeX(["restart", prefix])).code).toBe(0);
    expect(order()).toEqual(roles.flatMap((role) => [`stop ${prefix}.${role}0`, `start ${prefix}.${role}0`]));
    expect((await nodeX(["stop", prefix])).code).toBe(0);
    expect(order()).toEqual(roles.toReversed().map((role) => `stop ${prefix}.${role}0`));
  }, 120_000);
});

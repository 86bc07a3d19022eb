/** `run frontend -c p.frontend0.config -b p -N 2`: a frontend's text file and the groups beside it as a configuration. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tryLoadConfig } from "../../../src/core/config/load.ts";
import { problemText } from "../../../src/core/config/problem.ts";
import { testCatalog } from "../../cluster/test-roles.ts";

const directory = mkdtempSync(join(tmpdir(), "node-x-frontend-"));
beforeAll(() => {
  const files = {
    "p.tss.config": "host t:1\n",
    "p0.config": "f 1\nreplica a:1\nreplica [::1]:2\nreplica c:3\n",
    "p1.config": "host d:4\n",
    "p.frontend0.config": "host front:5\n",
    "q.frontend0.config": "host front:5\n",
    "bad.tss.config": "host t:1\n",
    "bad0.config": "host a\nhots b:1\n",
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
});
afterAll(() => rmSync(directory, { recursive: true }));

async function load(role: string, file: string, groups: { base?: string; shardCount?: number } = {}) {
  const sources = { role, file, groups, sets: [], environment: {}, workingDirectory: directory };
  const { config, problems } = await tryLoadConfig(sources, testCatalog);
  return { config, problems: problems.map(problemText) };
}

describe("a frontend's file", () => {
  test("a frontend reads the groups beside it: all there are, or the first N of another prefix", async () => {
    const all = (await load("frontend", "p.frontend0.config")).config?.config;
    expect(all).toMatchObject({
      httpPort: 5,
      timestampServers: ["t:1"],
      shards: [["a:1", "[::1]:2", "c:3"], ["d:4"]],
    });
    const one = (await load("frontend", "q.frontend0.config", { base: "p", shardCount: 1 })).config?.config;
    expect(one).toMatchObject({ shards: [["a:1", "[::1]:2", "c:3"]] });
  });

  test("mistakes of the files beside it are told with their own lines", async () => {
    const { config, problems } = await load("frontend", "q.frontend0.config", { base: "bad", shardCount: 1 });
    expect(config).toBeUndefined();
    expect(problems[0]).toBe("bad0.config:1:6: wanted an address and a port, such as host0:12345, got a");
  });

  test("a missing neighbour is an error with its path", async () => {
    await expect(load("frontend", "q.frontend0.config")).rejects.toThrow(
      "q.tss.config: there is no such file",
    );
  });
});

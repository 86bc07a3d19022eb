/** A group's file of addresses as the configuration of one of its replicas. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tryLoadConfig } from "../../../src/core/config/load.ts";
import { problemText } from "../../../src/core/config/problem.ts";
import { schemaCatalog } from "../../../src/roles.ts";

async function load(name: string, text: string, replica?: number, sets: string[] = []) {
  const directory = mkdtempSync(join(tmpdir(), "node-x-group-"));
  try {
    writeFileSync(join(directory, name), text);
    return await tryLoadConfig(
      {
        file: name,
        role: "tss",
        environment: {},
        sets,
        workingDirectory: directory,
        ...(replica !== undefined && { replica }),
      },
      schemaCatalog,
    );
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const three = "# timestamps\nhost a:1\nhost b:2\nhost [::1]:3\n";

test("a line is an instance: its address, its number, all the others", async () => {
  const { config, problems } = await load("local.tss.config", three, 2);
  expect(problems).toEqual([]);
  expect(config?.instance).toBe("local.tss.2");
  expect(config?.config).toMatchObject({
    host: "::1",
    port: 3,
    replica: 2,
    replicas: ["a:1", "b:2", "[::1]:3"],
  });
  expect(config?.dataDir).toEndWith("/local.tss.2");
});

test("the old dialect means the same", async () => {
  const { config } = await load(
    "local.tss.config",
    "f 1\r\nreplica a:1\r\nreplica b:2\r\nreplica c:3\r\n",
    1,
  );
  expect(config?.config).toMatchObject({ host: "b", port: 2, replicas: ["a:1", "b:2", "c:3"] });
});

test("which replica it is must be said, and exist", async () => {
  const missing = await load("local.tss.config", three);
  expect(missing.problems.map(problemText).join()).toContain("--replica (-i) with a number from 0 to 2");
  const beyond = await load("local.tss.config", three, 3);
  expect(beyond.problems.map(problemText).join()).toContain("wanted a replica from 0 to 2");
  const alone = await load("local.tss.config", "host a:1\n");
  expect(alone.config?.config).toMatchObject({ replica: 0, replicas: ["a:1"] });
});

test("mistakes of the file are told with their line", async () => {
  const { problems } = await load("local.tss.config", "host a:1\nhots b:2\n", 0);
  expect(problems.map(problemText).join()).toContain("local.tss.config:2:1");
});

test("--set reaches the keys that the file cannot say", async () => {
  const { config } = await load("local.tss.config", three, 0, ["dataDir=elsewhere", "heartbeatMs=20"]);
  expect(config?.config).toMatchObject({ heartbeatMs: 20 });
  expect(config?.dataDir).toEndWith("/elsewhere");
});

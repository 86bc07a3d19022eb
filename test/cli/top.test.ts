/** `node-x top`: the overview of a cluster in a terminal. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { blocksLine } from "../../src/core/blocks-line.ts";
import { buildInfo } from "../../src/core/build-info.ts";
import { loadConfig } from "../../src/core/config/load.ts";
import { Instance } from "../../src/core/kernel/instance.ts";
import { logOutput } from "../../src/core/logging/log.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { roleEntry, schemaCatalog } from "../../src/roles.ts";
import { cli, temporaryDirectory } from "./helpers.ts";

const directory = temporaryDirectory();
const cwd = directory.path;
const environment = { HOME: cwd, XDG_STATE_HOME: join(cwd, "state"), PATH: process.env.PATH ?? "" };
let node: Instance;

beforeAll(async () => {
  const halves = [["0".repeat(16), "7fffffffffffffff"], ["8000000000000000", "f".repeat(16)]] as const; // prettier-ignore
  for (const [index, [min, max]] of halves.entries())
    writeFileSync(
      join(cwd, `p.dht${index}.json`),
      JSON.stringify({ port: 0, respPort: 0, durability: "memory", hashRange: { min, max } }),
    );
  const sources = { file: join(cwd, "p.dht0.json"), environment: {}, sets: [], workingDirectory: cwd };
  const options = { world: realWorld(), logOutput: logOutput("fatal", []), onFatal() {} };
  node = await Instance.start(
    await roleEntry("dht").load(),
    await loadConfig(sources, schemaCatalog),
    options,
  );
});
afterAll(async () => {
  await node.stop();
  directory.remove();
});

test("shows who answers with what it does, and who does not with why", async () => {
  const { code, stdout } = await cli(["top", "p", "--rounds", "2", "--period-ms", "100"], {
    cwd,
    environment,
  });
  expect(code).toBe(0);
  const last = stdout.slice(stdout.lastIndexOf("1 of 2 instances ready")).split("\n");
  expect(last.find((line) => line.startsWith("p.dht0"))).toMatch(
    /ready .*\d+\.\d %.* MiB .*requests\/s .*0 records/,
  );
  expect(last.find((line) => line.startsWith("p.dht0"))).toContain(` ${buildInfo.version} `);
  expect(last.find((line) => line.startsWith("p.dht1"))).toContain("unreachable");
});

test("prints JSON, a line for each round, sorted as asked", async () => {
  const words = ["top", "p", "--rounds", "2", "--period-ms", "100", "--json", "--sort", "cpu"];
  const { stdout } = await cli(words, { cwd, environment });
  const rounds = stdout.trim().split("\n").map((line) => JSON.parse(line) as { name: string; cpuPercent?: number }[]); // prettier-ignore
  expect(rounds).toHaveLength(2);
  expect(rounds[1]?.[0]?.name).toBe("p.dht0");
  expect(rounds[1]?.[0]?.cpuPercent).toBeNumber();
});

test("shows what runs in spite of mistakes in the files, and tells them", async () => {
  writeFileSync(join(cwd, "p.queue0.json"), '{ "prt": 1 }');
  const { code, stdout, stderr } = await cli(["top", "p", "--rounds", "1"], { cwd, environment });
  expect([code, stderr.includes("p.queue0.json:1:3"), stdout.includes("p.dht0")]).toEqual([0, true, true]);
});

test("refuses an order that it does not have", async () => {
  const { code, stderr } = await cli(["top", "p", "--sort", "age"], { cwd, environment });
  expect(code).toBe(64);
  expect(stderr).toContain("wanted name, cpu, memory, activity");
});

test("a line of blocks is as high as its largest value, as wide as asked, and has gaps where nothing was known", () => {
  expect(blocksLine([0, 1, null, 8], 6)).toBe("  ▁▁ █");
  expect(blocksLine([0, 0], 2)).toBe("▁▁");
  expect(blocksLine([1, 2, 3, 4], 2)).toBe("▆█");
});

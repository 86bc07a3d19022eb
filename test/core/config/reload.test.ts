/** What a reload applies and what it refuses. */
import { afterAll, expect, test } from "bun:test";
import type { LoadedConfig } from "../../../src/core/config/load.ts";
import { assertReloadable, changeText, planReload } from "../../../src/core/config/reload.ts";
import { dhtAbout } from "../../../src/channels/dht/config.ts";
import { ConfigDirectory } from "./helpers.ts";

const directory = new ConfigDirectory();
afterAll(() => directory.remove());

async function load(text: string): Promise<LoadedConfig> {
  return (await directory.load(text)).config as LoadedConfig;
}

test("changes of reloadable keys are listed with their place, nothing else", async () => {
  const old = await load('{ "respPort": 1, "log": { "level": "info" } }');
  const next = await load('{ "respPort": 1, "log": { "level": "warn" }, "limits": { "connections": 9 } }');
  const plan = planReload(old, next, dhtAbout.reloadable);
  expect(plan.refused).toEqual([]);
  expect(plan.applicable.map(changeText)).toEqual([
    'log.level: "info" -> "warn" (dht.json:1:36)',
    "limits.connections: 5000 -> 9 (dht.json:1:73)",
  ]);
});

test("one key that needs a restart refuses the whole reload, with the difference", async () => {
  const old = await load("{}");
  const next = await load('{ "respPort": 7000, "log": { "level": "warn" }, "durability": "memory" }');
  expect(() => assertReloadable(old, next, dhtAbout.reloadable)).toThrow(
    expect.objectContaining({
      code: "NX_CONFIG_NOT_RELOADABLE",
      message: 'respPort: 10200 -> 7000 (dht.json:1:15)\ndurability: "log" -> "memory" (dht.json:1:63)',
    }),
  );
});

test("a key that is taken away is a change to its default", async () => {
  const old = await load('{ "adminPort": 1 }');
  const plan = planReload(old, await load("{}"), dhtAbout.reloadable);
  expect(plan.refused.map(changeText)).toEqual(["adminPort: 1 -> (unset) (default)"]);
});

test("the same values written differently are no change", async () => {
  const old = await load('{ "respPort": 7000, "limits": {} }');
  const next = await load('{\n  // moved\n  "limits": { "connections": 5000 },\n  "respPort": 7e3\n}');
  expect(planReload(old, next, dhtAbout.reloadable)).toEqual({ applicable: [], refused: [] });
});

test("a group named reloadable covers its members", async () => {
  const plan = planReload(await load("{}"), await load('{ "compaction": { "growthPercent": 50 } }'), [
    "compaction",
  ]);
  expect(plan.applicable.map((change) => change.key)).toEqual(["compaction.growthPercent"]);
});

/** `node-x channels redistribute`: nothing is lost, nothing comes back, in simulated lives and on real nodes under load. */
import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { DhtClient, keyText } from "../../../src/channels/client.ts";
import { equalParts, NO_RANGE, overlapOf } from "../../../src/channels/redistribute/plan.ts";
import { redistributeSystem } from "../../../src/channels/redistribute/run.ts";
import { cli } from "../../cli/helpers.ts";
import { TestServer, world } from "../wire/legacy/server.ts";
import { simulateRedistribution } from "./redistribute-simulation.ts";

const SEEDS = 8;
const MAX = (1n << 64n) - 1n;
const nothing = { hashRange: { min: "f".repeat(16), max: "0".repeat(16) } };

describe("the plan", () => {
  test.each([1, 2, 3, 7])("%i nodes get parts that cover every hash once", (count) => {
    const parts = equalParts(
      Array.from({ length: count }, (_, index) => ({ host: "h", port: index + 1 })),
      [],
    );
    expect(parts[0]?.target.min).toBe(0n);
    expect(parts.at(-1)?.target.max).toBe(MAX);
    for (let index = 1; index < count; index++)
      expect(parts[index]?.target.min).toBe((parts[index - 1]?.target.max ?? 0n) + 1n);
  });

  test("a node that leaves gets nothing; what two ranges share", () => {
    expect(equalParts([{ host: "a", port: 1 }], [{ host: "b", port: 2 }])[1]?.target).toEqual(NO_RANGE);
    expect(overlapOf({ min: 0n, max: 9n }, { min: 5n, max: 20n })).toEqual({ min: 5n, max: 9n });
    expect(overlapOf({ min: 0n, max: 9n }, { min: 10n, max: 20n })).toEqual(NO_RANGE);
    expect(overlapOf({ min: 0n, max: 9n }, NO_RANGE)).toEqual(NO_RANGE);
  });
});

test("whoever dies while records move, what was acknowledged is there and what was removed is not", () => {
  let [acknowledged, attempts] = [0, 0];
  for (let seed = 1; seed <= SEEDS; seed++) {
    const run = simulateRedistribution(seed);
    expect({ seed, violations: run.violations }).toEqual({ seed, violations: [] });
    acknowledged += run.acknowledged;
    attempts += run.attempts;
  }
  expect(acknowledged).toBeGreaterThan(1000);
  expect(attempts).toBeGreaterThan(2 * SEEDS);
  console.log(`${SEEDS} seeds: ${acknowledged} acknowledged changes, ${attempts} runs of the redistribution`);
}, 120_000);

test("the same seed gives the same run", () => {
  expect(simulateRedistribution(3)).toEqual(simulateRedistribution(3));
}, 120_000);

test("a third node is taken in and let go of under load; a client loses nothing and sees every record", async () => {
  await using first = await TestServer.start({
    hashRange: { min: "0000000000000000", max: "7fffffffffffffff" },
  });
  await using second = await TestServer.start({
    hashRange: { min: "8000000000000000", max: "ffffffffffffffff" },
  });
  await using third = await TestServer.start(nothing);
  const servers = [first, second, third];
  const nodes = servers.map(({ port }) => ({ host: "127.0.0.1", port }));
  const client = await DhtClient.connect(world, { nodes });
  const keys = Array.from({ length: 3000 }, (_, index) => keyText(BigInt(index)));
  await client.putMany(
    "ch",
    keys.map((key) => ({ key, value: "first" })),
  );
  let isOver = false;
  const wanted = new Map(keys.map((key) => [key, "first"]));
  const missing: string[] = [];
  const load = [0, 1, 2, 3].map(async (each) => {
    for (let turn = 0; !isOver; turn++) {
      const key = keys[(turn * 4 + each) % keys.length] as string;
      const value = `${each} ${turn}`;
      await client.put("ch", key, value);
      wanted.set(key, value);
      const other = keys[(turn * 7919 + each) % keys.length] as string;
      if ((await client.get("ch", other)) === undefined) missing.push(other);
    }
  });
  const phases: string[] = [];
  const divide = (staying: number) =>
    redistributeSystem({
      net: world.net,
      clock: world.clock,
      nodes: equalParts(nodes.slice(0, staying), nodes.slice(staying)),
      onPhase: (phase) => phases.push(phase),
    });
  await divide(3);
  expect((await (await third.node()).getSize()).records).toBeGreaterThan(500);
  await divide(2);
  isOver = true;
  await Promise.all(load);
  expect(phases).toEqual([..."12"].flatMap(() => ["shrink", "grow", "move", "settle"]));
  expect(missing).toEqual([]);
  for (const [key, value] of wanted) expect((await client.get("ch", key))?.toString()).toBe(value);
  expect((await (await third.node()).getSize()).records).toBe(0);
  client.close();
}, 120_000);

describe("records that may still arrive", () => {
  test("do not replace what was written here, and what was removed here does not come back", async () => {
    await using server = await TestServer.start({ ...nothing, durability: "log" });
    const node = await server.node();
    const neo = await server.neo();
    await node.redistribute({ min: 0n, max: MAX }, []);
    await node.put("ch", keyText(1n), "newer");
    await node.put("ch", keyText(2n), "gone");
    await node.remove("ch", keyText(2n));
    await node.remove("ch", keyText(3n)); // never was here, but may be on its way
    await neo.remove("ch", keyText(4n));
    const old = [1n, 2n, 3n, 4n, 5n].map((key) => ({ key: keyText(key), value: Buffer.from("older") }));
    await node.putBatch("ch", old);
    const values = await Promise.all(old.map(({ key }) => node.get("ch", key)));
    expect(values.map((value) => value?.toString())).toEqual([
      "newer",
      undefined,
      undefined,
      undefined,
      "older",
    ]);
    expect((await node.getChannelSize("ch")).records).toBe(2);
  });

  test("are known of after a restart, and settled by a request that changes nothing", async () => {
    const first = await TestServer.start({ ...nothing, durability: "log" });
    const { directory } = first;
    await (await first.node()).redistribute({ min: 0n, max: MAX }, []);
    await (await first.node()).put("ch", keyText(1n), "newer");
    while (!first.lines.some((line) => line.includes("redistribution ended")))
      await (await first.node()).getVersion();
    await first.stop();
    await using second = await TestServer.start({ ...nothing, durability: "log" }, directory);
    const node = await second.node();
    const older = [{ key: keyText(1n), value: Buffer.from("older") }];
    await node.putBatch("ch", older);
    expect((await node.get("ch", keyText(1n)))?.toString()).toBe("newer");
    await node.redistribute({ min: 0n, max: MAX }, []);
    await node.putBatch("ch", older);
    expect((await node.get("ch", keyText(1n)))?.toString()).toBe("older");
  });
});

test("the verb shows the plan, does it, and does it again without harm", async () => {
  await using first = await TestServer.start();
  await using second = await TestServer.start(nothing);
  const file = join(first.directory, "dht.nodes");
  writeFileSync(file, `127.0.0.1:${first.port}\n127.0.0.1:${second.port} # new\n`);
  const node = await first.node();
  for (let key = 0n; key < 100n; key++) await node.put("ch", keyText(key), "v");
  const call = (...words: string[]) => cli(["channels", "redistribute", "--nodes", file, "--json", ...words]);
  const planned = JSON.parse((await call("--dry-run")).stdout);
  expect(planned.nodes[1]).toMatchObject({ min: "f".repeat(16), targetMin: "8000000000000000", records: 0 });
  for (let turn = 0; turn < 2; turn++) {
    const { code, stdout } = await call();
    expect([code, JSON.parse(stdout).nodes.map(({ records }: { records: number }) => records)]).toEqual([
      0,
      [50, 50],
    ]);
  }
  const left = await call("--leaving", `127.0.0.1:${second.port}`);
  expect(JSON.parse(left.stdout).nodes.map(({ records }: { records: number }) => records)).toEqual([100, 0]);
  expect(await cli(["channels", "redistribute", "--nodes", "/nowhere"])).toMatchObject({
    code: 64,
    stderr: expect.stringContaining("--nodes: /nowhere, which does not exist"),
  });
}, 120_000);

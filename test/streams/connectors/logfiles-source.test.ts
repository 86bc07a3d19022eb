/** A channel of a real logfiles node as input: every record once, also after going back to any position. */
import { expect, test } from "bun:test";
import { LogfilesClient } from "../../../src/channels/client.ts";
import { silentLog } from "../../../src/core/logging/log.ts";
import { LogfilesSource } from "../../../src/streams/connectors/logfiles-source.ts";
import type { SourceNode } from "../../../src/streams/plan/nodes.ts";
import { TestServer, world } from "../../channels/logfiles/server.ts";
import { until } from "../../e2e/executable.ts";

const node = { name: "In" } as SourceNode;

test("feeds what is there, then what comes, and after a roll-back everything behind the position again", async () => {
  await using server = await TestServer.start();
  const address = { host: "127.0.0.1", port: server.port };
  const client = new LogfilesClient(world, { nodes: [address] });
  const put = async (from: number, to: number) => {
    // Several records of one key, several pieces of 4096 keys.
    for (let number = from; number < to; number++)
      await client.put("ch", BigInt(10_000 + Math.floor(number / 10) * 1500), String(number));
  };
  const fed: number[] = [];
  const positions: unknown[] = [];
  const source = new LogfilesSource(
    node,
    {
      feed: (_node, bytes, start, end) =>
        void fed.push(Number(Buffer.from(bytes.subarray(start, end)).toString())),
      feedValue: () => {},
      onBatchEnd: () => {},
    },
    { seams: world, log: silentLog(), address, channel: "ch", pollMs: 5 },
  );
  const upTo = (count: number) => Array.from({ length: count }, (_, number) => number);
  const fedAll = (count: number) => until(`${count} records`, () => fed.length >= count || undefined);
  await put(0, 40);
  await source.open();
  await source.rollBack(undefined);
  source.go();
  for (let step = 1; step <= 4; step++) {
    await fedAll(40 + (step - 1) * 25);
    source.rest();
    positions.push([fed.length, source.position()]);
    source.go();
    await put(40 + (step - 1) * 25, 40 + step * 25);
  }
  await fedAll(140);
  expect(fed).toEqual(upTo(140));
  for (const [count, position] of positions as [number, unknown][]) {
    source.rest();
    await source.rollBack(structuredClone(position));
    fed.length = 0;
    source.go();
    await fedAll(140 - count);
    expect(fed).toEqual(upTo(140).slice(count));
  }
  await source.close();
  client.close();
}, 120_000);

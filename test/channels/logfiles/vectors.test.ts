/**
 * The recorded conversations with the original logfiles node, played against ours. Every byte must be the same but for
 * port numbers and streams (any LZO1X stream of the same content is right).
 */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { LogfilesCommand as Command } from "../../../src/native/logfiles/engine.ts";
import { decodeBatch } from "../../../src/channels/wire/legacy/batch.ts";
import { LegacyNode } from "../../../src/channels/wire/legacy/client.ts";
import { readConversation, type Step, vectors } from "../wire/legacy/conversation.ts";
import { TestServer, world } from "./server.ts";

const bulk: readonly number[] = [
  Command.GetRange,
  Command.GetAll,
  Command.GetAllFilter,
  Command.GetRangeFilter,
  Command.GetRangeRegex,
];
const commandOf = (request: Buffer) => (request.byteLength >= 4 ? request.readInt32LE(0) : 0);

/** What a bulk answer holds, batch by batch. */
function contentsOf(answer: Buffer): string[] {
  const contents: string[] = [];
  for (let at = 0; ;) {
    const length = Number(answer.readBigUInt64LE(at));
    if (length === 0) return contents;
    const fields = decodeBatch(answer.subarray(at + 8, at + 8 + length)) ?? [];
    contents.push(fields.map((field) => Buffer.from(field).toString("latin1")).join("|"));
    at += 8 + length;
  }
}

async function readBulk(node: LegacyNode): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (;;) {
    const length = await node.read(8);
    parts.push(length);
    if (length.readBigUInt64LE(0) === 0n) return Buffer.concat(parts);
    parts.push(await node.read(Number(length.readBigUInt64LE(0))));
  }
}

/** Plays one connection's steps; returns how many answers were compared. */
async function play(server: TestServer, steps: readonly Step[]): Promise<number> {
  const node = await LegacyNode.connect(world.net, { host: "127.0.0.1", port: server.port });
  let compared = 0;
  let request: Buffer = Buffer.alloc(0);
  for (let index = 0; index < steps.length; index++) {
    const step = steps[index] as Step;
    if (step.kind === "send") {
      request = step.bytes;
      node.send(request);
      continue;
    }
    expect(step.kind).toBe("receive");
    compared += 1;
    const isBulk = bulk.includes(commandOf(request)) && step.bytes.readInt32LE(0) === 200;
    if (isBulk) {
      expect(await node.read(4)).toEqual(step.bytes.subarray(0, 4));
      const recorded = [];
      while (steps[index + 1]?.kind === "receive") recorded.push((steps[++index] as Step).bytes);
      const answer = contentsOf(await readBulk(node));
      // An empty filter gave what was left over from a filter before: ours gives nothing.
      const isEmptyFilter =
        commandOf(request) === Command.GetAllFilter && request.subarray(-8).equals(Buffer.alloc(8));
      expect({ step: step.text, answer }).toEqual({
        step: step.text,
        answer: isEmptyFilter ? [""] : contentsOf(Buffer.concat(recorded)),
      });
    } else {
      const wanted = Buffer.from(step.bytes);
      if (commandOf(request) === Command.GetNumConnections) wanted.writeUInt16LE(server.port, 21);
      expect({ step: step.text, answer: await node.read(wanted.byteLength) }).toEqual({
        step: step.text,
        answer: wanted,
      });
    }
  }
  node.close();
  return compared;
}

test.each(["segments", "classic"])("logfiles-basic, with layout %s", async (layout) => {
  await using server = await TestServer.start({ layout });
  // The other connections ask for commands of the first generation, which the recorded one dropped and ours serves.
  const steps = readConversation("logfiles-basic").filter(({ connection }) => connection === "1");
  expect(await play(server, steps)).toBeGreaterThan(30);
});

/** The 900 lines of the recording and the value that no batch holds, from the files that hold the answers. */
async function loadLarge(server: TestServer): Promise<void> {
  const client = await server.client();
  for (const part of [1, 2, 3]) {
    const raw = readFileSync(join(vectors, `logfiles-getall-large-${part}.raw`));
    const records: { key: bigint; value: Buffer }[] = [];
    for (let at = 0; at < raw.byteLength;) {
      const key = BigInt(`0x${raw.toString("latin1", at + 8, at + 24)}`);
      const length = Number(raw.readBigUInt64LE(at + 24));
      records.push({ key, value: raw.subarray(at + 32, at + 32 + length) });
      at += 32 + length;
    }
    await client.putBatch("biglog", records);
  }
  await client.put("biglog", 0x60000005n, Buffer.alloc(65_536, "x"));
}

test.each(["segments", "classic"])("logfiles-getall-large, with layout %s", async (layout) => {
  await using server = await TestServer.start({ layout });
  await loadLarge(server);
  expect(await play(server, readConversation("logfiles-getall-large"))).toBe(3);
  expect(server.lines.some((line) => line.includes("left out 1 records that no batch holds"))).toBe(true);
});

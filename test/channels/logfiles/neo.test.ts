/**
 * The neo protocol of the logfiles node: the originals' four tests by their names, among them the two that the originals
 * switch off because their storage makes a file for every key; the recorded conversation; what a client may not send.
 */
import { expect, test } from "bun:test";
import type { NeoWire } from "../../../src/channels/wire/neo/connection.ts";
import { array, u64 } from "../../../src/channels/wire/neo/messages.ts";
import { lzoDecode } from "../../../src/native/lzo.ts";
import { readConversation } from "../wire/legacy/conversation.ts";
import { TestServer } from "./server.ts";

const RECORDS = 10_000;
const HIGH = 2n ** 63n - 1n;
const byte = (value: number) => Uint8Array.of(value);

async function put(wire: NeoWire, channel: string, key: bigint, value: string): Promise<number> {
  const { id, queue } = await wire.begin(1, 1, array(channel), u64(key), array(value));
  const [answer = 0] = await queue.take();
  wire.release(id);
  return answer;
}

async function getRange(wire: NeoWire, channel: string, low: bigint, high: bigint, filter = "", mode = 0) {
  const { id, queue } = await wire.begin(
    2,
    2,
    array(channel),
    u64(low),
    u64(high),
    array(filter),
    byte(mode),
  );
  const found: string[] = [];
  let batches = 0;
  for (;;) {
    const message = Buffer.from(await queue.take());
    if (message[0] === 1) continue;
    if (message[0] === 5) {
      wire.tell(id, byte(6));
      wire.release(id);
      return { found, batches };
    }
    // Before `started` 3 is an error, behind it a batch.
    if (message[0] !== 3 || message.byteLength === 1) throw new Error(`answered ${message[0]}`);
    batches += 1;
    const length = Number(message.readBigUInt64LE(1));
    expect(Number(message.readBigUInt64LE(9))).toBe(message.byteLength - 17);
    const content = Buffer.from(lzoDecode(message.subarray(17), length) ?? []);
    for (let at = 0; at < content.byteLength;) {
      const size = Number(content.readBigUInt64LE(at + 8));
      found.push(`${content.readBigInt64LE(at)} ${content.toString("latin1", at + 16, at + 16 + size)}`);
      at += 16 + size;
    }
    wire.tell(id, byte(1));
  }
}

/** 63-bit keys without order. */
const scattered = (index: number) => (BigInt(index) * 0x9e3779b97f4a7c15n) & HIGH;
const sets = {
  "ordered put": (index: number) => BigInt(index),
  "unordered put": scattered,
  "ordered put, multiple values per key": (index: number) => BigInt(Math.floor(index / 10)),
  "unordered put, multiple values per key": (index: number) => scattered(Math.floor(index / 10)),
};

test.each(Object.entries(sets))(
  "%s",
  async (_name, keyOf) => {
    await using server = await TestServer.start();
    const wire = await server.neo();
    const wanted: string[] = [];
    for (let at = 0; at < RECORDS; at += 500) {
      const answers = Array.from({ length: 500 }, (_, offset) => {
        const index = at + offset;
        wanted.push(`${keyOf(index)} ${index}`);
        return put(wire, "ch", keyOf(index), String(index));
      });
      expect(new Set(await Promise.all(answers))).toEqual(new Set([1]));
    }
    const { found } = await getRange(wire, "ch", 0n, HIGH);
    expect(found.sort()).toEqual(wanted.sort());
  },
  120_000,
);

/** Payload of a recorded message: without header and request id. */
const payloadOf = (bytes: Buffer) => bytes.subarray(18);

test("the recorded conversation, but for what the originals leave unanswered or unchecked", async () => {
  await using server = await TestServer.start();
  const wire = await server.neo();
  const steps = readConversation("neo-logfiles");
  let compared = 0;
  let skipped = new Set<bigint>();
  const known = new Map<bigint, { id: bigint; take(): Promise<Uint8Array> }>();
  for (const { kind, bytes, text } of steps) {
    if (kind === "nothing" || bytes[0] !== 1 || bytes.byteLength < 18) continue;
    const id = bytes.readBigUInt64LE(10);
    const payload = payloadOf(bytes);
    // Bad names and empty values, which the originals take; the large channel, which is not there.
    if (/bad name|empty value/.test(text) || payload.includes("biglog")) skipped = skipped.add(id);
    if (skipped.has(id)) continue;
    if (kind === "send") {
      const request = known.get(id);
      if (request !== undefined) wire.tell(request.id, payload);
      else {
        const begun = await wire.begin(payload[0] as number, payload[1] as number, payload.subarray(2));
        known.set(id, { id: begun.id, take: () => begun.queue.take() });
      }
      continue;
    }
    if (payload[0] === 0xfd) continue;
    const answer = Buffer.from((await known.get(id)?.take()) ?? []);
    // Key 1 came into the recorded channel by the Put that is refused here.
    if (payload[0] === 3 && /01000000000000000000000000000000/.test(text)) {
      if (answer[0] === 3) wire.tell(known.get(id)?.id as bigint, byte(1));
      skipped = skipped.add(id);
      continue;
    }
    compared += 1;
    if (payload[0] !== 3) {
      expect({ text, answer }).toEqual({ text, answer: Buffer.from(payload) });
      continue;
    }
    const content = (of: Buffer) =>
      Buffer.from(lzoDecode(of.subarray(17), Number(of.readBigUInt64LE(1))) ?? []);
    expect({ text, content: content(answer) }).toEqual({ text, content: content(Buffer.from(payload)) });
  }
  expect(compared).toBeGreaterThan(15);
});

test("what cannot be answered is answered with an error, and the connection goes on", async () => {
  await using server = await TestServer.start();
  const wire = await server.neo();
  expect(await put(wire, "a b", 1n, "x")).toBe(2);
  expect(await put(wire, "ch", 1n, "")).toBe(2);
  expect(await put(wire, "ch", -1n & (2n ** 64n - 1n), "x")).toBe(2);
  await expect(getRange(wire, "ch", 5n, 4n)).rejects.toThrow("answered 3");
  await expect(getRange(wire, "ch", 0n, 9n, "(", 2)).rejects.toThrow("answered 3");
  await expect(getRange(wire, "ch", 0n, 9n, "x", 9)).rejects.toThrow("answered 3");
  await expect(wire.begin(9, 0)).rejects.toMatchObject({ status: 406 });
  await expect(wire.begin(1, 0)).rejects.toMatchObject({ status: 406 });
  expect(await put(wire, "ch", 1n, "x")).toBe(1);
  expect(await getRange(wire, "ch", 0n, 9n)).toEqual({ found: ["1 x"], batches: 1 });
});

test("a reader takes batch after batch, and may stop; a message out of turn ends the connection", async () => {
  await using server = await TestServer.start();
  const wire = await server.neo();
  const value = "v".repeat(1000);
  await Promise.all(Array.from({ length: 400 }, (_, index) => put(wire, "ch", BigInt(index), value)));
  expect((await getRange(wire, "ch", 0n, HIGH)).batches).toBe(5);
  const { id, queue } = await wire.begin(2, 2, array("ch"), u64(0n), u64(HIGH), array(""), byte(0));
  expect((await queue.take())[0]).toBe(1);
  expect((await queue.take())[0]).toBe(3);
  wire.tell(id, byte(2));
  expect((await queue.take())[0]).toBe(4);
  const other = await wire.begin(2, 2, array("ch"), u64(0n), u64(HIGH), array(""), byte(0));
  expect((await other.queue.take())[0]).toBe(1);
  expect((await other.queue.take())[0]).toBe(3);
  wire.tell(other.id, byte(6));
  await expect(other.queue.take()).rejects.toThrow("closed the connection");
});

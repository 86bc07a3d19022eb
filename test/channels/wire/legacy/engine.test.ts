/** The engine by itself: what a role decides for it. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { arrayField, requestBytes } from "../../../../src/channels/wire/legacy/client.ts";
import {
  Command,
  doTile,
  isInRange,
  keyText,
  reverseBits,
  Status,
} from "../../../../src/channels/wire/legacy/protocol.ts";
import {
  LegacyEngine,
  legacyDefaults,
  LegacyFlag,
  type LegacyConnection,
} from "../../../../src/native/legacy.ts";
import { Store } from "../../../../src/native/store.ts";

const NOW_MS = 1_700_000_000_000;
const KEY = keyText(1n);
let store: Store;
let engine: LegacyEngine;
let connection: LegacyConnection;

beforeEach(() => {
  store = new Store({ seed: new Uint8Array(16) });
  store.setLogging(true);
  engine = new LegacyEngine(store);
  connection = engine.connect();
});

afterEach(() => {
  engine.disconnect(connection);
  engine.close();
  store.close();
});

function ask(request: Uint8Array): Buffer {
  engine.feed(connection, request, NOW_MS);
  return Buffer.from(engine.replies());
}

const status = (request: Uint8Array) => ask(request).readInt32LE(0);
const put = (channel = "ch") => requestBytes(Command.Put, channel, KEY, "value");

test("a put leaves its effect before its answer, a get none", () => {
  expect(status(put())).toBe(Status.Ok);
  expect(engine.effectsLength).toBeGreaterThan(0);
  store.effects.clear();
  expect(
    ask(requestBytes(Command.Get, "ch", KEY))
      .subarray(12)
      .toString(),
  ).toBe("value");
  expect(engine.effectsLength).toBe(0);
});

test("while writes are refused they are answered 407 and change nothing; reads go on", () => {
  expect(status(put())).toBe(Status.Ok);
  store.effects.clear();
  engine.refuseWrites(true);
  expect(status(put())).toBe(Status.OutOfMemory);
  expect(status(requestBytes(Command.Remove, "ch", KEY))).toBe(Status.OutOfMemory);
  expect(status(requestBytes(Command.RemoveChannel, "ch"))).toBe(Status.OutOfMemory);
  expect(engine.effectsLength).toBe(0);
  expect(
    ask(requestBytes(Command.Get, "ch", KEY))
      .subarray(12)
      .toString(),
  ).toBe("value");
  engine.refuseWrites(false);
  expect(status(requestBytes(Command.Remove, "ch", KEY))).toBe(Status.Ok);
});

test("a memory limit of the store is answered 407", () => {
  store.setMemoryLimit(1);
  expect(status(put("another"))).toBe(Status.OutOfMemory);
  store.setMemoryLimit(0);
  expect(status(put("another"))).toBe(Status.Ok);
});

test("the order of checks of Put: too long, name, key, owner, empty, memory", () => {
  engine.range = { min: 0n, max: 0n }; // key 0 only
  engine.refuseWrites(true);
  const long = Buffer.alloc(65_504);
  const foreign = keyText(2n);
  expect(status(requestBytes(Command.Put, "bad name", "zz", long))).toBe(Status.ValueTooBig);
  expect(status(requestBytes(Command.Put, "bad name", "zz", ""))).toBe(Status.BadChannelName);
  expect(status(requestBytes(Command.Put, "ch", foreign, ""))).toBe(Status.WrongNode);
  expect(status(requestBytes(Command.Put, "ch", keyText(0n), ""))).toBe(Status.EmptyValue);
  expect(status(requestBytes(Command.Put, "ch", keyText(0n), "v"))).toBe(Status.OutOfMemory);
  expect(engine.feed(connection, requestBytes(Command.Put, "ch", "zz", ""), NOW_MS)).toBe(LegacyFlag.Close);
  expect(engine.replies().byteLength).toBe(0);
});

test("names of up to 240 bytes are names", () => {
  expect(status(put("n".repeat(240)))).toBe(Status.Ok);
  expect(status(put("n".repeat(241)))).toBe(Status.BadChannelName);
});

test("unfinished input of all clients together is bounded", () => {
  const small = new LegacyEngine(store, { ...legacyDefaults, inputBytesMax: 100_000 });
  const clients = [small.connect(), small.connect()];
  const half = Buffer.concat([
    requestBytes(Command.GetAllFilter, "ch"),
    arrayField(Buffer.alloc(90_000)).subarray(0, 60_000),
  ]);
  const flags = clients.map((client) => small.feed(client, half, NOW_MS));
  expect(flags).toEqual([0, LegacyFlag.Close]);
  expect(small.takeEvents()).toEqual(["too much unfinished input on this node"]);
  for (const client of clients) small.disconnect(client);
  expect(small.statistics().inputBytes).toBe(0);
  small.close();
});

test("settings out of range are refused", () => {
  expect(() => new LegacyEngine(store, { ...legacyDefaults, batchBytes: 1023 })).toThrow("out of range");
  expect(() => new LegacyEngine(store, { ...legacyDefaults, listenUpdatesMax: 1000 })).toThrow(
    "out of range",
  );
});

test("the owner of a key is told by its reversed bits", () => {
  expect(reverseBits(1n)).toBe(1n << 63n);
  expect(reverseBits(0x0123456789abcdefn)).toBe(0xf7b3d591e6a2c480n);
  expect(isInRange(1n, { min: 1n << 63n, max: (1n << 64n) - 1n })).toBe(true);
  engine.range = { min: 1n << 63n, max: (1n << 64n) - 1n };
  for (let key = 0n; key < 200n; key++) {
    const wanted = isInRange(key, engine.range) ? Status.Ok : Status.WrongNode;
    expect(status(requestBytes(Command.Put, "ch", keyText(key), "v"))).toBe(wanted);
  }
});

test("ranges tile or they do not", () => {
  const max = (1n << 64n) - 1n;
  const empty = { min: max, max: 0n };
  expect(doTile([{ min: 0n, max }])).toBe(true);
  expect(doTile([{ min: 6n, max }, empty, { min: 0n, max: 5n }])).toBe(true);
  expect(
    doTile([
      { min: 7n, max },
      { min: 0n, max: 5n },
    ]),
  ).toBe(false);
  expect(
    doTile([
      { min: 5n, max },
      { min: 0n, max: 5n },
    ]),
  ).toBe(false);
  expect(doTile([{ min: 0n, max: max - 1n }])).toBe(false);
  expect(doTile([empty])).toBe(false);
});

/**
 * The recorded neo conversations, played against a node. Every message must be the same, but for nonces and codes, streams
 * (any LZO1X stream of the same content is right), the order of records, and the defects that the recordings show: bad
 * channel names and empty values are refused here, and a client that may not remove a channel is told so.
 */
import { describe, expect, test } from "bun:test";
import { ByteReader } from "../../../../src/channels/wire/legacy/byte-reader.ts";
import { LegacyNode } from "../../../../src/channels/wire/legacy/client.ts";
import { keyText } from "../../../../src/channels/wire/legacy/protocol.ts";
import { codeOf } from "../../../../src/channels/wire/neo/credentials.ts";
import { array, HEADER_BYTES, message, readHeader } from "../../../../src/channels/wire/neo/messages.ts";
import { lzoDecode } from "../../../../src/native/lzo.ts";
import type { Socket } from "../../../../src/core/seams/net.ts";
import { readConversation, type Step } from "../legacy/conversation.ts";
import { SECRET, TestServer, world } from "../legacy/server.ts";

/** What the client of a recording sent it: seconds since 1970. The clock of that session, by its first message. */
const AUTHENTICATION = 2;

class Wire {
  readonly reader = new ByteReader();
  /** Code of each request, by id. */
  readonly codes = new Map<bigint, number>();
  time: Buffer = Buffer.alloc(0);
  nonce: Buffer = Buffer.alloc(0);
  #socket: Socket | undefined;
  #peeked: Buffer | undefined;

  static async open(port: number): Promise<Wire> {
    const wire = new Wire();
    wire.#socket = await world.net.connect({
      host: "127.0.0.1",
      port,
      handlers: {
        open: () => undefined,
        data: (_socket, _state, chunk) => wire.reader.push(chunk),
        drain: () => {},
        close: () => wire.reader.fail(new Error("closed")),
      },
    });
    return wire;
  }

  send(bytes: Buffer): void {
    this.#socket?.write(bytes);
  }

  /** The next message, header included. */
  async message(): Promise<Buffer> {
    const peeked = this.#peeked;
    this.#peeked = undefined;
    if (peeked !== undefined) return peeked;
    const header = await this.reader.take(HEADER_BYTES);
    const body = await this.reader.take(readHeader(header)?.length ?? 0);
    return Buffer.concat([header, body]);
  }

  unread(bytes: Buffer): void {
    this.#peeked = bytes;
  }

  close(): void {
    this.#socket?.terminate();
  }
}

const idOf = (bytes: Buffer) => bytes.readBigUInt64LE(HEADER_BYTES);
const payloadOf = (bytes: Buffer) => bytes.subarray(HEADER_BYTES + 8);

/** Messages of several requests in one segment, one by one. */
function messagesIn(bytes: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0; at + HEADER_BYTES <= bytes.byteLength;) {
    const end = at + HEADER_BYTES + (readHeader(bytes.subarray(at, at + HEADER_BYTES))?.length ?? 0);
    found.push(bytes.subarray(at, end));
    at = end;
  }
  return found;
}

/** Content of a batch as texts of its records, sorted; `hasKeyLength`: keys are fields of their own. */
function recordsOf(payload: Buffer, hasKeyLength: boolean, keysOnly: boolean): string[] {
  const content = Buffer.from(
    lzoDecode(payload.subarray(17), Number(payload.readBigUInt64LE(9))) ?? "undecodable",
  );
  const records: string[] = [];
  for (let at = 0; at < content.byteLength;) {
    if (hasKeyLength) at += 8;
    const key = keyText(content.readBigUInt64LE(at));
    at += 8;
    const length = keysOnly ? 0 : Number(content.readBigUInt64LE(at));
    if (!keysOnly) at += 8;
    records.push(`${key} ${Bun.hash(content.subarray(at, at + length))}`);
    at += length;
  }
  return records;
}

const isBatch = (code: number | undefined, payload: Buffer) =>
  (code === 5 && payload[0] === 7 && payload.byteLength > 1) || (code === 4 && payload[0] === 9);

interface PlayOptions {
  /** Answers of ours that differ, by the recording's comment and request: recorded hex payload → ours. */
  deviations?: (step: Step, request: Buffer) => string[] | undefined;
  /** The next records are part of a whole that depends on the node's order. */
  isOrderOurs?: (request: Buffer) => boolean;
}

async function play(server: TestServer, steps: Step[], options: PlayOptions = {}): Promise<number> {
  const wires = new Map<string, Wire>();
  const legacy = new Map<string, LegacyNode>();
  const requests = new Map<string, Buffer>();
  let base: bigint | undefined;
  let compared = 0;
  const open = async (name: string) => {
    const wire = wires.get(name) ?? (await Wire.open(server.neoPort));
    wires.set(name, wire);
    return wire;
  };
  for (let index = 0; index < steps.length; index++) {
    const step = steps[index] as Step;
    // The one legacy connection among them puts a record.
    if (
      legacy.has(step.connection) ||
      (step.kind === "send" &&
        !wires.has(step.connection) &&
        step.bytes[0] === 1 &&
        step.bytes.byteLength > 30 &&
        step.bytes[1] === 0)
    ) {
      const node = legacy.get(step.connection) ?? (await server.node());
      legacy.set(step.connection, node);
      if (step.kind === "send") node.send(step.bytes);
      else expect(await node.read(step.bytes.byteLength)).toEqual(step.bytes);
      continue;
    }
    const wire = await open(step.connection);
    if (step.kind === "send") {
      if (step.bytes[0] === AUTHENTICATION && step.bytes.byteLength > 2) {
        const body = step.bytes.subarray(HEADER_BYTES);
        if (body.byteLength === 8) {
          const recorded = body.readBigUInt64LE(0);
          base ??= recorded;
          const time = Buffer.alloc(8);
          time.writeBigUInt64LE(BigInt(Math.floor(world.clock.nowMs() / 1000)) + recorded - base);
          wire.time = time;
          const parity = step.bytes[9];
          const bytes = message(AUTHENTICATION, time);
          bytes[9] = parity as number;
          wire.send(bytes);
        } else {
          const name = body.subarray(8, 8 + Number(body.readBigUInt64LE(0))).toString();
          const secret = step.text === "wrong secret" ? SECRET.toReversed() : SECRET;
          wire.send(message(AUTHENTICATION, array(name), codeOf(secret, wire.time, wire.nonce)));
        }
        continue;
      }
      for (const each of messagesIn(step.bytes)) {
        // The first message of a request: a code and version 0 (others control one that goes on).
        if (each.byteLength < HEADER_BYTES + 10 || payloadOf(each)[1] !== 0) continue;
        wire.codes.set(idOf(each), payloadOf(each)[0] as number);
        requests.set(`${step.connection} ${idOf(each)}`, each);
      }
      wire.send(step.bytes);
      continue;
    }
    if (step.kind === "closed by node") {
      const end = wire.reader.take(1);
      await expect(end.then(String)).rejects.toThrow("closed");
      continue;
    }
    if (step.kind !== "receive") continue;
    compared++;
    if (step.bytes.byteLength === 1) {
      expect(await wire.reader.take(1)).toEqual(step.bytes);
      continue;
    }
    if (step.bytes[0] === AUTHENTICATION) {
      const got = await wire.message();
      if (step.bytes.byteLength === HEADER_BYTES + 4) wire.nonce = got.subarray(HEADER_BYTES);
      else expect(got).toEqual(step.bytes);
      continue;
    }
    const key = `${step.connection} ${idOf(step.bytes)}`;
    const request = requests.get(key) ?? Buffer.alloc(HEADER_BYTES + 8);
    const code = wire.codes.get(idOf(step.bytes));
    const deviation = options.deviations?.(step, request);
    if (deviation !== undefined) {
      for (const wanted of deviation) expect(payloadOf(await wire.message()).toString("hex")).toBe(wanted);
      continue;
    }
    if (isBatch(code, payloadOf(step.bytes))) {
      const keysOnly = code === 5 && request.byteLength > 0 && isKeysOnly(request);
      const wanted: string[] = recordsOf(payloadOf(step.bytes), code === 5, keysOnly);
      while (
        code === 5 &&
        isBatch(code, payloadOf(steps[index + 1]?.bytes ?? Buffer.alloc(HEADER_BYTES + 8)))
      )
        wanted.push(...recordsOf(payloadOf((steps[++index] as Step).bytes), true, keysOnly));
      const got: string[] = [];
      for (;;) {
        const next = await wire.message();
        if (!isBatch(code, payloadOf(next))) {
          wire.unread(next);
          break;
        }
        got.push(...recordsOf(payloadOf(next), code === 5, keysOnly));
        if (code === 4) break;
      }
      if (options.isOrderOurs?.(request) !== true) expect(got.sort()).toEqual(wanted.sort());
      continue;
    }
    const got = await wire.message();
    expect({ text: step.text, got: got.toString("hex") }).toEqual({
      text: step.text,
      got: step.bytes.toString("hex"),
    });
    if (payloadOf(step.bytes)[0] === 0xfd && payloadOf(step.bytes).byteLength === 1) continue;
  }
  for (const wire of wires.values()) wire.close();
  return compared;
}

function isKeysOnly(request: Buffer): boolean {
  const payload = payloadOf(request);
  const name = Number(payload.readBigUInt64LE(3));
  return payload[3 + 8 + name + 1 + 8] === 1;
}

/** Records that a recording's first whole answer shows. */
async function preload(
  server: TestServer,
  channel: string,
  content: Buffer,
  hasKeyLength: boolean,
): Promise<void> {
  const node = await server.neo();
  for (let at = 0; at < content.byteLength;) {
    if (hasKeyLength) at += 8;
    const key = keyText(content.readBigUInt64LE(at));
    const length = Number(content.readBigUInt64LE(at + 8));
    await node.put(channel, key, content.subarray(at + 16, at + 16 + length));
    at += 16 + length;
  }
}

const read = async (name: string) =>
  Buffer.from(await Bun.file(new URL(`../../../vectors/swarm/${name}`, import.meta.url)).arrayBuffer());

describe("conversations recorded with the original", () => {
  test("neo-handshake", async () => {
    await using server = await TestServer.start();
    const steps = readConversation("neo-handshake").map((step) => ({ ...step, text: "" }));
    // The fourth connection is the one with the wrong secret.
    for (const step of steps) if (step.connection === "4") step.text = "wrong secret";
    expect(await play(server, steps)).toBeGreaterThan(20);
    const said = server.lines.filter((line) => line.includes("rejected a client"));
    const reasons = [
      "unknown name or wrong secret",
      "unknown name or wrong secret",
      "the clock of admin is more than half an hour off",
      "protocol version 2",
      "what was sent is no message",
      "a request before authentication",
    ];
    for (const [index, reason] of reasons.entries()) expect(said[index]).toContain(reason);
  });

  test("neo-dht-basic", async () => {
    await using server = await TestServer.start();
    const steps = readConversation("neo-dht-basic");
    const badName = Buffer.from("n ch").toString("hex");
    const compared = await play(server, steps, {
      deviations(step, request) {
        const payload = payloadOf(step.bytes);
        const [code] = payloadOf(request);
        if (payload[0] === 0xfd && code === 9 && step.connection === "2") return ["fd", "02"]; // told what they forget
        if (payload[0] === 0xfd) return undefined;
        const isBad = payloadOf(request).toString("hex").includes(badName);
        if (code === 2 && isBad) return ["03"];
        if (code === 2 && payloadOf(request).toString("hex").endsWith("0700000000000000".padEnd(32, "0")))
          return ["03"];
        if (code === 3 && isBad) return ["04"];
        // The recorded node had other channels from before, and makes one when it is asked for.
        if (code === 6 && payload[0] === 2) return payload.subarray(9).toString() === "nch" ? undefined : [];
        return undefined;
      },
    });
    expect(compared).toBeGreaterThan(80);
  });

  test("neo-dht-getall", async () => {
    await using server = await TestServer.start();
    await preload(server, "small", await read("neo-dht-getall-1.raw"), true);
    for (const part of [2, 3, 4])
      await preload(server, "large", await read(`neo-dht-getall-${part}.raw`), true);
    const badName = Buffer.from("sm all").toString("hex");
    let isRefused = false;
    const compared = await play(server, readConversation("neo-dht-getall"), {
      isOrderOurs: (request) => payloadOf(request).toString("hex").includes("9bb2c3d4e5f60700"),
      deviations(step, request) {
        const payload = payloadOf(step.bytes);
        if (!payloadOf(request).toString("hex").includes(badName) || payload[0] === 0xfd) return undefined;
        if (isRefused) return [];
        isRefused = true;
        return ["06"];
      },
    });
    expect(compared).toBeGreaterThan(30);
  });

  test("neo-dht-mirror", async () => {
    await using server = await TestServer.start();
    const steps = readConversation("neo-dht-mirror");
    const first = steps.find(
      ({ kind, bytes }) => kind === "receive" && bytes[0] === 1 && payloadOf(bytes)[0] === 9,
    );
    const payload = payloadOf(first?.bytes ?? Buffer.alloc(0));
    await preload(
      server,
      "mir",
      Buffer.from(lzoDecode(payload.subarray(17), Number(payload.readBigUInt64LE(9))) ?? ""),
      false,
    );
    expect(await play(server, steps)).toBeGreaterThan(40);
  }, 120_000);
});

test("GetAll goes on behind a key with what follows it in the node's order", async () => {
  await using server = await TestServer.start();
  const node = await server.neo();
  for (let key = 0n; key < 200n; key++) await node.put("ch", keyText(key), "v");
  const all: string[] = [];
  for await (const keys of node.getAllKeys("ch")) all.push(...keys);
  for (const at of [0, 17, 198, 199]) {
    const rest: string[] = [];
    for await (const records of node.getAllFrom("ch", { after: all[at] as string, keysOnly: true }))
      rest.push(...records.map(({ key }) => key));
    expect(rest).toEqual(all.slice(at + 1));
  }
  // A key that is gone still has its place.
  await node.remove("ch", all[50] as string);
  const rest: string[] = [];
  for await (const records of node.getAllFrom("ch", { after: all[50] as string }))
    rest.push(...records.map(({ key }) => key));
  expect(rest).toEqual(all.slice(51));
});

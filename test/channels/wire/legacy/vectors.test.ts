/**
 * The recorded conversations and the byte examples of the protocol, played against a node. Every byte must be the same
 * but for port numbers, streams (any LZO1X stream of the same content is right) and the order of records.
 */
import { describe, expect, test } from "bun:test";
import { decodeBatch } from "../../../../src/channels/wire/legacy/batch.ts";
import { LegacyNode } from "../../../../src/channels/wire/legacy/client.ts";
import { Command } from "../../../../src/channels/wire/legacy/protocol.ts";
import type { Socket } from "../../../../src/core/seams/net.ts";
import { readConversation, type Step } from "./conversation.ts";
import { TestServer, world } from "./server.ts";

const OK = Buffer.from("c8000000", "hex");
const GET_VERSION = Buffer.from("18000000", "hex");
const VERSION = Buffer.from("c8000000080000000000000032303131303430 31".replace(" ", ""), "hex");

/** Places of the port in answers that carry the address 127.0.0.1. */
function withPort(bytes: Buffer, port: number): Buffer {
  const address = Buffer.from("0900000000000000", "hex");
  const changed = Buffer.from(bytes);
  const text = Buffer.concat([address, Buffer.from("127.0.0.1")]);
  const at = changed.indexOf(text);
  if (at === 4) changed.writeUInt16LE(port, at + text.byteLength);
  return changed;
}

const commandOf = (request: Buffer) => (request.byteLength >= 4 ? request.readInt32LE(0) : 0);
const isBulk = (request: Buffer) => [29, 30, 31].includes(commandOf(request));

/** Fields of all batches of a recorded bulk answer (behind the status), with the empty array that ends it. */
function fieldsOf(batches: Buffer): { fields: Buffer[]; batches: number } {
  const fields: Buffer[] = [];
  let count = 0;
  for (let at = 0; ;) {
    const length = Number(batches.readBigUInt64LE(at));
    if (length === 0) return { fields, batches: count };
    const decoded = decodeBatch(batches.subarray(at + 8, at + 8 + length));
    expect(decoded).toBeDefined();
    fields.push(...(decoded ?? []).map((field) => Buffer.from(field)));
    count++;
    at += 8 + length;
  }
}

const pairs = (fields: Buffer[], isPaired: boolean) => {
  // Long values are compared by their digest: a difference must stay readable.
  const texts = fields.map((field) =>
    field.byteLength > 100 ? `${field.byteLength} bytes ${Bun.hash(field)}` : field.toString("latin1"),
  );
  if (!isPaired) return texts.sort();
  return Array.from({ length: texts.length / 2 }, (_, index) => texts.slice(2 * index, 2 * index + 2)).sort(
    (a, b) => ((a[0] as string) < (b[0] as string) ? -1 : 1),
  );
};

async function readBulk(node: LegacyNode): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (;;) {
    const length = await node.read(8);
    parts.push(length);
    const size = Number(length.readBigUInt64LE(0));
    if (size === 0) return Buffer.concat(parts);
    parts.push(await node.read(size));
  }
}

/** True when the node closes the connection instead of sending anything more. */
async function isClosed(node: LegacyNode): Promise<boolean> {
  return node.read(1).then(
    () => false,
    () => true,
  );
}

/** Names of a GetChannels answer, whose order is nobody's business. */
function namesOf(answer: Buffer): string[] {
  const names: string[] = [];
  for (let at = 4; ;) {
    const length = Number(answer.readBigUInt64LE(at));
    if (length === 0) return names.sort();
    names.push(answer.toString("latin1", at + 8, at + 8 + length));
    at += 8 + length;
  }
}

class Player {
  readonly #server: TestServer;
  readonly #nodes = new Map<string, LegacyNode>();
  #lastRequest = new Map<string, Buffer>();

  constructor(server: TestServer) {
    this.#server = server;
  }

  async #node(connection: string): Promise<LegacyNode> {
    let node = this.#nodes.get(connection);
    if (node === undefined) {
      node = await LegacyNode.connect(world.net, { host: "127.0.0.1", port: this.#server.port });
      this.#nodes.set(connection, node);
    }
    return node;
  }

  async play(steps: Step[]): Promise<number> {
    let played = 0;
    for (let index = 0; index < steps.length; index++) {
      const step = steps[index] as Step;
      const node = await this.#node(step.connection);
      const request = this.#lastRequest.get(step.connection) ?? Buffer.alloc(0);
      played++;
      if (step.kind === "send") {
        node.send(step.bytes);
        this.#lastRequest.set(step.connection, step.bytes);
      } else if (step.kind === "closed by node") {
        expect({ text: step.text, closed: await isClosed(node) }).toEqual({ text: step.text, closed: true });
      } else if (step.kind === "nothing") {
        if (commandOf(request) !== 25) continue; // asked by the next answer, which must be the next bytes
      } else if (isBulk(request) && step.bytes.equals(OK)) {
        expect(await node.read(4)).toEqual(step.bytes);
        const recorded: Buffer[] = [];
        while (steps[index + 1]?.kind === "receive") recorded.push((steps[++index] as Step).bytes);
        const wanted = fieldsOf(Buffer.concat(recorded));
        const got = fieldsOf(await readBulk(node));
        const isPaired = commandOf(request) !== 30;
        expect(pairs(got.fields, isPaired)).toEqual(pairs(wanted.fields, isPaired));
      } else {
        const wanted = withPort(step.bytes, this.#server.port);
        const got = await node.read(wanted.byteLength);
        if (commandOf(request) === Command.GetChannels && step.bytes.byteLength > 12) {
          expect(namesOf(got)).toEqual(namesOf(wanted));
          continue;
        }
        expect({ text: step.text, got: got.toString("hex") }).toEqual({
          text: step.text,
          got: wanted.toString("hex"),
        });
      }
    }
    return played;
  }

  close(): void {
    for (const node of this.#nodes.values()) node.close();
  }
}

/** Records that were there before the conversation began: those of its GetAll answers. */
async function preload(server: TestServer, steps: Step[]): Promise<void> {
  const node = await server.node();
  for (const [index, { kind, bytes }] of steps.entries()) {
    if (kind !== "send" || commandOf(bytes) !== 29) continue;
    const channel = bytes.subarray(12).toString();
    for (let at = index + 2; ; at++) {
      const { bytes: array } = steps[at] as Step;
      if (array.byteLength <= 8) break;
      const fields = decodeBatch(array.subarray(8)) ?? [];
      for (let field = 0; field < fields.length; field += 2)
        await node.put(
          channel,
          Buffer.from(fields[field] as Uint8Array).toString(),
          fields[field + 1] as Uint8Array,
        );
    }
  }
  node.close();
}

async function play(steps: Step[], config: Record<string, unknown> = {}, isPreloaded = false): Promise<void> {
  await using server = await TestServer.start(config);
  if (isPreloaded) await preload(server, steps);
  const player = new Player(server);
  try {
    expect(await player.play(steps)).toBeGreaterThan(1);
  } finally {
    player.close();
  }
}

/** Hands bytes on to a node, and keeps what was sent to it. */
class Relay {
  readonly sent: Buffer[] = [];
  connections = 0;
  #listener: { port: number; stop(): void } | undefined;

  static async start(port: number): Promise<Relay> {
    const relay = new Relay();
    relay.#listener = await world.net.listen<Promise<Socket>>({
      host: "127.0.0.1",
      port: 0,
      handlers: {
        open: (near) => {
          relay.connections++;
          return world.net.connect({
            host: "127.0.0.1",
            port,
            handlers: {
              open: () => undefined,
              data: (_far, _state, chunk) => void near.write(chunk),
              drain: () => {},
              close: () => near.end(),
            },
          });
        },
        data: (_near, far, chunk) => {
          const bytes = Buffer.from(chunk);
          relay.sent.push(bytes);
          void far.then((socket) => socket.write(bytes));
        },
        drain: () => {},
        close: (_near, far) => void far.then((socket) => socket.end()),
      },
    });
    return relay;
  }

  get port(): number {
    return this.#listener?.port ?? 0;
  }

  stop(): void {
    this.#listener?.stop();
  }
}

describe("conversations recorded with the original", () => {
  test.each(["dht-basic", "dht-putbatch", "dht-getall-small"])(
    "%s",
    async (name) => {
      await play(readConversation(name));
    },
    120_000,
  );

  test.each(["dht-getall-large", "dht-getall-extreme"])("%s", async (name) => {
    await play(readConversation(name), {}, true);
  });

  test("dht-outofmemory", async () => {
    await play(readConversation("dht-outofmemory"), { swarm: { sizeBytesMax: 600_000 } });
  });

  test("dht-listen", async () => {
    await play(readConversation("dht-listen"), { swarm: { writeFlushMs: 1 } });
  });

  test("dht-redistribute: what a controller sees, and what the node sends to the other one", async () => {
    const steps = readConversation("dht-redistribute");
    await using first = await TestServer.start();
    await using second = await TestServer.start({
      hashRange: { min: "8000000000000000", max: "ffffffffffffffff" },
    });
    const relay = await Relay.start(second.port);
    const player = new Player(first);
    try {
      const isRequest = ({ kind, bytes }: Step) =>
        kind === "send" && commandOf(bytes) === Command.Redistribute;
      const [at, invalid] = steps.flatMap((step, index) => (isRequest(step) ? [index] : [])) as [
        number,
        number,
      ];
      const bytes: Buffer = withPort(Buffer.from((steps[at] as Step).bytes), 0);
      bytes.writeUInt16LE(relay.port, bytes.indexOf("127.0.0.1") + "127.0.0.1".length);
      const ofController = (step: Step) => step.connection === "1";
      await player.play([...steps.slice(0, at), { ...(steps[at] as Step), bytes }, steps[at + 1] as Step]);
      // The recording goes on when the records have arrived.
      const node = await second.node();
      while ((await node.getChannelSize("redis")).records < 3);
      while ((await (await first.node()).getChannelSize("redis")).records > 3);
      await player.play(steps.slice(at + 2, invalid).filter(ofController));
      await player.play(steps.slice(invalid, invalid + 2));
      const other = new Player(second);
      await other.play(steps.filter(({ connection }) => connection === "2"));
      other.close();
      // One connection, and on it one PutBatch without a handshake.
      const recorded = steps.find(({ connection }) => connection === "R1")?.bytes ?? Buffer.alloc(0);
      expect(relay.connections).toBe(1);
      const sent: Buffer = Buffer.concat(relay.sent);
      const head = 4 + 8 + "redis".length;
      expect(sent.toString("hex", 0, head)).toBe(recorded.toString("hex", 0, head));
      expect(sent.readBigUInt64LE(head)).toBe(BigInt(sent.byteLength - head - 8));
      const content = (request: Uint8Array) =>
        pairs(
          (decodeBatch(request.subarray(head + 8)) ?? []).map((field) => Buffer.from(field)),
          true,
        );
      expect(content(sent)).toEqual(content(recorded));
    } finally {
      player.close();
      relay.stop();
    }
  });

  test("dht-dhtdump", async () => {
    // The record of a dump: the channels are those of dht-getall-small.
    const filled = readConversation("dht-getall-small").filter(
      ({ kind, bytes }, index, steps) =>
        (kind === "send" && commandOf(bytes) === 1) ||
        (kind === "receive" && commandOf(steps[index - 1]?.bytes ?? Buffer.alloc(0)) === 1),
    );
    expect(filled.length).toBeGreaterThan(10);
    await play([...filled, ...readConversation("dht-dhtdump")]);
  });
});

describe("input after which the node closes", () => {
  test.each([
    ["an unknown command", "63000000", "90010000"],
    ["command 0", "00000000", "90010000"],
    ["the command that the seed generation dropped", "15000000", "90010000"],
    ["a Put with a short key", "01000000 02000000000000006368 02000000000000007a7a 010000000000000078", ""],
    [
      "a Put whose key is not hexadecimal",
      "01000000 02000000000000006368 10000000000000007a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a 010000000000000078",
      "",
    ],
    ["a Remove with a short key", "0c000000 02000000000000006368 02000000000000007a7a", ""],
    [
      "a batch that cannot be decoded",
      "22000000 02000000000000006368 1c00000000000000 6400000000000000 ffffffffffffffffffffffffffffffffffffffff",
      "",
    ],
    [
      "a batch that ends within a field",
      "22000000 02000000000000006368 1100000000000000 0400000000000000 15 ffffffff 110000 00",
      "",
    ],
  ])("%s", async (_name, request, answer) => {
    await using server = await TestServer.start();
    const node = await server.node();
    node.send(Buffer.from(request.replaceAll(" ", ""), "hex"));
    const bytes = Buffer.from(answer, "hex");
    expect(await node.read(bytes.byteLength)).toEqual(bytes);
    expect(await isClosed(node)).toBe(true);
    // The node lives on.
    expect(await (await server.node()).getVersion()).toBe("20110401");
  });

  test("an array over 10 MiB is read and thrown away first", async () => {
    await using server = await TestServer.start();
    const node = await server.node();
    const length = 10 * 1024 * 1024 + 1;
    const header = Buffer.alloc(12);
    header.writeInt32LE(7, 0);
    header.writeBigUInt64LE(BigInt(length), 4);
    node.send(header);
    const chunk = Buffer.alloc(65536);
    for (let sent = 0; sent < length; sent += chunk.byteLength)
      node.send(chunk.subarray(0, Math.min(chunk.byteLength, length - sent)));
    expect(await isClosed(node)).toBe(true);
    expect(server.lines.join("\n")).toContain("an array of 10485761 bytes");
  });

  test("but a Put of as much is answered 410 and the connection stays usable", async () => {
    await using server = await TestServer.start();
    const node = await server.node();
    const length = 11 * 1024 * 1024;
    const put = node.put("ch", "0000000000000001", Buffer.alloc(length));
    await expect(put).rejects.toMatchObject({ status: 410 });
    expect(await node.getVersion()).toBe("20110401");
  });

  test("a key that nobody interprets is no error: Get and Exists", async () => {
    await using server = await TestServer.start();
    const node = await server.node();
    expect(await node.get("ch", "zz")).toBeUndefined();
    expect(await node.exists("ch", "zz")).toBe(false);
    node.send(GET_VERSION);
    expect(await node.read(VERSION.byteLength)).toEqual(VERSION);
  });
});

test("GetAll of the byte examples, exactly", async () => {
  await using server = await TestServer.start();
  const node = await server.node();
  await node.put("ch1", "0000000000000012", "hello");
  node.send(Buffer.from("1d0000000300000000000000636831", "hex"));
  const wanted =
    "c8000000 2900000000000000 2500000000000000 06 1000000000000000302a00000d303132050000000000000068656c6c6f 110000 0000000000000000";
  const bytes = Buffer.from(wanted.replaceAll(" ", ""), "hex");
  // Our stream may differ; its content and frame may not.
  expect(await node.read(4)).toEqual(bytes.subarray(0, 4));
  const got = await readBulk(node);
  expect(got.readBigUInt64LE(8)).toBe(0x25n);
  expect(fieldsOf(got)).toEqual(fieldsOf(bytes.subarray(4)));
  node.send(Buffer.from("1d0000000600000000000000656d70747930", "hex"));
  const empty = Buffer.from(
    "c80000000b00000000000000000000000000000011000000 00000000000000".replace(" ", ""),
    "hex",
  );
  expect(await node.read(empty.byteLength)).toEqual(empty);
});

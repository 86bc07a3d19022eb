/** The requests of the neo protocol on a queue node. */
import { expect, test } from "bun:test";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { QueueNode } from "../../../src/channels/wire/legacy/queue-client.ts";
import { NeoWire } from "../../../src/channels/wire/neo/connection.ts";
import { array } from "../../../src/channels/wire/neo/messages.ts";
import { PayloadReader } from "../../../src/channels/wire/neo/payload-reader.ts";
import { QueueCode, queueVersions } from "../../../src/channels/wire/neo/protocol.ts";
import { SECRET } from "../wire/legacy/server.ts";
import { startQueue, type TestServer, world } from "./server.ts";

const CONTINUE = Uint8Array.of(1);
const STOP = Uint8Array.of(2);
const STARTED = Buffer.of(1);

class Client implements Disposable {
  readonly #wire: NeoWire;

  private constructor(wire: NeoWire) {
    this.#wire = wire;
  }

  static async connect(server: TestServer): Promise<Client> {
    const address = { host: "127.0.0.1", port: server.neoPort };
    const user = { name: "user", secret: SECRET };
    return new Client(await NeoWire.connect(world.net, world.clock, address, user));
  }

  async #ask(code: number, version: number, ...payload: Uint8Array[]): Promise<Buffer> {
    const { id, queue } = await this.#wire.begin(code, version, ...payload);
    const answer = Buffer.from(await queue.take());
    this.#wire.release(id);
    return answer;
  }

  async push(channels: string[], record: string): Promise<number> {
    const count = Uint8Array.of(channels.length);
    const parts = [count, ...channels.map(array), array(record)];
    return (await this.#ask(QueueCode.Push, queueVersions.Push, ...parts))[0] as number;
  }

  /** The record, or the status that came instead of one. */
  async pop(channel: string): Promise<string | number> {
    const answer = await this.#ask(QueueCode.Pop, queueVersions.Pop, array(channel));
    if (answer[0] !== 1) return answer[0] as number;
    return Buffer.from(new PayloadReader(answer.subarray(1)).array()).toString();
  }

  async consume(channel: string, subscriber = "") {
    const payload = [array(channel), array(subscriber)];
    const { id, queue } = await this.#wire.begin(QueueCode.Consume, queueVersions.Consume, ...payload);
    const next = async () => Buffer.from(await queue.take());
    return {
      next,
      tell: (message: Uint8Array) => this.#wire.tell(id, message),
      /** Records of the next message, which has some. */
      records: async () => {
        const message = await next();
        expect(message[0]).toBe(3);
        let batch = Buffer.from(new PayloadReader(message.subarray(1)).array());
        const found: string[] = [];
        for (; batch.length > 0;) {
          const end = 8 + Number(batch.readBigUInt64LE());
          found.push(batch.subarray(8, end).toString());
          batch = batch.subarray(end);
        }
        return found;
      },
    };
  }

  [Symbol.dispose](): void {
    this.#wire.close();
  }
}

test("what is pushed is popped in the same order, from each of the channels named", async () => {
  await using server = await startQueue();
  using client = await Client.connect(server);
  expect(await client.pop("q")).toBe(2);
  expect([await client.push(["q"], "a"), await client.push(["q", "r"], "b")]).toEqual([1, 1]);
  expect([await client.pop("q"), await client.pop("q"), await client.pop("q")]).toEqual(["a", "b", 2]);
  expect(await client.pop("r")).toBe("b");
});

test("bad names, empty records and pushes that do not fit are errors", async () => {
  await using server = await startQueue();
  using client = await Client.connect(server);
  expect(await client.push(["a/b"], "x")).toBe(2);
  expect(await client.push(["q", ""], "x")).toBe(2);
  expect(await client.push(["q"], "")).toBe(2);
  expect(await client.push([], "x")).toBe(2);
  expect(await client.pop("a/b")).toBe(3);
  expect(await client.pop("q")).toBe(2);
});

test("a consumer gets what is there and what comes, one batch for each message it sends", async () => {
  await using server = await startQueue();
  using client = await Client.connect(server);
  await client.push(["q"], "old");
  const consumer = await client.consume("q");
  expect(await consumer.next()).toEqual(STARTED);
  expect(await consumer.records()).toEqual(["old"]);
  await client.push(["q"], "one");
  await client.push(["q"], "two");
  expect(await client.pop("q")).toBe(4);
  consumer.tell(CONTINUE);
  expect(await consumer.records()).toEqual(["one", "two"]);
  consumer.tell(STOP);
  expect(await consumer.next()).toEqual(Buffer.of(4));
});

test("each subscriber gets every record, consumers of the same name share them", async () => {
  await using server = await startQueue();
  using client = await Client.connect(server);
  const consumers = [];
  for (const name of ["one", "two", "two"]) {
    const consumer = await client.consume("q", name);
    expect(await consumer.next()).toEqual(STARTED);
    consumers.push(consumer);
  }
  const [alone, ...shared] = consumers as [(typeof consumers)[0], ...typeof consumers];
  const take = async (consumer: typeof alone, found: string[]) => {
    for (;;) {
      const records = await consumer.records();
      found.push(...records);
      if (records.includes("last")) return;
      consumer.tell(CONTINUE);
    }
  };
  const ofOne: string[] = [];
  const ofTwo: string[] = [];
  const all = Array.from({ length: 50 }, (_, index) => `record ${index}`).concat("last");
  const taken = Promise.all([take(alone, ofOne), Promise.race(shared.map((each) => take(each, ofTwo)))]);
  for (const record of all) expect(await client.push(["q"], record)).toBe(1);
  await taken;
  expect(ofOne).toEqual(all);
  expect(ofTwo.toSorted()).toEqual(all.toSorted());
});

test("a consumer hears that its channel is removed", async () => {
  await using server = await startQueue();
  using client = await Client.connect(server);
  const consumer = await client.consume("q");
  expect(await consumer.next()).toEqual(STARTED);
  const legacy = await QueueNode.connect(world.net, { host: "127.0.0.1", port: server.port });
  await legacy.removeChannel("q");
  legacy.close();
  expect(await consumer.next()).toEqual(Buffer.of(5));
  expect(await client.pop("q")).toBe(2);
});

test("what is pushed and popped is in the log of a durable node", async () => {
  const directory = mkdtempSync(join(tmpdir(), "node-x-queue-neo-"));
  const first = await startQueue({ durability: "log" }, directory);
  {
    using client = await Client.connect(first);
    for (const record of ["a", "b", "c"]) expect(await client.push(["q"], record)).toBe(1);
    expect(await client.pop("q")).toBe("a");
  }
  await first.stop();
  await using second = await startQueue({ durability: "log" }, directory);
  using client = await Client.connect(second);
  expect([await client.pop("q"), await client.pop("q"), await client.pop("q")]).toEqual(["b", "c", 2]);
});

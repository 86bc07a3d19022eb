/**
 * A client of the legacy swarm protocol: `LegacyNode` speaks to one node, `LegacyClient` to a system of nodes that
 * share the hash space.
 *
 * Requests of one connection may be called without waiting: they are sent in order and their answers read in order.
 * A stream (`listen`, `getAll`) occupies its connection until it ends. Invariant: a node that stops answering
 * or sends what is no answer rejects every request that waits. Reads only as fast as its caller takes.
 */
import { NxError } from "../../../core/errors.ts";
import type { Net, Socket, TlsToPeer } from "../../../core/seams/net.ts";
import { decodeBatch, decodeContent, encodeBatch, type LegacyRecord } from "./batch.ts";
import { ByteReader } from "./byte-reader.ts";
import { Command, doTile, isInRange, keyText, PROTOCOL_VERSION, type Range, Status } from "./protocol.ts";

export interface NodeAddress {
  host: string;
  port: number;
  /** Absent: without TLS. */
  tls?: TlsToPeer;
}

export interface SizeAnswer {
  address: string;
  port: number;
  records: number;
  bytes: number;
}

/** A node of a Redistribute request. */
export interface RangedNode extends NodeAddress {
  range: Range;
}

/** A status other than 200. */
export class StatusError extends Error {
  readonly status: number;
  constructor(status: number) {
    super(`the node answered with status ${status}`);
    this.status = status;
  }
}

/** Longer arrays in answers are not believed. A value may be as long as the node's other protocols allow. */
const ARRAY_BYTES_MAX = 1024 * 1024 * 1024;

const u32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
};

const u64 = (value: bigint) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
};

/** An array field. */
export const arrayField = (content: Uint8Array | string): Buffer => {
  const bytes = typeof content === "string" ? Buffer.from(content, "latin1") : content;
  return Buffer.concat([u64(BigInt(bytes.byteLength)), bytes]);
};

/** The bytes of a request whose fields are all arrays. */
export const requestBytes = (code: number, ...fields: (Uint8Array | string)[]): Buffer =>
  Buffer.concat([u32(code), ...fields.map(arrayField)]);

/** One connection to one node. */
export class LegacyNode {
  readonly address: NodeAddress;
  readonly #reader: ByteReader;
  readonly #socket: Socket;
  #unsent: Buffer[] = [];
  /** Settles when the answers so far were read. */
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(address: NodeAddress, socket: Socket, reader: ByteReader) {
    this.address = address;
    this.#socket = socket;
    this.#reader = reader;
  }

  /** Throws NX_CONNECT_FAILED. */
  static async connect(net: Net, address: NodeAddress): Promise<LegacyNode> {
    let node: LegacyNode | undefined;
    const reader = new ByteReader();
    const socket = await net.connect<undefined>({
      ...address,
      handlers: {
        open: () => undefined,
        data: (_socket, _state, chunk) => reader.push(chunk),
        drain: () => {
          if (node !== undefined) node.#flush();
        },
        close: (_socket, _state, error) =>
          reader.fail(
            new NxError("NX_CONNECT_FAILED", `${address.host}:${address.port} closed the connection`, {
              cause: error,
            }),
          ),
      },
    });
    reader.source = socket;
    node = new LegacyNode(address, socket, reader);
    return node;
  }

  /** It is of no use any more, whoever ended it. */
  get isClosed(): boolean {
    return this.#reader.hasFailed;
  }

  close(): void {
    this.#socket.terminate();
    this.#reader.fail(new NxError("NX_CONNECT_FAILED", "the connection was closed here"));
  }

  /** Sends raw bytes: tests of malformed requests. */
  send(bytes: Uint8Array): void {
    this.#unsent.push(Buffer.from(bytes));
    this.#flush();
  }

  /** The next `length` bytes of whatever the node sends. */
  read(length: number): Promise<Buffer> {
    return this.#reader.take(length);
  }

  /** A request of another kind of node: its bytes, and how its answer behind status 200 is read. */
  exchange<Answer>(bytes: Uint8Array, read: (node: this) => Promise<Answer>): Promise<Answer> {
    return this.#request(bytes, () => read(this));
  }

  /** The next array of whatever the node sends. */
  readArray(): Promise<Buffer> {
    return this.#array();
  }

  /** Arrays up to an empty one, as texts. */
  async readNames(): Promise<string[]> {
    const names: string[] = [];
    for (let name = await this.#array(); name.byteLength > 0; name = await this.#array())
      names.push(name.toString("latin1"));
    return names;
  }

  /** The size answer behind its status. */
  readSize(): Promise<SizeAnswer> {
    return this.#size();
  }

  #flush(): void {
    while (this.#unsent.length > 0) {
      const next = this.#unsent[0] as Buffer;
      const taken = this.#socket.write(next);
      if (taken < 0) return;
      if (taken < next.byteLength) {
        this.#unsent[0] = next.subarray(taken);
        return;
      }
      this.#unsent.shift();
    }
  }

  /** Sends a request now; reads its answer when those before it were read. */
  #request<Answer>(bytes: Uint8Array, read: () => Promise<Answer>): Promise<Answer> {
    this.send(bytes);
    const answer = this.#turn.then(async () => {
      const status = (await this.#reader.take(4)).readInt32LE(0);
      if (status !== Status.Ok) throw new StatusError(status);
      return read();
    });
    // One refused request does not spoil the next; a lost connection rejects each by itself.
    this.#turn = answer.catch(() => undefined);
    return answer;
  }

  readonly #nothing = () => Promise.resolve();
  readonly #array = async (): Promise<Buffer> => {
    const length = (await this.#reader.take(8)).readBigUInt64LE(0);
    if (length > BigInt(ARRAY_BYTES_MAX))
      throw new NxError("NX_CONNECT_FAILED", `an array of ${length} bytes is no answer`);
    return this.#reader.take(Number(length));
  };
  readonly #u64 = async (): Promise<bigint> => (await this.#reader.take(8)).readBigUInt64LE(0);

  async #size(): Promise<SizeAnswer> {
    const address = (await this.#array()).toString("latin1");
    const port = (await this.#reader.take(2)).readUInt16LE(0);
    return { address, port, records: Number(await this.#u64()), bytes: Number(await this.#u64()) };
  }

  put(channel: string, key: string, value: Uint8Array | string): Promise<void> {
    return this.#request(requestBytes(Command.Put, channel, key, value), this.#nothing);
  }

  /** Undefined when there is no such record. */
  async get(channel: string, key: string): Promise<Buffer | undefined> {
    const value = await this.#request(requestBytes(Command.Get, channel, key), this.#array);
    return value.byteLength === 0 ? undefined : value;
  }

  exists(channel: string, key: string): Promise<boolean> {
    const read = async () => (await this.#reader.take(1))[0] === 1;
    return this.#request(requestBytes(Command.Exists, channel, key), read);
  }

  remove(channel: string, key: string): Promise<void> {
    return this.#request(requestBytes(Command.Remove, channel, key), this.#nothing);
  }

  getChannels(): Promise<string[]> {
    return this.#request(requestBytes(Command.GetChannels), () => this.readNames());
  }

  getChannelSize(channel: string): Promise<SizeAnswer> {
    return this.#request(requestBytes(Command.GetChannelSize, channel), () => this.#size());
  }

  getSize(): Promise<SizeAnswer> {
    return this.#request(requestBytes(Command.GetSize), () => this.#size());
  }

  getResponsibleRange(): Promise<Range> {
    return this.#request(requestBytes(Command.GetResponsibleRange), async () => ({
      min: await this.#u64(),
      max: await this.#u64(),
    }));
  }

  removeChannel(channel: string): Promise<void> {
    return this.#request(requestBytes(Command.RemoveChannel, channel), this.#nothing);
  }

  getNumConnections(): Promise<number> {
    return this.#request(requestBytes(Command.GetNumConnections), async () => {
      await this.#array();
      await this.#reader.take(2);
      return Number(await this.#u64());
    });
  }

  getVersion(): Promise<string> {
    return this.#request(requestBytes(Command.GetVersion), async () => (await this.#array()).toString());
  }

  putBatch(channel: string, records: readonly LegacyRecord[]): Promise<void> {
    return this.#request(requestBytes(Command.PutBatch, channel, encodeBatch(records)), this.#nothing);
  }

  /** Sends a request that was made elsewhere and whose answer is a status only. */
  sendRequest(bytes: Uint8Array): Promise<void> {
    return this.#request(bytes, this.#nothing);
  }

  redistribute(own: Range, nodes: readonly RangedNode[]): Promise<void> {
    const fields: Uint8Array[] = [u32(Command.Redistribute), u64(own.min), u64(own.max)];
    for (const { host, port, range } of nodes) {
      const portBytes = Buffer.alloc(2);
      portBytes.writeUInt16LE(port);
      fields.push(arrayField(host), portBytes, u64(range.min), u64(range.max));
    }
    fields.push(u64(0n));
    return this.#request(Buffer.concat(fields), this.#nothing);
  }

  /** All records, batch by batch as the node sends them. */
  async *getAll(channel: string, filter?: Uint8Array | string): AsyncGenerator<LegacyRecord[]> {
    const request =
      filter === undefined
        ? requestBytes(Command.GetAll, channel)
        : requestBytes(Command.GetAllFilter, channel, filter);
    for await (const fields of this.bulk(request)) {
      const records: LegacyRecord[] = [];
      for (let at = 0; at + 1 < fields.length; at += 2)
        records.push({ key: textOf(fields[at] as Uint8Array), value: fields[at + 1] as Uint8Array });
      yield records;
    }
  }

  /** Contents of the batches of GetAll as they are: { u64 16, key, u64 length, value }…, unchecked. */
  getAllContents(channel: string): AsyncGenerator<Uint8Array> {
    return this.#batches(requestBytes(Command.GetAll, channel), decodeContent);
  }

  async *getAllKeys(channel: string): AsyncGenerator<string[]> {
    for await (const fields of this.bulk(requestBytes(Command.GetAllKeys, channel))) yield fields.map(textOf);
  }

  /** The fields of an answer in batches, batch by batch. */
  bulk(request: Uint8Array): AsyncGenerator<Uint8Array[]> {
    return this.#batches(request, decodeBatch);
  }

  async *#batches<Batch>(
    request: Uint8Array,
    decode: (array: Uint8Array) => Batch | undefined,
  ): AsyncGenerator<Batch> {
    yield* this.#stream(request, async () => {
      const array = await this.#array();
      if (array.byteLength === 0) return undefined;
      const batch = decode(array);
      if (batch === undefined)
        throw new NxError("NX_CONNECT_FAILED", "the node sent a batch that cannot be decoded");
      return batch;
    });
  }

  /** Changed records until the channel is removed; an empty value is a record that is gone. */
  async *listen(channel: string): AsyncGenerator<LegacyRecord> {
    yield* this.#stream(requestBytes(Command.Listen, channel), async () => {
      const key = await this.#array();
      const value = await this.#array();
      return key.byteLength === 0 ? undefined : { key: key.toString("latin1"), value };
    });
  }

  /** Holds the connection until `next` says that the stream has ended. A stream that is left early ends the connection. */
  async *#stream<Item>(request: Uint8Array, next: () => Promise<Item | undefined>): AsyncGenerator<Item> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const started = this.#request(request, this.#nothing);
    this.#turn = promise;
    let hasEnded = false;
    try {
      await started;
      for (let item = await next(); item !== undefined; item = await next()) yield item;
      hasEnded = true;
    } catch (error) {
      hasEnded = error instanceof StatusError;
      throw error;
    } finally {
      if (!hasEnded) this.close();
      resolve();
    }
  }
}

const textOf = (bytes: Uint8Array) =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");

/** A system of nodes, one connection to each. Key requests go to the owner, the others to all. */
export class LegacyClient {
  readonly nodes: readonly LegacyNode[];
  #ranges: Range[] = [];

  private constructor(nodes: LegacyNode[]) {
    this.nodes = nodes;
  }

  /** Connects to every node and does the handshake. Throws NX_CONNECT_FAILED. */
  static async connect(net: Net, addresses: readonly NodeAddress[]): Promise<LegacyClient> {
    const client = new LegacyClient(
      await Promise.all(addresses.map((address) => LegacyNode.connect(net, address))),
    );
    await client.handshake();
    return client;
  }

  /** Asks each node for its version and range; the ranges must cover the hash space exactly once. */
  async handshake(): Promise<void> {
    const answers = await Promise.all(
      this.nodes.map(async (node) => ({
        node,
        version: await node.getVersion(),
        range: await node.getResponsibleRange(),
      })),
    );
    const other = answers.find(({ version }) => version !== PROTOCOL_VERSION);
    if (other !== undefined) {
      const { host, port } = other.node.address;
      throw new NxError("NX_CONNECT_FAILED", `${host}:${port} speaks version ${other.version}`);
    }
    const ranges = answers.map(({ range }) => range);
    if (!doTile(ranges))
      throw new NxError("NX_CONNECT_FAILED", "the nodes' ranges leave a gap or overlap", {
        hint: "name all nodes of the system; every hash must belong to exactly one",
      });
    this.#ranges = ranges;
  }

  /** The node that owns a key. */
  owner(key: string): LegacyNode {
    const number = BigInt(`0x${key}`);
    const index = this.#ranges.findIndex((range) => isInRange(number, range));
    const node = this.nodes[index];
    if (node === undefined) throw new NxError("NX_CONNECT_FAILED", `no node is responsible for ${key}`);
    return node;
  }

  put(channel: string, key: string | bigint, value: Uint8Array | string): Promise<void> {
    const text = typeof key === "string" ? key : keyText(key);
    return this.owner(text).put(channel, text, value);
  }

  get(channel: string, key: string): Promise<Buffer | undefined> {
    return this.owner(key).get(channel, key);
  }

  exists(channel: string, key: string): Promise<boolean> {
    return this.owner(key).exists(channel, key);
  }

  remove(channel: string, key: string): Promise<void> {
    return this.owner(key).remove(channel, key);
  }

  async removeChannel(channel: string): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.removeChannel(channel)));
  }

  /** Records of a channel on all nodes. */
  async records(channel: string): Promise<number> {
    const sizes = await Promise.all(this.nodes.map((node) => node.getChannelSize(channel)));
    return sizes.reduce((sum, { records }) => sum + records, 0);
  }

  async getAll(channel: string, filter?: string): Promise<LegacyRecord[]> {
    return (await Promise.all(this.nodes.map((node) => gather(node.getAll(channel, filter))))).flat();
  }

  async getAllKeys(channel: string): Promise<string[]> {
    return (await Promise.all(this.nodes.map((node) => gather(node.getAllKeys(channel))))).flat();
  }

  close(): void {
    for (const node of this.nodes) node.close();
  }
}

async function gather<Item>(batches: AsyncGenerator<Item[]>): Promise<Item[]> {
  const items: Item[] = [];
  for await (const batch of batches) items.push(...batch);
  return items;
}

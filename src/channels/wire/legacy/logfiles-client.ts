/**
 * A client of one logfiles node over the legacy swarm protocol.
 *
 * Requests may be called without waiting: they are sent in order and their answers read in order. `records` and `keys`
 * occupy the connection until they end, and read only as fast as they are taken. Records of one key may be many; nothing
 * of a log is ever changed, so a read may be repeated.
 */
import type { Net } from "../../../core/seams/net.ts";
import { LogfilesCommand as Command } from "../../../native/logfiles/engine.ts";
import { encodeBatch } from "./batch.ts";
import { arrayField, LegacyNode, type NodeAddress, requestBytes, type SizeAnswer } from "./client.ts";
import { keyText } from "./protocol.ts";

export interface LogRecord {
  /** Seconds since 1970 in the original's logs; any number of 64 bits is taken. */
  key: bigint;
  value: Buffer;
}

export type RegexMode = "substring" | "regex" | "regexIgnoringCase";

/** Which records of a channel: all, those of a range of keys (both ends included), those that hold a text. */
export interface LogQuery {
  low?: bigint;
  high?: bigint;
  /** Bytes that a value must hold, or a pattern, as `mode` says. */
  filter?: Uint8Array | string;
  /** A substring when absent. */
  mode?: RegexMode;
}

const regexModes: Record<RegexMode, number> = { substring: 0, regex: 1, regexIgnoringCase: 2 };
const KEY_MAX = 0xffff_ffff_ffff_ffffn;

function queryRequest(channel: string, { low, high, filter, mode = "substring" }: LogQuery): Buffer {
  const isRanged = low !== undefined || high !== undefined || mode !== "substring";
  const range = [keyText(low ?? 0n), keyText(high ?? KEY_MAX)] as const;
  if (filter === undefined)
    return isRanged
      ? requestBytes(Command.GetRange, channel, ...range)
      : requestBytes(Command.GetAll, channel);
  if (mode !== "substring") {
    const request = requestBytes(Command.GetRangeRegex, channel, ...range);
    return Buffer.concat([request, Buffer.of(regexModes[mode]), arrayField(filter)]);
  }
  return isRanged
    ? requestBytes(Command.GetRangeFilter, channel, ...range, filter)
    : requestBytes(Command.GetAllFilter, channel, filter);
}

/** The same bytes. */
const asBuffer = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const keyOf = (field: Uint8Array) => BigInt(`0x${asBuffer(field).toString("latin1")}`);

export class LogfilesNode {
  /** For requests that are made elsewhere: tests of malformed ones. */
  readonly node: LegacyNode;

  private constructor(node: LegacyNode) {
    this.node = node;
  }

  /** Throws NX_CONNECT_FAILED. */
  static async connect(net: Net, address: NodeAddress): Promise<LogfilesNode> {
    return new LogfilesNode(await LegacyNode.connect(net, address));
  }

  get isClosed(): boolean {
    return this.node.isClosed;
  }

  close(): void {
    this.node.close();
  }

  /** Throws StatusError: 404 when the node does not own the key, 407, 408, 409, 410. */
  put(channel: string, key: bigint, value: Uint8Array | string): Promise<void> {
    return this.node.sendRequest(requestBytes(Command.Put, channel, keyText(key), value));
  }

  putBatch(channel: string, records: readonly { key: bigint; value: Uint8Array }[]): Promise<void> {
    const batch = encodeBatch(records.map(({ key, value }) => ({ key: keyText(key), value })));
    return this.node.sendRequest(requestBytes(Command.PutBatch, channel, batch));
  }

  removeChannel(channel: string): Promise<void> {
    return this.node.sendRequest(requestBytes(Command.RemoveChannel, channel));
  }

  /**
   * Has the node give about this part of its files (0 to 1) to others, to each in turn. Resolves when it is done. Throws
   * StatusError 500 when it was ended early: a file that was sent only in part is then at both.
   */
  redistribute(fraction: number, nodes: readonly NodeAddress[]): Promise<void> {
    const head = Buffer.alloc(8);
    head.writeInt32LE(Command.Redistribute, 0);
    head.writeFloatLE(fraction, 4);
    const places = nodes.map(({ host, port }) => {
      const portBytes = Buffer.alloc(2);
      portBytes.writeUInt16LE(port);
      return Buffer.concat([arrayField(host), portBytes]);
    });
    return this.node.sendRequest(Buffer.concat([head, ...places, arrayField("")]));
  }

  getChannels(): Promise<string[]> {
    return this.node.exchange(requestBytes(Command.GetChannels), (node) => node.readNames());
  }

  getChannelSize(channel: string): Promise<SizeAnswer> {
    return this.node.exchange(requestBytes(Command.GetChannelSize, channel), (node) => node.readSize());
  }

  getSize(): Promise<SizeAnswer> {
    return this.node.exchange(requestBytes(Command.GetSize), (node) => node.readSize());
  }

  /** Records batch by batch: ascending pieces of 4096 keys, within a piece in the order in which they were written. */
  async *records(channel: string, query: LogQuery = {}): AsyncGenerator<LogRecord[]> {
    for await (const fields of this.node.bulk(queryRequest(channel, query))) {
      const records: LogRecord[] = [];
      for (let at = 0; at + 1 < fields.length; at += 2)
        records.push({ key: keyOf(fields[at] as Uint8Array), value: asBuffer(fields[at + 1] as Uint8Array) });
      yield records;
    }
  }

  /** All of them at once, for answers that fit into memory. */
  async read(channel: string, query: LogQuery = {}): Promise<LogRecord[]> {
    const all: LogRecord[] = [];
    for await (const records of this.records(channel, query)) all.push(...records);
    return all;
  }

  async *keys(channel: string): AsyncGenerator<bigint[]> {
    for await (const fields of this.node.bulk(requestBytes(Command.GetAllKeys, channel)))
      yield fields.map(keyOf);
  }
}

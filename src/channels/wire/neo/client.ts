/**
 * A client of the neo protocol: one authenticated connection to one node, any number of requests on it at once.
 *
 * Requests are sent as they are called and answered in whatever order; a stream (`getAll`, `mirror`) goes on beside them.
 * Invariant: a node that stops answering or sends what is no message rejects every request that waits. A stream whose
 * caller is slow is suspended by a message, so that it never holds up other requests.
 */
import { NxError } from "../../../core/errors.ts";
import { lzoDecode } from "../../../native/lzo.ts";
import type { NodeAddress } from "../legacy/client.ts";
import { StatusError } from "../legacy/client.ts";
import { keyText, type Range, Status } from "../legacy/protocol.ts";
import { NeoPeer, type NeoTarget, NeoWire } from "./connection.ts";
import { array, u64 } from "./messages.ts";
import {
  Code,
  Control,
  fnv1a64,
  GetAllMessage,
  MirrorMessage,
  UpdateMessage,
  VALUE_BYTES_MAX,
  VERSION,
} from "./protocol.ts";
import { type Field, PayloadReader } from "./payload-reader.ts";

export interface NeoRecord {
  key: string;
  value: Uint8Array;
}

/** What a Mirror tells. `refresh`: of a record that may have been told before. */
export type MirrorEvent =
  | { kind: "changed" | "refresh"; key: string; value: Uint8Array }
  | { kind: "deleted"; key: string }
  | { kind: "overflow" };

export interface GetAllOptions {
  filter?: string;
  keysOnly?: boolean;
  /** Go on behind this key, the last one that an earlier connection brought. */
  after?: string;
  /** The node sends nothing before the caller asks for the first batch. */
  isSuspended?: boolean;
}

export interface MirrorOptions {
  /** All records at once, and again each so many seconds. */
  wantsRefresh?: boolean;
  refreshSeconds?: number;
  /** The node sends nothing before the caller asks for the first event. */
  isSuspended?: boolean;
}

/** Messages of a stream that wait for its caller: beyond, the stream is suspended. */
const STREAM_MESSAGES_HIGH = 16;

const byte = (value: number) => Uint8Array.of(value);
const flag = (value: boolean | undefined) => byte(value === true ? 1 : 0);
const keyBytes = (key: string) => u64(BigInt(`0x${key}`));

/** What an answer of one byte means: a value, or a status that a legacy node would give. */
type Meaning<Value> = Record<number, { value: Value } | { status: number }>;

export class NeoNode extends NeoPeer {
  readonly address: NodeAddress;

  private constructor(wire: NeoWire) {
    super(wire);
    this.address = wire.address;
  }

  /** Connects and authenticates. Throws NX_CONNECT_FAILED, also when the node does not accept the credential. */
  static async connect(...target: NeoTarget): Promise<NeoNode> {
    return new NeoNode(await NeoWire.connect(...target));
  }

  #begin(code: number, ...payload: Uint8Array[]) {
    return this.wire.begin(code, VERSION, ...payload);
  }

  // --- requests --------------------------------------------------------------------------------------------------

  /** A request whose answer is one byte, and with `read` what follows when the byte says so. */
  async #ask<Value>(meaning: Meaning<Value>, code: number, ...payload: Uint8Array[]): Promise<Value> {
    const { id, queue } = await this.#begin(code, ...payload);
    try {
      return meaningOf(meaning, (await queue.take())[0] as number);
    } finally {
      this.wire.release(id);
    }
  }

  async put(channel: string, key: string, value: Uint8Array | string): Promise<void> {
    const bytes = typeof value === "string" ? Buffer.from(value, "latin1") : value;
    if (bytes.byteLength > VALUE_BYTES_MAX) throw new StatusError(Status.ValueTooBig);
    const meaning = { 1: { value: undefined }, 2: wrongNode, 3: failed };
    await this.#ask<undefined>(meaning, Code.Put, array(channel), keyBytes(key), array(bytes));
  }

  /** Undefined when there is no such record. */
  async get(channel: string, key: string): Promise<Buffer | undefined> {
    const { id, queue } = await this.#begin(Code.Get, array(channel), keyBytes(key));
    try {
      const meaning = { 1: { value: false }, 2: { value: true }, 3: wrongNode, 4: failed };
      if (!meaningOf<boolean>(meaning, (await queue.take())[0] as number)) return undefined;
      return Buffer.from(new PayloadReader(await queue.take()).array());
    } finally {
      this.wire.release(id);
    }
  }

  exists(channel: string, key: string): Promise<boolean> {
    const meaning = { 1: { value: true }, 2: { value: false }, 3: wrongNode, 4: failed };
    return this.#ask<boolean>(meaning, Code.Exists, array(channel), keyBytes(key));
  }

  /** True when there was such a record. */
  removeRecord(channel: string, key: string): Promise<boolean> {
    const meaning = { 1: { value: false }, 2: { value: true }, 3: wrongNode, 4: failed };
    return this.#ask<boolean>(meaning, Code.Remove, array(channel), keyBytes(key));
  }

  async remove(channel: string, key: string): Promise<void> {
    await this.removeRecord(channel, key);
  }

  async removeChannel(channel: string): Promise<void> {
    const meaning = { 1: { value: undefined }, 2: { status: Status.NotSupported }, 3: failed };
    await this.#ask<undefined>(meaning, Code.RemoveChannel, array(channel));
  }

  async getChannels(): Promise<string[]> {
    const { id, queue } = await this.#begin(Code.GetChannels);
    const names: string[] = [];
    try {
      for (;;) {
        const reader = new PayloadReader(await queue.take());
        const kind = reader.u8();
        if (kind === 3) return names;
        if (kind !== 2) throw new StatusError(Status.Error);
        names.push(Buffer.from(reader.array()).toString("latin1"));
      }
    } finally {
      this.wire.release(id);
    }
  }

  async getResponsibleRange(): Promise<Range> {
    for await (const { range } of this.hashRanges()) return range;
    throw new StatusError(Status.Error);
  }

  /** The node's range, then whenever it changes or another node is told of (then with its address). */
  async *hashRanges(): AsyncGenerator<{ range: Range; other?: NodeAddress }> {
    const { id, queue } = await this.#begin(Code.GetHashRange);
    try {
      yield { range: new PayloadReader(await queue.take()).range() };
      for (;;) {
        const reader = new PayloadReader(await queue.take());
        if (reader.u8() === 2) yield { range: reader.range() };
        else {
          const host = [reader.u8(), reader.u8(), reader.u8(), reader.u8()].join(".");
          const port = reader.u8() * 256 + reader.u8();
          yield { other: { host, port }, range: reader.range() };
        }
      }
    } finally {
      // The protocol has no way to end it: what still comes is dropped.
      this.wire.release(id);
    }
  }

  /**
   * Reads a record, and stores what `change` makes of it; undefined removes it, the same value leaves it. False when
   * somebody else was faster, or there is no such record.
   */
  async update(
    channel: string,
    key: string,
    change: (value: Buffer) => Uint8Array | undefined,
  ): Promise<boolean> {
    const head = byte(UpdateMessage.getRecord);
    const { id, queue } = await this.#begin(Code.Update, head, array(channel), keyBytes(key));
    try {
      const reader = new PayloadReader(await queue.take());
      const kind = reader.u8();
      if (kind === UpdateMessage.noRecord) return false;
      if (kind !== UpdateMessage.record) return meaningOf(updateMeaning, kind);
      const old = Buffer.from(reader.array());
      const value = change(old);
      if (value === undefined) this.wire.tell(id, byte(UpdateMessage.removeRecord));
      else if (old.equals(value)) this.wire.tell(id, byte(UpdateMessage.leaveRecord));
      else this.wire.tell(id, byte(UpdateMessage.updateRecord), u64(fnv1a64(old)), array(value));
      return meaningOf(updateMeaning, (await queue.take())[0] as number);
    } finally {
      this.wire.release(id);
    }
  }

  /** Stores a record unless there is one whose value has another hash. */
  updateDirectly(channel: string, key: string, hash: bigint, value: Uint8Array): Promise<boolean> {
    const head = byte(UpdateMessage.updateRecord);
    return this.#ask<boolean>(
      updateMeaning,
      Code.Update,
      head,
      array(channel),
      keyBytes(key),
      u64(hash),
      array(value),
    );
  }

  // --- streams ---------------------------------------------------------------------------------------------------

  /** All records, batch by batch, in an order that `after` can go on from. */
  async *getAllFrom(channel: string, options: GetAllOptions = {}): AsyncGenerator<NeoRecord[]> {
    const { after, filter = "", keysOnly, isSuspended } = options;
    const stream = await this.#stream(
      Code.GetAll,
      isSuspended,
      array(channel),
      flag(after !== undefined),
      keyBytes(after ?? "0".repeat(16)),
      flag(keysOnly),
      array(filter),
    );
    try {
      for (;;) {
        const reader = new PayloadReader(await stream.next());
        const kind = reader.u8();
        if (kind === GetAllMessage.batch) yield recordsOf(reader.array(), keysOnly !== true);
        else if (kind === GetAllMessage.finished) {
          stream.end(Control.ack);
          return;
        } else if (kind === GetAllMessage.error) throw new StatusError(Status.BadChannelName);
      }
    } finally {
      stream.leave();
    }
  }

  getAll(channel: string, filter?: string): AsyncGenerator<NeoRecord[]> {
    return this.getAllFrom(channel, filter === undefined ? {} : { filter });
  }

  async *getAllKeys(channel: string): AsyncGenerator<string[]> {
    for await (const records of this.getAllFrom(channel, { keysOnly: true }))
      yield records.map(({ key }) => key);
  }

  /** Changes of a channel until it is removed. */
  async *mirror(channel: string, options: MirrorOptions = {}): AsyncGenerator<MirrorEvent> {
    const { wantsRefresh, refreshSeconds = 0, isSuspended } = options;
    const period = Buffer.alloc(4);
    period.writeUInt32LE(refreshSeconds);
    const stream = await this.#stream(Code.Mirror, isSuspended, array(channel), flag(wantsRefresh), period);
    try {
      for (;;) {
        const reader = new PayloadReader(await stream.next());
        const kind = reader.u8();
        if (kind === MirrorMessage.changed)
          yield { kind: "changed", key: keyText(reader.u64()), value: reader.array() };
        else if (kind === MirrorMessage.deleted) yield { kind: "deleted", key: keyText(reader.u64()) };
        else if (kind === MirrorMessage.refresh) yield* refreshedRecords(reader.array());
        else if (kind === MirrorMessage.overflow) yield { kind: "overflow" };
        else if (kind === MirrorMessage.channelRemoved) {
          stream.end(Control.ack);
          return;
        } else if (kind === MirrorMessage.error) throw new StatusError(Status.BadChannelName);
      }
    } finally {
      stream.leave();
    }
  }

  async *changes(channel: string): AsyncGenerator<{ key: string; value: Uint8Array | undefined }> {
    for await (const event of this.mirror(channel)) {
      if (event.kind === "changed") yield { key: event.key, value: event.value };
      else if (event.kind === "deleted") yield { key: event.key, value: undefined };
      else if (event.kind === "overflow")
        throw new NxError("NX_CONNECT_FAILED", "changes were dropped: they came faster than they were read");
    }
  }

  /** Suspends and resumes a stream as its caller keeps up with it. */
  async #stream(code: number, startsSuspended = false, ...payload: Uint8Array[]) {
    const { id, queue } = await this.#begin(code, flag(startsSuspended), ...payload);
    let isSuspended = startsSuspended;
    let isOver = false;
    const control = (kind: number) => this.wire.tell(id, byte(kind));
    return {
      next: async (): Promise<Uint8Array> => {
        for (;;) {
          if (!isSuspended && queue.length > STREAM_MESSAGES_HIGH) {
            isSuspended = true;
            control(Control.suspend);
          } else if (isSuspended && queue.length === 0) {
            isSuspended = false;
            control(Control.resume);
          }
          const next = await queue.take();
          // Acknowledgements of what was sent to control the stream, and that it has started.
          if (next[0] !== Control.ack && next[0] !== GetAllMessage.started) return next;
        }
      },
      end: (kind: number) => {
        isOver = true;
        this.wire.release(id);
        if (!this.isClosed) control(kind);
      },
      /** The caller left early: the node is told to stop, and what is on its way is dropped. */
      leave: () => {
        if (isOver) return;
        isOver = true;
        this.wire.release(id);
        if (!this.isClosed) control(Control.stop);
      },
    };
  }
}

const wrongNode = { status: Status.WrongNode };
const failed = { status: Status.Error };

const updateMeaning: Meaning<boolean> = {
  [UpdateMessage.done]: { value: true },
  [UpdateMessage.conflict]: { value: false },
  [UpdateMessage.noRecord]: { value: false },
  [UpdateMessage.wrongNode]: wrongNode,
  [UpdateMessage.error]: failed,
};

function meaningOf<Value>(meaning: Meaning<Value>, answer: number): Value {
  const found = meaning[answer];
  if (found === undefined) throw new NxError("NX_CONNECT_FAILED", `${answer} is no answer to this request`);
  if ("status" in found) throw new StatusError(found.status);
  return found.value;
}

function contentOf(batch: Uint8Array): Uint8Array {
  const reader = new PayloadReader(batch);
  const length = reader.u64();
  const content = length > 2n ** 31n ? undefined : lzoDecode(reader.rest(), Number(length));
  if (content === undefined)
    throw new NxError("NX_CONNECT_FAILED", "the node sent a batch that cannot be decoded");
  return content;
}

function recordsOf(batch: Uint8Array, withValues: boolean): NeoRecord[] {
  const reader = new PayloadReader(contentOf(batch));
  const records: NeoRecord[] = [];
  const nothing: Field = new Uint8Array(0);
  while (!reader.isAtEnd) {
    const key = new PayloadReader(reader.array()).u64();
    records.push({ key: keyText(key), value: withValues ? reader.array() : nothing });
  }
  return records;
}

function* refreshedRecords(batch: Uint8Array): Generator<MirrorEvent> {
  const reader = new PayloadReader(contentOf(batch));
  while (!reader.isAtEnd) yield { kind: "refresh", key: keyText(reader.u64()), value: reader.array() };
}

/**
 * The transmission phase of one NBD connection (native/nbd/transmission.h): chunks in, requests out, answers in one buffer.
 *
 * Invariant: requests were checked against the export; data of a write is whole. C keeps no address of JavaScript's.
 */
import { FFIType, type Pointer } from "bun:ffi";
import { assert } from "../core/errors.ts";
import { addressable } from "./addressable.ts";
import { NativeBuffer } from "./buffer.ts";
import { linked } from "./library.ts";

const symbols = {
  nx_nbd_new: { args: ["u32", "u64", "u32", "u32", "bool", "bool", "bool"], returns: "ptr" },
  nx_nbd_close: { args: ["ptr"], returns: "void" },
  nx_nbd_resize: { args: ["ptr", "u64"], returns: "void" },
  nx_nbd_out: { args: ["ptr"], returns: "ptr" },
  nx_nbd_backlog: { args: ["ptr"], returns: "ptr" },
  nx_nbd_queue: { args: ["ptr"], returns: "ptr" },
  nx_nbd_payload: { args: ["ptr"], returns: "ptr" },
  nx_nbd_held: { args: ["ptr"], returns: "u32" },
  nx_nbd_feed: { args: ["ptr", "ptr", "u64"], returns: "u32" },
  nx_nbd_reply: { args: ["ptr", "u32", "u64", "u32"], returns: "void" },
  nx_nbd_reply_data: { args: ["ptr", "u64", "u64", "u32"], returns: FFIType.u64_fast },
  nx_nbd_reply_status: { args: ["ptr", "u64", "u32", "ptr", "u32"], returns: "void" },
} as const;

const native = linked(symbols);

export const NbdCommand = {
  read: 0,
  write: 1,
  disconnect: 2,
  flush: 3,
  trim: 4,
  writeZeroes: 6,
  blockStatus: 7,
} as const;
export const NbdRequestFlag = { fua: 1, noHole: 2, requestOne: 8, fastZero: 16 } as const;
export const NbdError = {
  none: 0,
  permission: 1,
  io: 5,
  invalid: 22,
  noSpace: 28,
  overflow: 75,
  notSupported: 95,
  shutdown: 108,
} as const;

/** How feeding a chunk ended: go on, the client said goodbye, or it broke the protocol. */
export const nbdOutcomes = ["good", "ended", "broken"] as const;
export type NbdOutcome = (typeof nbdOutcomes)[number];

export interface NbdRequest {
  /** One of NbdCommand. */
  type: number;
  flags: number;
  cookie: bigint;
  offset: number;
  length: number;
  /** Of a write. */
  data: Uint8Array;
}

export interface NbdTransmissionOptions {
  id: number;
  bytes: number;
  /** Longest data of one request. */
  dataMax: number;
  /** Writes begin and end at multiples of this. */
  writeUnit: number;
  isStructured: boolean;
  /** A context was chosen: block status may be asked for. */
  hasStatus: boolean;
  isReadOnly: boolean;
}

const REQUEST_BYTES = 32;

export class NbdTransmission {
  readonly pointer: Pointer;
  readonly id: number;
  /** Answers that wait to be sent; whoever sends them clears it. */
  readonly out: NativeBuffer;
  readonly #backlog: NativeBuffer;
  readonly #queue: NativeBuffer;
  readonly #payload: NativeBuffer;
  #isClosed = false;

  constructor(options: NbdTransmissionOptions) {
    const { id, bytes, dataMax, writeUnit, isStructured, hasStatus, isReadOnly } = options;
    this.id = id;
    this.pointer = native().nx_nbd_new(
      ...([id, bytes, dataMax, writeUnit, isStructured, hasStatus, isReadOnly] as const),
    ) as Pointer;
    this.out = new NativeBuffer(native().nx_nbd_out(this.pointer) as Pointer);
    this.#backlog = new NativeBuffer(native().nx_nbd_backlog(this.pointer) as Pointer);
    this.#queue = new NativeBuffer(native().nx_nbd_queue(this.pointer) as Pointer);
    this.#payload = new NativeBuffer(native().nx_nbd_payload(this.pointer) as Pointer);
  }

  feed(chunk: Uint8Array): NbdOutcome {
    assert(!this.#isClosed, "the connection is open");
    return nbdOutcomes[
      native().nx_nbd_feed(this.pointer, addressable(chunk), chunk.byteLength)
    ] as NbdOutcome;
  }

  /** Bytes were put aside because many answers wait: feed nothing, once those were sent. */
  get hasBacklog(): boolean {
    return this.#backlog.length > 0;
  }

  get hasRequests(): boolean {
    return this.#queue.length > 0;
  }

  /** The requests since the last call; their data is a copy. */
  takeRequests(): NbdRequest[] {
    const bytes = this.#queue.view();
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const payload = this.#payload.view();
    const requests: NbdRequest[] = [];
    for (let at = 0; at < bytes.byteLength; at += REQUEST_BYTES) {
      const [length, type] = [view.getUint32(at + 16, true), view.getUint16(at + 22, true)];
      const from = Number(view.getBigUint64(at + 24, true));
      requests.push({
        type,
        flags: view.getUint16(at + 20, true),
        cookie: view.getBigUint64(at, true),
        offset: Number(view.getBigUint64(at + 8, true)),
        length,
        data: type === NbdCommand.write ? payload.slice(from, from + length) : payload.subarray(0, 0),
      });
    }
    this.#queue.clear();
    this.#payload.clear();
    return requests;
  }

  reply({ type, cookie }: Pick<NbdRequest, "type" | "cookie">, error: number = NbdError.none): void {
    if (!this.#isClosed) native().nx_nbd_reply(this.pointer, type, cookie, error);
  }

  /** The answer to a read. */
  replyData({ cookie, offset }: Pick<NbdRequest, "cookie" | "offset">, data: Uint8Array): void {
    if (this.#isClosed) return;
    const at = Number(native().nx_nbd_reply_data(this.pointer, cookie, offset, data.byteLength));
    this.out.view().set(data, at);
  }

  /** The answer to a block status request: pairs of length and flags. */
  replyStatus(cookie: bigint, context: number, extents: Uint32Array): void {
    if (!this.#isClosed)
      native().nx_nbd_reply_status(this.pointer, cookie, context, extents, extents.length / 2);
  }

  /** Requests that a volume holds. */
  get held(): number {
    return native().nx_nbd_held(this.pointer);
  }

  resize(bytes: number): void {
    if (!this.#isClosed) native().nx_nbd_resize(this.pointer, bytes);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    native().nx_nbd_close(this.pointer);
  }
}

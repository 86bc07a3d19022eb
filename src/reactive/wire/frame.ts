/**
 * The frames of the reactive family's own protocol, between clients, frontends and replicas over TCP.
 *
 * Invariant: a frame is handed out only when it is whole and its checksum holds; whatever else arrives ends the
 * connection with `WireError`, before anything of it was allocated or understood. TCP's own checksum is too weak to trust
 * with what a group commits.
 *
 * All integers are little-endian. A frame:
 *
 *   offset  size
 *        0     2  magic "NX"
 *        2     1  protocol version, 1
 *        3     1  type (table below)
 *        4     4  payload length
 *        8     4  CRC-32C of bytes 0-7, then of the payload
 *       12     n  payload
 *
 *   type  name             sent by, payload
 *      1  hello            whoever connects (handshake.ts)
 *      2  welcome          the listener
 *      3  failure          either side, before it closes: u16 code, text
 *      4  ping             whoever connected: nothing; answered by `pong`, so that a silent link is told from an idle one
 *      5  pong             the listener
 *     16  command          client: one request of its session (replication/client-codec.ts)
 *     17  result           replica
 *     18  query            client: a linearizable read that is not logged
 *     32  peer             replica to replica (replication/codec.ts)
 *     48  message          client and frontend (client-wire/codec.ts)
 */
import type { Crc32c } from "../../core/crc32c.ts";
import { GrowingBuffer } from "../../core/sockets/growing-buffer.ts";
import { getU16, getU32, putU16, putU32, WireError } from "./bytes.ts";

export const PROTOCOL_VERSION = 1;
export const FRAME_HEADER_BYTES = 12;
const CHECKSUM_AT = 8;
/** "NX" as a little-endian integer. */
const MAGIC = 0x584e;

export const FrameType = {
  hello: 1,
  welcome: 2,
  failure: 3,
  ping: 4,
  pong: 5,
  command: 16,
  result: 17,
  query: 18,
  peer: 32,
  message: 48,
} as const;

/** Of the frame from `at` to `end`: all but the checksum itself. */
function checksumOf(bytes: Uint8Array, at: number, end: number, crc32c: Crc32c): number {
  return crc32c(bytes, crc32c(bytes, 0, at, at + CHECKSUM_AT), at + FRAME_HEADER_BYTES, end);
}

/** Completes the frame from `at` to `end` in place: its payload already stands behind `FRAME_HEADER_BYTES` of free space. */
export function sealFrame(
  bytes: Uint8Array,
  type: number,
  crc32c: Crc32c,
  at = 0,
  end = bytes.byteLength,
): Uint8Array {
  putU16(bytes, at, MAGIC);
  bytes[at + 2] = PROTOCOL_VERSION;
  bytes[at + 3] = type;
  putU32(bytes, at + 4, end - at - FRAME_HEADER_BYTES);
  putU32(bytes, at + CHECKSUM_AT, checksumOf(bytes, at, end, crc32c));
  return bytes;
}

/** Takes chunks as they arrive and hands out whole frames. */
export class FrameReader {
  readonly #crc32c: Crc32c;
  readonly #payloadBytesMax: () => number;
  /** The beginning of a frame whose rest has not arrived. */
  readonly #kept = new GrowingBuffer();
  #keptLength = 0;

  /** `payloadBytesMax` is read at each frame, so that it can be raised after a handshake. */
  constructor(crc32c: Crc32c, payloadBytesMax: () => number) {
    this.#crc32c = crc32c;
    this.#payloadBytesMax = payloadBytesMax;
  }

  /** Bytes of an unfinished frame. */
  get waitingBytes(): number {
    return this.#keptLength;
  }

  /**
   * Calls `onFrame` for each frame that is whole with this chunk; the payload is only valid during the call. Stops early,
   * dropping the rest, when `onFrame` returns false. Throws WireError.
   */
  feed(chunk: Uint8Array, onFrame: (type: number, payload: Uint8Array) => boolean | void): void {
    // A socket's chunk is a Buffer, whose views are dearer.
    let bytes = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    if (this.#keptLength > 0) {
      this.#keep(chunk);
      bytes = this.#kept.bytes.subarray(0, this.#keptLength);
    }
    let at = 0;
    while (bytes.byteLength - at >= FRAME_HEADER_BYTES) {
      const length = this.#checkHeader(bytes, at);
      const end = at + FRAME_HEADER_BYTES + length;
      if (end > bytes.byteLength) break;
      const payload = bytes.subarray(at + FRAME_HEADER_BYTES, end);
      if (checksumOf(bytes, at, end, this.#crc32c) !== getU32(bytes, at + CHECKSUM_AT))
        throw new WireError("a frame fails its checksum");
      const type = bytes[at + 3] as number;
      at = end;
      if (onFrame(type, payload) === false) {
        this.#keptLength = 0;
        return;
      }
    }
    this.#keepRest(bytes, at);
  }

  #checkHeader(bytes: Uint8Array, at: number): number {
    if (getU16(bytes, at) !== MAGIC) throw new WireError("this is not a frame of this protocol");
    const version = bytes[at + 2];
    if (version !== PROTOCOL_VERSION) {
      throw new WireError(`protocol version ${version} is spoken, this program speaks ${PROTOCOL_VERSION}`);
    }
    const length = getU32(bytes, at + 4);
    const limit = this.#payloadBytesMax();
    if (length > limit) throw new WireError(`a frame of ${length} bytes is announced, ${limit} are allowed`);
    return length;
  }

  #keepRest(bytes: Uint8Array, at: number): void {
    const rest = bytes.subarray(at);
    if (this.#keptLength > 0) {
      this.#kept.bytes.copyWithin(0, at, this.#keptLength);
      this.#keptLength = rest.byteLength;
      if (this.#keptLength === 0) this.#kept.clear();
    } else if (rest.byteLength > 0) this.#keep(rest);
  }

  #keep(bytes: Uint8Array): void {
    const needed = this.#keptLength + bytes.byteLength;
    if (needed > this.#kept.bytes.byteLength) this.#kept.makeRoom(needed, 0, this.#keptLength);
    this.#kept.bytes.set(bytes, this.#keptLength);
    this.#keptLength = needed;
  }
}

/**
 * The envelope of a message between operator and agent: a checked header, JSON, and a block of bytes.
 *
 * Invariant: nothing of a frame is used before its length was found to be within bounds and its checksum to
 * fit, so a stream that was cut, mixed with the words of a talkative login shell, or comes from something
 * else is told from a message. Before the first frame a reader skips what is none, as shells like to greet;
 * later it does not.
 *
 * All integers are little-endian.
 *
 *   offset  size
 *        0     4  magic "NXAG"
 *        4     1  version of this envelope, 1
 *        5     1  kind: 1 question, 2 answer, 3 event, 4 error
 *        6     2  zero
 *        8     4  number of the question
 *       12     4  J, bytes of JSON, at most 8 MiB
 *       16     4  B, bytes of the block, at most 8 MiB
 *       20     4  CRC-32C of bytes 0-19, then JSON, then block
 *       24     J  JSON, UTF-8: `{method, params}`, the result, the event, or `{code, message, hint}`
 *     24+J     B  block
 */
import { NxError } from "../../core/errors.ts";
import { crc32c } from "../../native/crc32c.ts";

export const FRAME_HEADER_BYTES = 24;
export const PART_BYTES_MAX = 8 << 20;
const ENVELOPE_VERSION = 1;
/** How much of a shell's greeting is skipped. */
const NOISE_BYTES_MAX = 64 << 10;
const MAGIC = new Uint8Array([0x4e, 0x58, 0x41, 0x47]);

export const FrameKind = { question: 1, answer: 2, event: 3, error: 4 } as const;
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind];

export interface Frame {
  kind: FrameKind;
  number: number;
  body: unknown;
  block: Uint8Array;
}

const NO_BLOCK = new Uint8Array(0);

export function encodeFrame(frame: { kind: FrameKind; number: number; body: unknown; block?: Uint8Array }) {
  const json = new TextEncoder().encode(JSON.stringify(frame.body));
  const block = frame.block ?? NO_BLOCK;
  if (json.byteLength > PART_BYTES_MAX || block.byteLength > PART_BYTES_MAX) {
    throw new NxError(
      "NX_AGENT_PROTOCOL",
      `a message of ${json.byteLength} + ${block.byteLength} bytes is too long`,
    );
  }
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + json.byteLength + block.byteLength);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  bytes[4] = ENVELOPE_VERSION;
  bytes[5] = frame.kind;
  view.setUint32(8, frame.number, true);
  view.setUint32(12, json.byteLength, true);
  view.setUint32(16, block.byteLength, true);
  bytes.set(json, FRAME_HEADER_BYTES);
  bytes.set(block, FRAME_HEADER_BYTES + json.byteLength);
  view.setUint32(20, checksumOf(bytes), true);
  return bytes;
}

function checksumOf(frame: Uint8Array): number {
  return crc32c(frame.subarray(FRAME_HEADER_BYTES), crc32c(frame.subarray(0, 20)));
}

/** Cuts a stream into frames. After it threw, the stream is of no use any more. */
export class FrameReader {
  #pending: Uint8Array = NO_BLOCK;
  #used = 0;
  #isSynchronized = false;
  #noise = "";

  /** What came before the first frame. */
  get noise(): string {
    return this.#isSynchronized ? this.#noise : this.#noise + new TextDecoder().decode(this.#rest);
  }

  get isInsideFrame(): boolean {
    return this.#isSynchronized && this.#rest.byteLength > 0;
  }

  get #rest(): Uint8Array {
    return this.#pending.subarray(0, this.#used);
  }

  /** Complete frames, in order. Throws NX_AGENT_PROTOCOL. */
  *feed(chunk: Uint8Array): Generator<Frame> {
    this.#append(chunk);
    if (!this.#isSynchronized) this.#skipNoise();
    let at = 0;
    while (this.#isSynchronized) {
      const rest = this.#pending.subarray(at, this.#used);
      const length = lengthOf(rest);
      if (length === undefined || rest.byteLength < length) break;
      // A copy: what is pending moves, and whoever gets the frame may keep its block.
      yield decode(rest.slice(0, length));
      at += length;
    }
    if (at > 0) this.#drop(at);
  }

  #append(chunk: Uint8Array): void {
    if (this.#pending.byteLength < this.#used + chunk.byteLength) {
      const grown = new Uint8Array(Math.max(2 * this.#pending.byteLength, this.#used + chunk.byteLength));
      grown.set(this.#rest);
      this.#pending = grown;
    }
    this.#pending.set(chunk, this.#used);
    this.#used += chunk.byteLength;
  }

  #drop(count: number): void {
    this.#pending.copyWithin(0, count, this.#used);
    this.#used -= count;
  }

  #skipNoise(): void {
    const start = Buffer.from(this.#rest).indexOf(MAGIC);
    // The last bytes may be the beginning of the magic.
    const skip = start === -1 ? Math.max(0, this.#used - MAGIC.byteLength + 1) : start;
    this.#noise += new TextDecoder().decode(this.#pending.subarray(0, skip));
    this.#drop(skip);
    if (start !== -1) this.#isSynchronized = true;
    else if (this.#noise.length > NOISE_BYTES_MAX) {
      throw new NxError("NX_AGENT_PROTOCOL", `no agent answers, but: ${this.#noise.slice(0, 200)}`);
    }
  }
}

/** The length of the frame that starts here; undefined while too little is there to tell. */
function lengthOf(bytes: Uint8Array): number | undefined {
  const known = bytes.subarray(0, MAGIC.byteLength);
  if (!known.every((byte, index) => byte === MAGIC[index])) {
    throw new NxError("NX_AGENT_PROTOCOL", "something that is no message came between messages");
  }
  if (bytes.byteLength < FRAME_HEADER_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, FRAME_HEADER_BYTES);
  if (bytes[4] !== ENVELOPE_VERSION) {
    throw new NxError("NX_AGENT_PROTOCOL", `messages of version ${bytes[4]} instead of ${ENVELOPE_VERSION}`);
  }
  const jsonBytes = view.getUint32(12, true);
  const blockBytes = view.getUint32(16, true);
  if (jsonBytes > PART_BYTES_MAX || blockBytes > PART_BYTES_MAX) {
    throw new NxError("NX_AGENT_PROTOCOL", `a message claims ${jsonBytes} + ${blockBytes} bytes`);
  }
  return FRAME_HEADER_BYTES + jsonBytes + blockBytes;
}

function decode(bytes: Uint8Array): Frame {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(20, true) !== checksumOf(bytes)) {
    throw new NxError("NX_AGENT_PROTOCOL", "a message does not fit its checksum");
  }
  const kind = bytes[5] as FrameKind;
  if (!Object.values(FrameKind).includes(kind)) {
    throw new NxError("NX_AGENT_PROTOCOL", `a message of kind ${kind}`);
  }
  const blockAt = FRAME_HEADER_BYTES + view.getUint32(12, true);
  const text = new TextDecoder().decode(bytes.subarray(FRAME_HEADER_BYTES, blockAt));
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (error) {
    throw new NxError("NX_AGENT_PROTOCOL", "a message is not JSON", { cause: error });
  }
  return { kind, number: view.getUint32(8, true), body, block: bytes.subarray(blockAt) };
}

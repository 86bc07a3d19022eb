/**
 * Groups: what was appended while the previous group was on its way to disk.
 *
 * Invariant: a group's buffer starts with room for the frame header, so one write call takes header, payload
 * and padding. Buffers are reused; in steady state an append allocates nothing.
 */
import { FRAME_ALIGN_BYTES, FRAME_HEADER_BYTES, frameBytes, newBuffer } from "./frame.ts";

const BUFFER_BYTES_MIN = 64 << 10;

export class Group {
  payloadBytes = 0;
  appends = 0;
  /** Position behind the last byte of this group. */
  endPosition = 0;
  /** Closed: nothing is added any more. */
  isClosed = false;
  #buffer: Uint8Array;

  constructor(buffer: Uint8Array) {
    this.#buffer = buffer;
  }

  get buffer(): Uint8Array {
    return this.#buffer;
  }

  add(bytes: Uint8Array): void {
    const end = FRAME_HEADER_BYTES + this.payloadBytes;
    const needed = end + bytes.byteLength + FRAME_ALIGN_BYTES;
    if (needed > this.#buffer.byteLength) {
      const larger = newBuffer(Math.max(needed, 2 * this.#buffer.byteLength));
      larger.set(this.#buffer.subarray(0, end));
      this.#buffer = larger;
    }
    this.#buffer.set(bytes, end);
    this.payloadBytes += bytes.byteLength;
    this.appends++;
  }

  /** What was appended. */
  payload(): Uint8Array {
    return this.#buffer.subarray(FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + this.payloadBytes);
  }

  /** The bytes to write, header space and padding included. */
  frame(): Uint8Array {
    return this.#buffer.subarray(0, frameBytes(this.payloadBytes));
  }
}

/** Keeps the buffers of written groups for the next ones, except outsized ones. */
export class GroupPool {
  #free: Uint8Array[] = [];
  #keepBytesMax: number;

  constructor(keepBytesMax: number) {
    this.#keepBytesMax = Math.max(keepBytesMax, BUFFER_BYTES_MIN);
  }

  take(): Group {
    return new Group(this.#free.pop() ?? newBuffer(BUFFER_BYTES_MIN));
  }

  giveBack(group: Group): void {
    if (this.#free.length < 2 && group.buffer.byteLength <= this.#keepBytesMax) this.#free.push(group.buffer);
  }
}

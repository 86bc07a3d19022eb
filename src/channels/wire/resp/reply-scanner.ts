/**
 * The client's side of the Redis protocol for load generators: counts replies in a stream without building them.
 *
 * Bytes come in chunks cut anywhere; each complete top-level reply is told to the sink once, in order. Nothing is
 * allocated for a reply, except the text of an error. Invariant: what the sink is told does not depend on where the
 * chunks were cut. Lengths are checked before they are used; a stream that is not RESP throws NX_CONNECT_FAILED,
 * after which the scanner must not be used again.
 *
 * A value is one type byte, then a line, and for some types bytes after the line:
 *
 *   RESP2  + text      - error    : integer   $ length, bytes (or -1)   * count (or -1), then values
 *   RESP3  _ null      # boolean  , double    ( big number
 *          = length, bytes        ! length, bytes of an error
 *          % pairs    ~ count     > count: out of band, no reply      | pairs: describe the value that follows
 */
import { NxError } from "../../../core/errors.ts";

/** Told of each reply. `type` is the type byte; null in any spelling is `_`, an error in any spelling is `-`. */
export interface ReplySink {
  reply(type: number): void;
  /** The text of the error that the next `reply("-")` is about, for top-level errors. */
  error(text: string): void;
  /** Bytes of a top-level string (`$` or `=`): `chunk[start…end)` is the string's part from `offset` on. */
  bytes(chunk: Uint8Array, start: number, end: number, offset: number, length: number): void;
}

export const ReplyType = {
  simple: 0x2b,
  error: 0x2d,
  integer: 0x3a,
  bulk: 0x24,
  array: 0x2a,
  null: 0x5f,
  boolean: 0x23,
  double: 0x2c,
  bigNumber: 0x28,
  verbatim: 0x3d,
  blobError: 0x21,
  map: 0x25,
  set: 0x7e,
  push: 0x3e,
  attribute: 0x7c,
} as const;

const CR = 13;
const LF = 10;
const MINUS = 0x2d;
const DIGIT_0 = 0x30;
const LINE_BYTES_MAX = 64 * 1024;
const STRING_BYTES_MAX = 512 * 1024 * 1024;
const ELEMENTS_MAX = 2 ** 31;
/** Longer error texts are cut: they become keys of a table. */
const ERROR_TEXT_BYTES_MAX = 512;

const enum State {
  Type,
  /** In a line that is text. */
  Line,
  /** In a line that is a length or count. */
  Number,
  /** After the CR of a line. */
  LineEnd,
  /** In the bytes of a string. */
  Bytes,
  /** After the bytes, before their CR; then before their LF. */
  BytesCr,
  BytesLf,
}

export class ReplyScanner {
  readonly #sink: ReplySink;
  #state = State.Type;
  /** Type of the value being read. */
  #type = 0;
  /** Values still missing of the top-level reply, the one being read included; 0 between replies. */
  #missing = 0;
  /** Type of the top-level reply. */
  #topType = 0;
  /** Whether the value being read is the top-level one itself. */
  #isTop = true;
  #number = 0;
  #digits = 0;
  #isNegative = false;
  #lineBytes = 0;
  #length = 0;
  #offset = 0;
  #errorText: number[] = [];

  constructor(sink: ReplySink) {
    this.#sink = sink;
  }

  /** True between two replies: the peer may close now without breaking one. */
  get isAtBoundary(): boolean {
    return this.#missing === 0;
  }

  scan(chunk: Uint8Array): void {
    const end = chunk.length;
    let at = 0;
    while (at < end) {
      switch (this.#state) {
        case State.Type:
          this.#beginValue(chunk[at++] as number);
          break;
        case State.Line:
          at = this.#scanLine(chunk, at, end);
          break;
        case State.Number:
          at = this.#scanNumber(chunk, at, end);
          break;
        case State.LineEnd:
          if (chunk[at++] !== LF) throw malformed("a line does not end with CR LF");
          this.#endLine();
          break;
        case State.Bytes:
          at = this.#scanBytes(chunk, at, end);
          break;
        case State.BytesCr:
          if (chunk[at++] !== CR) throw malformed("a string is longer than its length says");
          this.#state = State.BytesLf;
          break;
        case State.BytesLf:
          if (chunk[at++] !== LF) throw malformed("a string does not end with CR LF");
          this.#endString();
          break;
      }
    }
  }

  #beginValue(type: number): void {
    this.#isTop = this.#missing === 0;
    if (this.#isTop) {
      this.#missing = 1;
      this.#topType = type;
    }
    this.#type = type;
    switch (type) {
      case ReplyType.simple:
      case ReplyType.error:
      case ReplyType.integer:
      case ReplyType.null:
      case ReplyType.boolean:
      case ReplyType.double:
      case ReplyType.bigNumber:
        this.#lineBytes = 0;
        this.#state = State.Line;
        return;
      case ReplyType.bulk:
      case ReplyType.verbatim:
      case ReplyType.blobError:
      case ReplyType.array:
      case ReplyType.map:
      case ReplyType.set:
      case ReplyType.push:
      case ReplyType.attribute:
        this.#number = 0;
        this.#digits = 0;
        this.#isNegative = false;
        this.#state = State.Number;
        return;
      default:
        throw malformed(`a reply begins with byte 0x${type.toString(16).padStart(2, "0")}`);
    }
  }

  #scanLine(chunk: Uint8Array, from: number, end: number): number {
    let at = from;
    while (at < end && chunk[at] !== CR) at++;
    this.#lineBytes += at - from;
    if (this.#lineBytes > LINE_BYTES_MAX) throw malformed(`a line is longer than ${LINE_BYTES_MAX} bytes`);
    if (this.#type === ReplyType.error && this.#isTop) this.#keepError(chunk, from, at);
    if (at === end) return at;
    this.#state = State.LineEnd;
    return at + 1;
  }

  #scanNumber(chunk: Uint8Array, from: number, end: number): number {
    let at = from;
    while (at < end) {
      const byte = chunk[at++] as number;
      const digit = byte - DIGIT_0;
      if (digit >= 0 && digit <= 9) {
        this.#number = this.#number * 10 + digit;
        if (++this.#digits > 10) throw malformed("a length has more than 10 digits");
      } else if (byte === CR && this.#digits > 0) {
        this.#state = State.LineEnd;
        return at;
      } else if (byte === MINUS && this.#digits === 0 && !this.#isNegative) {
        this.#isNegative = true;
      } else {
        throw malformed("a length is not a number");
      }
    }
    return at;
  }

  #scanBytes(chunk: Uint8Array, from: number, end: number): number {
    const to = Math.min(end, from + this.#length - this.#offset);
    if (this.#isTop) {
      if (this.#type === ReplyType.blobError) this.#keepError(chunk, from, to);
      else this.#sink.bytes(chunk, from, to, this.#offset, this.#length);
    }
    this.#offset += to - from;
    if (this.#offset === this.#length) this.#state = State.BytesCr;
    return to;
  }

  /** A line is complete: a whole value, or the head of a string or aggregate. */
  #endLine(): void {
    this.#state = State.Type;
    const type = this.#type;
    switch (type) {
      case ReplyType.bulk:
      case ReplyType.verbatim:
      case ReplyType.blobError:
        if (this.#isNull()) return;
        if (this.#number > STRING_BYTES_MAX)
          throw malformed(`a string of ${this.#number} bytes is announced`);
        this.#length = this.#number;
        this.#offset = 0;
        this.#state = this.#length === 0 ? State.BytesCr : State.Bytes;
        return;
      case ReplyType.array:
      case ReplyType.set:
      case ReplyType.push:
        if (this.#isNull()) return;
        this.#expect(this.#number);
        return;
      case ReplyType.map:
        if (this.#isNull()) return;
        this.#expect(2 * this.#number);
        return;
      case ReplyType.attribute:
        // At the top it ends by itself and the reply follows; inside a reply it is no element of its own.
        if (this.#isNegative) throw malformed("an attribute has a negative count");
        this.#expect(2 * this.#number + (this.#isTop ? 0 : 1));
        return;
      default:
        this.#endValue();
    }
  }

  /** Handles `-1`, the null of RESP2; any other negative number is an error. */
  #isNull(): boolean {
    if (!this.#isNegative) return false;
    if (this.#number !== 1) throw malformed(`a length is -${this.#number}`);
    if (this.#isTop) this.#topType = ReplyType.null;
    this.#endValue();
    return true;
  }

  #expect(elements: number): void {
    if (elements + this.#missing > ELEMENTS_MAX) throw malformed(`${elements} elements are announced`);
    this.#missing += elements;
    this.#endValue();
  }

  #endString(): void {
    this.#state = State.Type;
    this.#endValue();
  }

  #endValue(): void {
    if (--this.#missing > 0) return;
    const type = this.#topType;
    switch (type) {
      case ReplyType.push:
      case ReplyType.attribute:
        return;
      case ReplyType.error:
      case ReplyType.blobError:
        this.#sink.error(Buffer.from(this.#errorText).toString());
        this.#errorText.length = 0;
        this.#sink.reply(ReplyType.error);
        return;
      default:
        this.#sink.reply(type);
    }
  }

  #keepError(chunk: Uint8Array, from: number, to: number): void {
    for (let at = from; at < to && this.#errorText.length < ERROR_TEXT_BYTES_MAX; at++)
      this.#errorText.push(chunk[at] as number);
  }
}

function malformed(what: string): NxError {
  return new NxError("NX_CONNECT_FAILED", `the peer does not speak the Redis protocol: ${what}`, {
    hint: "is this the port of a Redis server (of a dht node: respPort)?",
  });
}

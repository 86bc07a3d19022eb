/**
 * The node's side of the neo handshake: a client says who it is and proves it; only then its requests are looked at.
 *
 *   both    u8 1, the protocol's version                        node    message: 4 bytes nonce
 *   client  message: u64 seconds since 1970                     client  message: array name, 64 bytes HMAC-SHA512(secret, time, nonce)
 *   node    message: u8, 1 accepted, 0 rejected, then closes
 *
 * Invariant: nothing that a client sends before it is accepted reaches anything but this file, and at most a kilobyte of
 * it is kept. Used by every kind of node that speaks neo.
 */
import type { Random } from "../../../core/seams/random.ts";
import { CODE_BYTES, isAuthentic, isTimely } from "./credentials.ts";
import {
  AUTHENTICATION_BYTES_MAX,
  HEADER_BYTES,
  message,
  MessageType,
  PROTOCOL_VERSION,
  readHeader,
} from "./messages.ts";

const NONCE_BYTES = 4;

export type HandshakeState = "open" | "accepted" | "rejected";

export interface HandshakeOptions {
  credentials: ReadonlyMap<string, Uint8Array>;
  random: Random;
  nowMs(): number;
  send(bytes: Uint8Array): void;
}

export class Handshake {
  readonly #options: HandshakeOptions;
  #state: HandshakeState = "open";
  #input = Buffer.alloc(0);
  #hasVersion = false;
  #time: Buffer | undefined;
  #nonce: Buffer | undefined;
  /** Of an accepted client. */
  name = "";
  /** Why a client was rejected, for the log. */
  reason = "";

  constructor(options: HandshakeOptions) {
    this.#options = options;
    options.send(Uint8Array.of(PROTOCOL_VERSION));
  }

  get state(): HandshakeState {
    return this.#state;
  }

  /** Takes bytes of the client; returns those behind the handshake once it is accepted. */
  feed(chunk: Uint8Array): Uint8Array {
    this.#input = Buffer.concat([this.#input, chunk]);
    while (this.#state === "open" && this.#step());
    if (this.#state !== "accepted") return new Uint8Array(0);
    const rest = this.#input;
    this.#input = Buffer.alloc(0);
    return rest;
  }

  #reject(reason: string): boolean {
    this.#state = "rejected";
    this.reason = reason;
    return false;
  }

  #take(length: number): Buffer {
    const bytes = Buffer.from(this.#input.subarray(0, length));
    this.#input = this.#input.subarray(length);
    return bytes;
  }

  /** One message, if it is complete; true when another may follow. */
  #step(): boolean {
    if (!this.#hasVersion) {
      if (this.#input.byteLength === 0) return false;
      this.#hasVersion = true;
      const [version] = this.#take(1);
      return version === PROTOCOL_VERSION || this.#reject(`protocol version ${version}`);
    }
    if (this.#input.byteLength < HEADER_BYTES) return false;
    const header = readHeader(this.#input);
    if (header === undefined) return this.#reject("what was sent is no message");
    if (header.type !== MessageType.authentication) return this.#reject("a request before authentication");
    if (header.length > AUTHENTICATION_BYTES_MAX)
      return this.#reject(`${header.length} bytes of authentication`);
    if (this.#input.byteLength < HEADER_BYTES + header.length) return false;
    this.#take(HEADER_BYTES);
    const body = this.#take(header.length);
    return this.#time === undefined ? this.#takeTime(body) : this.#takeCode(this.#time, body);
  }

  #takeTime(body: Buffer): boolean {
    if (body.byteLength !== 8) return this.#reject("the first message is not a time");
    this.#time = body;
    this.#nonce = Buffer.from(this.#options.random.bytes(NONCE_BYTES));
    this.#options.send(message(MessageType.authentication, this.#nonce));
    return true;
  }

  #takeCode(time: Buffer, body: Buffer): boolean {
    const { credentials, nowMs, send } = this.#options;
    const answer = (isAccepted: boolean) =>
      send(message(MessageType.authentication, Uint8Array.of(isAccepted ? 1 : 0)));
    const length = body.byteLength < 8 ? -1n : body.readBigUInt64LE(0);
    if (length !== BigInt(body.byteLength - 8 - CODE_BYTES)) return this.#reject("no name and code");
    const name = body.toString("latin1", 8, 8 + Number(length));
    const code = body.subarray(8 + Number(length));
    const isKnown = isAuthentic(credentials, { name, code }, time, this.#nonce as Buffer);
    const isInTime = isTimely(time.readBigUInt64LE(0), nowMs());
    answer(isKnown && isInTime);
    // The name comes from a stranger: it is shown only where it is one of ours.
    if (!isKnown) return this.#reject("unknown name or wrong secret");
    if (!isInTime) return this.#reject(`the clock of ${name} is more than half an hour off`);
    this.name = name;
    this.#state = "accepted";
    return false;
  }
}

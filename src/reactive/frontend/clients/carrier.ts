/**
 * What carries a client's messages, whichever it is: a WebSocket or a framed TCP connection.
 *
 * Invariant: messages leave whole and in order or the connection ends. What the client does not read waits, bounded by
 * the carrier; past the bound it is closed.
 */
import { failureCodes, type FailureCode } from "../../client-wire/messages.ts";
import { FrameType } from "../../wire/frame.ts";
import type { Link } from "../../wire/link.ts";
import type { WebSocketPeer } from "../../../core/sockets/web-socket.ts";

export interface Carrier {
  readonly remoteAddress: string;
  readonly waitingBytes: number;
  send(message: Uint8Array): void;
  /** Sends what waits, then closes. */
  close(code: FailureCode, text: string): void;
}

/** RFC 6455 leaves 4000 to 4999 to applications: ours are the codes of failures. */
const CLOSE_BASE = 4000;

export class WebSocketCarrier implements Carrier {
  readonly #peer: WebSocketPeer;
  readonly #onOverflow: () => void;

  constructor(peer: WebSocketPeer, onOverflow: () => void) {
    this.#peer = peer;
    this.#onOverflow = onOverflow;
  }

  get remoteAddress(): string {
    return this.#peer.remoteAddress;
  }

  get waitingBytes(): number {
    return this.#peer.length;
  }

  send(message: Uint8Array): void {
    if (!this.#peer.send(message)) this.#onOverflow();
  }

  close(code: FailureCode, text: string): void {
    this.#peer.close(CLOSE_BASE + failureCodes.indexOf(code), text);
  }
}

export class FramedCarrier implements Carrier {
  readonly #link: Link;

  constructor(link: Link) {
    this.#link = link;
  }

  get remoteAddress(): string {
    return this.#link.socket.remoteAddress;
  }

  get waitingBytes(): number {
    return this.#link.outbox.length;
  }

  send(message: Uint8Array): void {
    this.#link.send(FrameType.message, (writer) => writer.raw(message));
  }

  close(): void {
    this.#link.close();
  }
}

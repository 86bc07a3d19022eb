/**
 * One client of a store's port, as every protocol needs it: replies that wait for the log, then for the kernel.
 *
 * Invariant: bytes leave in order, after they are durable; a client that is paused goes on only when nothing of it waits
 * any more; one that is closing gets what is held for it first. A crash drops what waits, none of it was promised.
 */
import type { Socket } from "../core/seams/net.ts";
import { Outbox } from "../core/sockets/outbox.ts";
import type { SpareBuffers } from "../core/sockets/spare-buffers.ts";
import { HeldReplies, type ReplySink } from "./reply-gate.ts";

export abstract class GatedClient implements ReplySink {
  readonly socket: Socket;
  readonly outbox: Outbox;
  readonly held: HeldReplies;
  /** The engine has more to say once what it said before is read: it waits for `resume`. */
  hasMore = false;
  isPaused = false;
  isClosing = false;

  /** `bytesMax`: what may wait for the kernel before the connection is closed. */
  constructor(socket: Socket, bytesMax: number, spares: SpareBuffers) {
    this.socket = socket;
    this.held = new HeldReplies(this, spares);
    this.outbox = new Outbox(socket, {
      bytesMax,
      spares,
      partOf: (bytes) => this.partOf(bytes),
      onPart: () => this.onPart(),
      onDrained: () => this.onReleased(),
      onOverflow: (bytes) => this.onOverflow(bytes),
    });
  }

  /** How many of so many bytes may leave now. */
  protected abstract partOf(bytes: number): number;
  /** Further parts of what waits may leave, in later turns. */
  protected abstract onPart(): void;
  /** It was paused or has more to be told, and has read everything: it may go on. */
  protected abstract onReady(): void;
  /** Told before it is closed because more than `bytesMax` wait. */
  protected abstract onOverflow(bytes: number): void;

  get unreadBytes(): number {
    return this.outbox.length + this.held.length;
  }

  send(bytes: Uint8Array): void {
    this.outbox.send(bytes);
  }

  onReleased(): void {
    if (this.isClosing && this.held.length === 0) this.outbox.end();
    else if ((this.isPaused || this.hasMore) && this.unreadBytes === 0) this.onReady();
  }

  pause(): void {
    if (this.isPaused) return;
    this.isPaused = true;
    this.socket.pause();
  }

  /** Sends what is on its way, then closes. */
  close(): void {
    this.isClosing = true;
    if (this.held.length === 0) this.outbox.end();
  }
}

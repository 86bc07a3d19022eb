/**
 * The node's side of mirroring: tells mirrors of everything that its store does, in the order in which it did it.
 *
 * Invariant: what a mirror gets is the stream of the store in time: a slice of records shows them as they are when it is
 * sent, and every change behind it follows. So a mirror that has read up to a position has what the node had there. With
 * `isSync` a position counts as durable only when a mirror that has all records said so, too: no client is told of a
 * write that is on one host alone, and while there is no mirror nobody is told anything. A mirror that cannot keep up is cut
 * off and begins again; recent changes are kept, so that a short interruption does not cost a whole copy.
 */
import type { Log } from "../../core/logging/log.ts";
import type { Clock, Timer } from "../../core/seams/clock.ts";
import type { Listener, Net, Socket, TlsMaterial } from "../../core/seams/net.ts";
import type { Random } from "../../core/seams/random.ts";
import { Outbox } from "../../core/sockets/outbox.ts";
import type { Durability } from "../reply-gate.ts";
import { Handshake } from "../wire/neo/handshake.ts";
import { HEADER_BYTES, message, MessageType, readHeader, u64 } from "../wire/neo/messages.ts";
import { FOLLOW_CODE, FOLLOW_ID, FollowMessage } from "./protocol.ts";

export interface MirrorSourceOptions {
  net: Net;
  clock: Clock;
  random: Random;
  log: Log;
  host: string;
  port: number;
  tls?: TlsMaterial | undefined;
  isSync: boolean;
  durable: Durability;
  credentials(): ReadonlyMap<string, Uint8Array>;
  slices(): Iterable<Uint8Array>;
  /** A mirror has more, or there is one more or less: replies may go on. */
  onProgress(): void;
}

const OUTBOX_BYTES_MAX = 64 << 20;
const BACKLOG_BYTES_MAX = 32 << 20;
const IDLE_MS = 100;
const MESSAGE_BYTES_MAX = 1024;

class Mirror {
  readonly socket: Socket;
  readonly outbox: Outbox;
  readonly handshake: Handshake;
  input = Buffer.alloc(0);
  isFollowing = false;
  /** It has all records; only then what it acknowledges counts. */
  isComplete = false;
  durablePosition = 0;
  slices: Iterator<Uint8Array> | undefined;

  constructor(socket: Socket, options: MirrorSourceOptions, onDrained: () => void) {
    this.socket = socket;
    this.outbox = new Outbox(socket, { bytesMax: OUTBOX_BYTES_MAX, onDrained });
    this.handshake = new Handshake({
      credentials: options.credentials(),
      random: options.random,
      nowMs: () => options.clock.nowMs(),
      send: (bytes) => this.outbox.send(bytes),
    });
  }

  tell(kind: number, ...parts: Uint8Array[]): void {
    this.outbox.send(message(MessageType.request, u64(FOLLOW_ID), Uint8Array.of(kind), ...parts));
  }
}

export class MirrorSource implements Durability {
  readonly #options: MirrorSourceOptions;
  readonly #life: bigint;
  readonly #mirrors = new Set<Mirror>();
  /** The last changes: bytes, and the position behind them. */
  #backlog: { position: number; bytes: Uint8Array }[] = [];
  #backlogBytes = 0;
  #backlogStart: number;
  #listener: Listener | undefined;
  #timer: Timer | undefined;

  constructor(options: MirrorSourceOptions) {
    this.#options = options;
    this.#life = Buffer.from(options.random.bytes(8)).readBigUInt64LE(0);
    this.#backlogStart = options.durable.position;
  }

  async listen(): Promise<number> {
    const { net, host, port, tls, clock } = this.#options;
    this.#listener = await net.listen<Mirror>({
      host,
      port,
      ...(tls !== undefined && { tls }),
      handlers: {
        open: (socket) => this.#open(socket),
        data: (_socket, mirror, chunk) => this.#receive(mirror, chunk),
        drain: (_socket, mirror) => mirror.outbox.drain(),
        close: (_socket, mirror) => this.#closed(mirror),
      },
    });
    this.#timer = clock.every(IDLE_MS, () => {
      for (const mirror of this.#mirrors)
        if (mirror.isComplete) mirror.tell(FollowMessage.idle, u64(BigInt(this.position)));
    });
    return this.#listener.port;
  }

  // --- what the reply gate asks ----------------------------------------------------------------------------------

  get position(): number {
    return this.#options.durable.position;
  }

  get durablePosition(): number {
    const { durable, isSync } = this.#options;
    return isSync ? Math.min(durable.durablePosition, this.mirroredPosition) : durable.durablePosition;
  }

  get isStalled(): boolean {
    return this.#options.durable.isStalled;
  }

  /** What the mirror that is furthest has durably; 0 when there is none. */
  get mirroredPosition(): number {
    let furthest = 0;
    for (const mirror of this.#mirrors)
      if (mirror.isComplete) furthest = Math.max(furthest, mirror.durablePosition);
    return furthest;
  }

  get figures() {
    const complete = [...this.#mirrors].filter(({ isComplete }) => isComplete).length;
    const behindBytes = complete === 0 ? null : this.position - this.mirroredPosition;
    return { mirrors: this.#mirrors.size, complete, behindBytes };
  }

  // --- the stream ------------------------------------------------------------------------------------------------

  /** What the store just did; `position` is behind it. */
  onChange(effects: Uint8Array, position: number): void {
    const bytes = effects.slice();
    this.#backlog.push({ position, bytes });
    this.#backlogBytes += bytes.byteLength;
    while (this.#backlogBytes > BACKLOG_BYTES_MAX) {
      const oldest = this.#backlog.shift();
      this.#backlogBytes -= oldest?.bytes.byteLength ?? 0;
      this.#backlogStart = oldest?.position ?? this.#backlogStart;
    }
    for (const mirror of this.#mirrors)
      if (mirror.isFollowing) mirror.tell(FollowMessage.change, u64(BigInt(position)), bytes);
  }

  #open(socket: Socket): Mirror {
    const mirror: Mirror = new Mirror(socket, this.#options, () => this.#nextSlice(mirror));
    this.#mirrors.add(mirror);
    return mirror;
  }

  #receive(mirror: Mirror, chunk: Uint8Array): void {
    const { log } = this.#options;
    const bytes = mirror.handshake.state === "accepted" ? chunk : mirror.handshake.feed(chunk);
    if (mirror.handshake.state === "rejected") {
      log.warn("rejected a mirror", { remote: mirror.socket.remoteAddress, reason: mirror.handshake.reason });
      mirror.outbox.end();
      return;
    }
    mirror.input = Buffer.concat([mirror.input, bytes]);
    while (mirror.input.byteLength >= HEADER_BYTES) {
      const header = readHeader(mirror.input);
      if (header === undefined || header.length < 9 || header.length > MESSAGE_BYTES_MAX) {
        mirror.socket.terminate();
        return;
      }
      const end = HEADER_BYTES + header.length;
      if (mirror.input.byteLength < end) return;
      const payload = mirror.input.subarray(HEADER_BYTES + 8, end);
      mirror.input = mirror.input.subarray(end);
      this.#obey(mirror, payload);
    }
  }

  #obey(mirror: Mirror, payload: Buffer): void {
    if (!mirror.isFollowing && payload[0] === FOLLOW_CODE && payload.byteLength === 18)
      this.#begin(mirror, payload.readBigUInt64LE(2), Number(payload.readBigUInt64LE(10)));
    else if (mirror.isFollowing && payload[0] === FollowMessage.durable && payload.byteLength === 9) {
      mirror.durablePosition = Math.max(mirror.durablePosition, Number(payload.readBigUInt64LE(1)));
      this.#options.onProgress();
    } else mirror.socket.terminate();
  }

  #begin(mirror: Mirror, life: bigint, position: number): void {
    const { log, slices } = this.#options;
    mirror.isFollowing = true;
    mirror.tell(0xfd);
    const canGoOn = life === this.#life && position >= this.#backlogStart && position <= this.position;
    log.info("a mirror follows", {
      remote: mirror.socket.remoteAddress,
      from: canGoOn ? position : "the beginning",
    });
    mirror.tell(canGoOn ? FollowMessage.rest : FollowMessage.whole, u64(this.#life));
    if (canGoOn) {
      for (const change of this.#backlog)
        if (change.position > position)
          mirror.tell(FollowMessage.change, u64(BigInt(change.position)), change.bytes);
      this.#complete(mirror);
      return;
    }
    mirror.slices = slices()[Symbol.iterator]();
    this.#nextSlice(mirror);
  }

  /** One slice at a time, each when the one before has left; changes of the store come between them. */
  #nextSlice(mirror: Mirror): void {
    if (mirror.slices === undefined) return;
    this.#options.clock.endOfTurn(() => {
      while (mirror.slices !== undefined && mirror.outbox.length === 0 && this.#mirrors.has(mirror)) {
        const next = mirror.slices.next();
        if (next.done === true) {
          mirror.slices = undefined;
          this.#complete(mirror);
        } else mirror.tell(FollowMessage.slice, next.value);
      }
    });
  }

  #complete(mirror: Mirror): void {
    mirror.isComplete = true;
    mirror.tell(FollowMessage.complete, u64(BigInt(this.position)));
  }

  #closed(mirror: Mirror): void {
    this.#mirrors.delete(mirror);
    mirror.outbox.close();
    mirror.slices?.return?.();
    if (mirror.isFollowing)
      this.#options.log.warn("a mirror is gone", { remote: mirror.socket.remoteAddress });
  }

  stop(): void {
    this.#timer?.cancel();
    this.#listener?.stop();
    for (const mirror of [...this.#mirrors]) {
      this.#closed(mirror);
      mirror.socket.terminate();
    }
  }
}

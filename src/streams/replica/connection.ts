/**
 * The calling side of the file-replica protocol: one connection, requests answered in their order, then perhaps an append.
 *
 * Invariant: every request is answered or fails when the connection ends, or is silent for too long; nothing waits for
 * ever. After `append` the connection belongs to that file until it is closed.
 */
import type { World } from "../../core/role.ts";
import type { Timer } from "../../core/seams/clock.ts";
import type { Socket } from "../../core/seams/net.ts";
import { NxError } from "../../core/errors.ts";
import { Outbox } from "../../core/sockets/outbox.ts";
import { ByteWriter, copyOf, textOf } from "../wire/bytes.ts";
import { FrameReader } from "../wire/frame.ts";
import {
  ERROR_PREFIX,
  PIECE_BYTES_MAX,
  readList,
  readStatus,
  replicaRequest,
  writePiece,
  type ReplicaFile,
  type ReplicaRequest,
} from "../wire/replica.ts";
import type { Address } from "../sender/line.ts";

export interface ReplicaConnectionOptions {
  world: Pick<World, "net" | "clock">;
  address: Address;
  /** A reply, or the connection itself, that takes longer ends it. */
  timeoutMs: number;
  onClosed?(reason: string): void;
}

export interface AppendEvents {
  /** So much of the file is synced. */
  onSynced(bytes: number): void;
  /** Less than `UNSENT_BYTES_MAX` waits for the kernel again. */
  onRoom(): void;
}

interface Waiting {
  resolve(body: Uint8Array): void;
  reject(error: Error): void;
}

/** A list of many files, or a piece of one. */
const REPLY_BYTES_MAX = 16 * 1024 * 1024;
const UNSENT_BYTES_MAX = 2 * 1024 * 1024;

export class ReplicaConnection {
  readonly #options: ReplicaConnectionOptions;
  readonly #reader = new FrameReader(() => REPLY_BYTES_MAX);
  readonly #waiting: Waiting[] = [];
  #socket: Socket | undefined;
  #outbox: Outbox | undefined;
  #events: AppendEvents | undefined;
  #timer: Timer | undefined;
  #closedBecause: string | undefined;

  /** Throws NX_CONNECT_FAILED, NX_TIMEOUT. */
  static async connect(options: ReplicaConnectionOptions): Promise<ReplicaConnection> {
    const connection = new ReplicaConnection(options);
    const { world, address, timeoutMs } = options;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = world.clock.after(timeoutMs, () => reject(silent(address)));
    world.net
      .connect<undefined>({
        ...address,
        handlers: {
          open: (socket) => connection.#opened(socket),
          data: (_socket, _state, chunk) => connection.#data(chunk),
          drain: () => connection.#outbox?.drain(),
          close: (_socket, _state, error) =>
            connection.#closed(error?.message ?? "the replica closed the connection"),
        },
      })
      .then(() => resolve(), reject);
    try {
      await promise;
    } catch (error) {
      connection.close();
      throw error;
    } finally {
      timer.cancel();
    }
    return connection;
  }

  private constructor(options: ReplicaConnectionOptions) {
    this.#options = options;
  }

  #opened(socket: Socket): undefined {
    this.#socket = socket;
    this.#outbox = new Outbox(socket, {
      bytesMax: Number.POSITIVE_INFINITY,
      highBytes: UNSENT_BYTES_MAX,
      onLow: () => this.#events?.onRoom(),
    });
    if (this.#closedBecause !== undefined) socket.terminate();
  }

  #data(chunk: Uint8Array): void {
    try {
      this.#reader.feed(chunk, (bytes, start, end) => {
        this.#reply(copyOf(bytes.subarray(start, end)));
        return this.#closedBecause === undefined;
      });
    } catch (error) {
      this.#fail((error as Error).message);
    }
  }

  #reply(body: Uint8Array): void {
    this.#watch();
    if (this.#events !== undefined && this.#waiting.length === 0) {
      if (isRefusal(body)) this.#fail(textOf(body));
      else this.#events.onSynced(readStatus(body).syncedBytes);
      return;
    }
    this.#waiting.shift()?.resolve(body);
    this.#watch();
  }

  /** Ends a connection whose peer owes a reply and is silent. */
  #watch(): void {
    const { world, timeoutMs, address } = this.#options;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#waiting.length > 0)
      this.#timer = world.clock.after(timeoutMs, () => this.#fail(silent(address).message));
  }

  #fail(reason: string): void {
    this.#socket?.terminate();
    this.#closed(reason);
  }

  #closed(reason: string): void {
    if (this.#closedBecause !== undefined) return;
    this.#closedBecause = reason;
    this.#timer?.cancel();
    this.#outbox?.close();
    for (const { reject } of this.#waiting.splice(0)) reject(lost(this.#options.address, reason));
    this.#options.onClosed?.(reason);
  }

  /** Throws NX_CONNECT_FAILED when the connection is or goes down, NX_STREAM_REPLICA_REFUSED when the replica says no. */
  async request(request: ReplicaRequest): Promise<Uint8Array> {
    if (this.#closedBecause !== undefined) throw lost(this.#options.address, this.#closedBecause);
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    this.#waiting.push({ resolve, reject });
    this.#outbox?.send(replicaRequest(request));
    this.#watch();
    const body = await promise;
    // What a file holds may look like a refusal; a piece of a file is no text.
    if (request.command !== "g" && isRefusal(body)) {
      const { host, port } = this.#options.address;
      throw new NxError("NX_STREAM_REPLICA_REFUSED", `the replica at ${host}:${port} says: ${textOf(body)}`);
    }
    return body;
  }

  async list(): Promise<ReplicaFile[]> {
    return readList(await this.request({ command: "l" }));
  }

  /** A whole file. */
  async download({ name, bytes }: ReplicaFile): Promise<Uint8Array> {
    const content = new Uint8Array(bytes);
    let at = 0;
    while (at < bytes) {
      const piece = await this.request({
        command: "g",
        name,
        offset: at,
        count: Math.min(PIECE_BYTES_MAX, bytes - at),
      });
      if (piece.byteLength === 0) break;
      content.set(piece, at);
      at += piece.byteLength;
    }
    return content.subarray(0, at);
  }

  /** Begins a checked append at the end of a file, which must be at `offset`. */
  async append(name: string, offset: number, events: AppendEvents): Promise<void> {
    await this.request({ command: "A", name, offset });
    this.#events = events;
  }

  get hasRoom(): boolean {
    return (this.#outbox?.length ?? 0) <= UNSENT_BYTES_MAX;
  }

  /** Sends bytes to append, at least one. */
  send(bytes: Uint8Array): void {
    const writer = new ByteWriter(Math.min(bytes.byteLength, PIECE_BYTES_MAX) + 8);
    for (let at = 0; at < bytes.byteLength; at += PIECE_BYTES_MAX) {
      writer.clear();
      writePiece(writer, bytes.subarray(at, at + PIECE_BYTES_MAX));
      this.#outbox?.send(writer.done());
    }
  }

  close(): void {
    if (this.#closedBecause === undefined) {
      this.#closedBecause = "closed";
      this.#timer?.cancel();
      this.#outbox?.close();
      for (const { reject } of this.#waiting.splice(0)) reject(lost(this.#options.address, "closed"));
    }
    this.#socket?.terminate();
  }
}

function isRefusal(body: Uint8Array): boolean {
  return (
    body.byteLength >= ERROR_PREFIX.length &&
    Buffer.from(body.subarray(0, ERROR_PREFIX.length)).toString() === ERROR_PREFIX
  );
}

function lost({ host, port }: Address, reason: string): NxError {
  return new NxError("NX_CONNECT_FAILED", `the replica at ${host}:${port}: ${reason}`);
}

function silent({ host, port }: Address): NxError {
  return new NxError("NX_TIMEOUT", `the replica at ${host}:${port} does not answer`);
}

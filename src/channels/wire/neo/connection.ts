/**
 * One authenticated connection of the neo protocol, seen by its client: messages of any number of requests, told apart by
 * their ids. What the requests are is client.ts's (the dht's) and of whoever speaks to other kinds of nodes.
 *
 * Invariant: a node that stops answering or sends what is no message rejects every request that waits.
 */
import { NxError } from "../../../core/errors.ts";
import type { Clock } from "../../../core/seams/clock.ts";
import type { Net, Socket } from "../../../core/seams/net.ts";
import { type NodeAddress, StatusError } from "../legacy/client.ts";
import { Status } from "../legacy/protocol.ts";
import { codeOf, type Credential } from "./credentials.ts";
import { MessageQueue } from "./message-queue.ts";
import { array, HEADER_BYTES, message, MessageType, PROTOCOL_VERSION, readHeader, u64 } from "./messages.ts";
import { Support } from "./protocol.ts";

/** Written at once. */
const WRITE_BYTES = 64 * 1024;
/** Messages of a node longer than this are not believed. */
const MESSAGE_BYTES_MAX = 1024 * 1024 * 1024;

export class NeoWire {
  readonly address: NodeAddress;
  readonly #socket: Socket;
  readonly #requests = new Map<bigint, MessageQueue>();
  #input: Buffer = Buffer.alloc(0);
  #unsent: Buffer[] = [];
  #isBlocked = false;
  #nextId = 1n;
  #error: Error | undefined;
  #handshake: { onBytes(bytes: Buffer): Buffer } | undefined;

  private constructor(address: NodeAddress, socket: Socket) {
    this.address = address;
    this.#socket = socket;
  }

  /** Connects and authenticates. Throws NX_CONNECT_FAILED, also when the node does not accept the credential. */
  static async connect(
    net: Net,
    clock: Clock,
    address: NodeAddress,
    credential: Credential,
  ): Promise<NeoWire> {
    let node: NeoWire | undefined;
    const early: Buffer[] = [];
    const socket = await net.connect<undefined>({
      ...address,
      handlers: {
        open: () => undefined,
        data: (_socket, _state, chunk) => {
          if (node === undefined) early.push(Buffer.from(chunk));
          else node.#receive(Buffer.from(chunk));
        },
        drain: () => {
          if (node !== undefined) node.#flush();
        },
        close: () => {
          const error = new NxError("NX_CONNECT_FAILED", `${nameOf(address)} closed the connection`);
          if (node !== undefined) node.#fail(error);
        },
      },
    });
    node = new NeoWire(address, socket);
    const accepted = node.#authenticate(credential, Math.floor(clock.nowMs() / 1000));
    for (const chunk of early) node.#receive(chunk);
    await accepted;
    return node;
  }

  // --- the connection --------------------------------------------------------------------------------------------

  get isClosed(): boolean {
    return this.#error !== undefined;
  }

  /** Reads nothing more: tests of clients that do not. */
  pause(): void {
    this.#socket.pause();
  }

  /** Sends raw bytes: tests of what is no message. */
  send(bytes: Uint8Array): void {
    this.#send(Buffer.from(bytes));
  }

  close(): void {
    this.#socket.terminate();
    this.#fail(new NxError("NX_CONNECT_FAILED", "the connection was closed here"));
  }

  #fail(error: Error): void {
    this.#error ??= error;
    for (const queue of this.#requests.values()) queue.fail(this.#error);
    this.#requests.clear();
    this.#handshake?.onBytes(Buffer.alloc(0));
  }

  #authenticate({ name, secret }: Credential, seconds: number): Promise<void> {
    const time = u64(BigInt(seconds));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const refuse = (reason: string) => {
      this.#handshake = undefined;
      const error = new NxError("NX_CONNECT_FAILED", `${nameOf(this.address)}: ${reason}`, {
        hint: "are name and secret those of the node's credentials, and do both clocks agree?",
      });
      reject(error);
      this.#socket.terminate();
      return Buffer.alloc(0);
    };
    let step = 0;
    this.#handshake = {
      onBytes: (bytes) => {
        if (this.#error !== undefined) return refuse("the node ended the handshake");
        if (step === 0) {
          if (bytes.byteLength < 1) return bytes;
          if (bytes[0] !== PROTOCOL_VERSION) return refuse(`protocol version ${bytes[0]}`);
          step = 1;
          this.#send(Buffer.concat([byte(PROTOCOL_VERSION), message(MessageType.authentication, time)]));
          return bytes.subarray(1);
        }
        if (bytes.byteLength < HEADER_BYTES) return bytes;
        const header = readHeader(bytes);
        if (header?.type !== MessageType.authentication || header.length > 999) return refuse("no handshake");
        const end = HEADER_BYTES + header.length;
        if (bytes.byteLength < end) return bytes;
        const body = bytes.subarray(HEADER_BYTES, end);
        if (step === 1) {
          step = 2;
          this.#send(message(MessageType.authentication, array(name), codeOf(secret, time, body)));
        } else if (body[0] === 1) {
          this.#handshake = undefined;
          resolve();
        } else return refuse("the node does not accept this client");
        return bytes.subarray(end);
      },
    };
    return promise;
  }

  #send(bytes: Buffer): void {
    this.#unsent.push(bytes);
    if (!this.#isBlocked) this.#flush();
  }

  /** Small messages leave together; what the kernel does not take waits for its word. */
  #flush(): void {
    while (this.#unsent.length > 0) {
      let count = 0;
      for (let bytes = 0; count < this.#unsent.length && bytes < WRITE_BYTES; count++)
        bytes += (this.#unsent[count] as Buffer).byteLength;
      const next = count === 1 ? (this.#unsent[0] as Buffer) : Buffer.concat(this.#unsent.slice(0, count));
      const taken = this.#socket.write(next);
      this.#isBlocked = taken < next.byteLength;
      if (taken < 0) return;
      this.#unsent.splice(0, count, ...(this.#isBlocked ? [next.subarray(taken)] : []));
      if (this.#isBlocked) return;
    }
  }

  #receive(chunk: Buffer): void {
    this.#input = this.#input.byteLength === 0 ? chunk : Buffer.concat([this.#input, chunk]);
    while (this.#handshake !== undefined) {
      const before = this.#input.byteLength;
      this.#input = this.#handshake.onBytes(this.#input);
      if (this.#input.byteLength === before || this.#input.byteLength === 0) break;
    }
    if (this.#handshake !== undefined) return;
    let at = 0;
    while (this.#input.byteLength - at >= HEADER_BYTES) {
      const header = readHeader(this.#input.subarray(at, at + HEADER_BYTES));
      if (header?.type !== MessageType.request || header.length < 8 || header.length > MESSAGE_BYTES_MAX) {
        this.#socket.terminate();
        this.#fail(new NxError("NX_CONNECT_FAILED", `${nameOf(this.address)} sent what is no message`));
        return;
      }
      const end = at + HEADER_BYTES + header.length;
      if (this.#input.byteLength < end) break;
      const id = this.#input.readBigUInt64LE(at + HEADER_BYTES);
      // Of an id that nobody waits for: a request that has ended here.
      this.#requests.get(id)?.push(this.#input.subarray(at + HEADER_BYTES + 8, end));
      at = end;
    }
    this.#input = this.#input.subarray(at);
  }

  /** Sends the first message of a request; resolves when the node supports it. */
  async begin(
    code: number,
    version: number,
    ...payload: Uint8Array[]
  ): Promise<{ id: bigint; queue: MessageQueue }> {
    if (this.#error !== undefined) throw this.#error;
    const id = this.#nextId++;
    const queue = new MessageQueue();
    this.#requests.set(id, queue);
    this.tell(id, byte(code), byte(version), ...payload);
    const support = (await queue.take())[0];
    if (support === Support.supported) return { id, queue };
    this.#requests.delete(id);
    throw new StatusError(Status.NotSupported);
  }

  tell(id: bigint, ...payload: Uint8Array[]): void {
    this.#send(message(MessageType.request, u64(id), ...payload));
  }

  /** The request is over: what still comes of it is dropped. */
  release(id: bigint): void {
    this.#requests.delete(id);
  }
}

export const nameOf = ({ host, port }: NodeAddress) => `${host}:${port}`;

const byte = (value: number) => Uint8Array.of(value);

/** Where a client connects, and as whom. */
export type NeoTarget = Parameters<typeof NeoWire.connect>;

/** A client of one node over one connection; what it can ask is its kind's. */
export abstract class NeoPeer {
  protected readonly wire: NeoWire;

  protected constructor(wire: NeoWire) {
    this.wire = wire;
  }

  get isClosed(): boolean {
    return this.wire.isClosed;
  }

  close(): void {
    this.wire.close();
  }
}

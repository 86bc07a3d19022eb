/**
 * Acknowledged input: the connector protocol (wire/connector.ts), whose senders keep what is not acknowledged and send it
 * again after a break.
 *
 * A message is acknowledged when a checkpoint that holds it is committed, so nothing that was acknowledged can be lost.
 * After the cluster went back every client is told to start again; it hears where to go on.
 *
 * Invariant: of each stream every message is fed once, in the order of its numbers: what was seen already, here or at
 * another worker, is dropped. A stream belongs to one connection in the whole cluster at a time. A client has never more messages on their way than it has credits; while
 * the source rests none are given back.
 */
import type { Log } from "../../core/logging/log.ts";
import type { Clock } from "../../core/seams/clock.ts";
import type { Net, Socket, TlsMaterial } from "../../core/seams/net.ts";
import { Outbox } from "../../core/sockets/outbox.ts";
import type { SourceNode } from "../plan/nodes.ts";
import {
  CONNECTOR_VERSION,
  type ConnectorFrame,
  connectorFrame,
  readConnectorFrame,
  type StreamPosition,
} from "../wire/connector.ts";
import { FrameReader } from "../wire/frame.ts";
import type { StreamGrant, StreamReport } from "../worker/stream-registry.ts";
import { larger } from "../worker/stream-registry.ts";
import type { Source, SourceHost } from "./source.ts";
import { PortClient, SourcePort } from "./source-port.ts";
import type { StreamGrants } from "./stream-grants.ts";

export interface AckedSourceOptions {
  net: Net;
  clock: Clock;
  log: Log;
  host: string;
  port: number;
  tls: TlsMaterial | undefined;
  connectionsMax: number;
  /** What a hello must show; undefined: anything. */
  cookie: string | undefined;
  credits: number;
  /** Undefined: there is no other worker. */
  grants?: StreamGrants;
}

/** A frame around a record of the largest size: its fixed fields and a key. */
const ENVELOPE_BYTES_MAX = 70_000;
const OUTBOX_BYTES_MAX = 16 << 20;

class Client extends PortClient {
  readonly outbox: Outbox;
  readonly frames: FrameReader;
  readonly streams = new Set<bigint>();
  /** Streams that the client has ended: a last acknowledgement is due. */
  readonly ended = new Set<bigint>();
  isGreeted = false;
  /** Frames since the last credits were given back. */
  used = 0;
  credits = 0;

  constructor(socket: Socket, recordBytesMax: number) {
    super(socket);
    this.outbox = new Outbox(socket, { bytesMax: OUTBOX_BYTES_MAX });
    this.frames = new FrameReader(() => recordBytesMax + ENVELOPE_BYTES_MAX);
  }

  send(frame: ConnectorFrame): void {
    this.outbox.send(connectorFrame(frame));
  }
}

export class AckedSource implements Source {
  readonly name: string;
  readonly node: SourceNode;
  readonly #options: AckedSourceOptions;
  readonly #host: SourceHost;
  readonly #port: SourcePort<Client>;
  /** By stream: who sends it, or waits for the cluster to allow that. */
  readonly #owners = new Map<bigint, Client>();
  /** The last message of each stream that was fed. */
  #seen = new Map<bigint, number>();
  #acked = new Map<bigint, number>();
  #elsewhere: string | undefined;
  #records = 0;
  #repeated = 0;

  constructor(node: SourceNode, host: SourceHost, options: AckedSourceOptions) {
    this.name = node.name;
    this.node = node;
    this.#host = host;
    this.#options = options;
    this.#port = new SourcePort<Client>({
      ...options,
      open: (socket) => new Client(socket, node.framing.recordBytesMax),
      onChunk: (client, chunk) => this.#take(client, chunk),
      onResumed: (client) => this.#giveCredits(client),
      onDrain: (client) => client.outbox.drain(),
      onClose: (client) => this.#forget(client),
      // A sender keeps what is not acknowledged.
      keepsWaiting: false,
    });
  }

  get handoverAddress(): string {
    return this.#port.address;
  }

  open(): Promise<number> {
    return this.#port.listen();
  }

  #forget(client: Client): void {
    client.isGone = true;
    client.outbox.close();
    this.#port.clients.delete(client);
    for (const [stream, owner] of this.#owners) if (owner === client) this.#release(stream);
  }

  /** The stream may go on elsewhere. */
  #release(stream: bigint): void {
    this.#owners.delete(stream);
    this.#options.grants?.left(this.#report(stream));
  }

  #report(stream: bigint): StreamReport {
    return {
      ...{
        source: this.name,
        stream: String(stream),
        isHeld: this.#owners.get(stream)?.streams.has(stream) === true,
      },
      ...{ seen: this.#seen.get(stream) ?? null, acked: this.#acked.get(stream) ?? null },
    };
  }

  streams(): StreamReport[] {
    return [...new Set([...this.#seen.keys(), ...this.#owners.keys()])].map((stream) => this.#report(stream));
  }

  #take(client: Client, chunk: Uint8Array): void {
    const startedMs = this.#options.clock.monotonicMs();
    const before = this.#records;
    try {
      client.frames.feed(chunk, (bytes, start, end) => {
        this.#hear(client, readConnectorFrame(bytes, start, end));
        return !client.isGone;
      });
    } catch (error) {
      this.#fail(client, (error as Error).message);
    }
    this.#giveCredits(client);
    this.#host.onBatchEnd(this.#records - before, startedMs);
  }

  #fail(client: Client, text: string): void {
    if (client.isGone) return;
    this.#options.log.warn(`a sender of ${this.name} was disconnected: ${text}`, {
      remote: client.socket.remoteAddress,
    });
    client.send({ type: "error", text });
    client.outbox.end();
    this.#forget(client);
  }

  // --- frames ------------------------------------------------------------------------------------------------------

  #hear(client: Client, frame: ConnectorFrame): void {
    if (frame.type === "hello") {
      this.#greet(client, frame);
      return;
    }
    if (!client.isGreeted) {
      this.#fail(client, "the first frame must be a hello");
      return;
    }
    client.used += 1;
    client.credits -= 1;
    if (client.credits < 0) {
      this.#fail(client, "more frames were sent than there were credits");
      return;
    }
    if (frame.type === "message") this.#message(client, frame);
    else if (frame.type === "notify") this.#notify(client, frame.streamId);
    else if (frame.type === "endOfStream") {
      if (client.streams.has(frame.streamId)) client.ended.add(frame.streamId);
      else this.#fail(client, `the stream ${frame.streamId} was not notified`);
    } else if (frame.type === "error") this.#forget(client);
    else this.#fail(client, `a sender does not send ${frame.type}`);
  }

  #greet(client: Client, { version, cookie }: Extract<ConnectorFrame, { type: "hello" }>): void {
    if (client.isGreeted) this.#fail(client, "a second hello");
    else if (version !== CONNECTOR_VERSION)
      this.#fail(client, `the version is ${CONNECTOR_VERSION}, not ${version}`);
    else if (this.#options.cookie !== undefined && cookie !== this.#options.cookie)
      this.#fail(client, "the cookie is another one");
    else {
      client.isGreeted = true;
      client.credits = this.#options.credits;
      client.send({ type: "ok", credits: client.credits });
    }
  }

  #notify(client: Client, streamId: bigint): void {
    const owner = this.#owners.get(streamId);
    const { grants } = this.#options;
    if (owner !== undefined || grants === undefined) {
      if (owner === undefined) this.#owners.set(streamId, client);
      this.#answer(client, streamId, owner === undefined || owner === client);
      return;
    }
    this.#owners.set(streamId, client);
    grants.claim(String(streamId), (grant) => this.#granted(client, streamId, grant));
  }

  #granted(client: Client, streamId: bigint, { isGranted, seen, acked }: StreamGrant): void {
    if (isGranted) {
      setLarger(this.#seen, streamId, seen);
      setLarger(this.#acked, streamId, acked);
    }
    if (this.#owners.get(streamId) !== client) {
      // The client went meanwhile, and said so before the leader had decided.
      if (isGranted && !this.#owners.has(streamId)) this.#options.grants?.left(this.#report(streamId));
      return;
    }
    if (!isGranted) this.#owners.delete(streamId);
    this.#answer(client, streamId, isGranted);
  }

  #answer(client: Client, streamId: bigint, isAccepted: boolean): void {
    if (isAccepted) client.streams.add(streamId);
    // What was fed and is not acknowledged may still be undone: the client has to keep it. It goes on behind what was
    // acknowledged, and what comes a second time is dropped here.
    client.send({ type: "notifyAck", isAccepted, streamId, position: this.#acked.get(streamId) });
  }

  #message(client: Client, message: Extract<ConnectorFrame, { type: "message" }>): void {
    const { streamId, messageId, payload, eventTimeNs } = message;
    if (!client.streams.has(streamId)) {
      this.#fail(client, `the stream ${streamId} was not notified`);
      return;
    }
    const seen = this.#seen.get(streamId);
    if (seen !== undefined && messageId <= seen) {
      this.#repeated += 1;
      return;
    }
    this.#seen.set(streamId, messageId);
    this.#records += 1;
    const timeMs = eventTimeNs > 0n ? Number(eventTimeNs / 1_000_000n) : undefined;
    this.#host.feed(this.node, payload, 0, payload.byteLength, timeMs);
  }

  #giveCredits(client: Client): void {
    if (this.#port.rests || client.isGone || client.used < this.#options.credits / 2) return;
    this.#acknowledge(client, []);
  }

  #acknowledge(client: Client, positions: StreamPosition[]): void {
    const credits = this.#port.rests ? 0 : client.used;
    client.used -= credits;
    client.credits += credits;
    client.send({ type: "ack", credits, positions });
  }

  // --- resting and checkpoints -------------------------------------------------------------------------------------

  go(): void {
    this.#port.go();
  }

  rest(): void {
    this.#port.rest();
  }

  position(): Record<string, number> {
    return Object.fromEntries([...this.#seen].map(([stream, seen]) => [String(stream), seen]));
  }

  committed(position: unknown): void {
    for (const [stream, acked] of parsed(position)) setLarger(this.#acked, stream, acked);
    for (const client of this.#port.clients) {
      const streams = [...client.streams].filter((stream) => this.#acked.has(stream));
      const positions = streams.map((streamId) => ({ streamId, position: this.#acked.get(streamId) }));
      if (positions.length > 0) this.#acknowledge(client, positions);
      for (const stream of client.ended) {
        if (this.#acked.get(stream) !== this.#seen.get(stream)) continue;
        client.ended.delete(stream);
        client.streams.delete(stream);
        this.#release(stream);
      }
    }
  }

  sendElsewhere(address: string | undefined): void {
    this.#elsewhere = address;
  }

  async rollBack(position: unknown): Promise<void> {
    this.#seen = parsed(position);
    this.#acked = new Map(this.#seen);
    // The cluster begins anew: nobody holds anything.
    this.#owners.clear();
    for (const client of [...this.#port.clients]) {
      if (client.isGreeted) client.send({ type: "restart", address: this.#elsewhere ?? "" });
      client.outbox.end();
      this.#forget(client);
    }
  }

  stats() {
    return {
      kind: "acked",
      connections: this.#port.clients.size,
      streams: this.#seen.size,
      records: this.#records,
      repeated: this.#repeated,
      refused: this.#port.refused,
    };
  }

  async close(): Promise<void> {
    this.#port.close();
  }
}

function parsed(position: unknown): Map<bigint, number> {
  const entries = Object.entries((position as Record<string, number> | undefined) ?? {});
  return new Map(entries.map(([stream, seen]) => [BigInt(stream), seen]));
}

function setLarger(positions: Map<bigint, number>, stream: bigint, position: number | null): void {
  const known = larger(positions.get(stream) ?? null, position);
  if (known !== null) positions.set(stream, known);
}

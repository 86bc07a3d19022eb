/**
 * The listener for clients of the legacy swarm protocol: sockets on one side, the C engine on the other, the reply gate
 * in between.
 *
 * Invariant: one call into C per readable chunk; what it changed is handed to the log before its answers are handed to
 * the gate. A request for many records is answered piece by piece, each made only when the one before has left: a client
 * may stop reading for as long as it likes, that is how the protocol suspends. A crash closes the connections; clients see
 * no acknowledgement that was not durable.
 */
import { NxError } from "../../core/errors.ts";
import type { Socket } from "../../core/seams/net.ts";
import {
  LogfilesCommand as Command,
  type LogfilesConnection,
  type LogfilesEngine,
  LogfilesFlag,
  type LogfilesTask,
} from "../../native/logfiles/engine.ts";
import { GatedPort, type PortOptions } from "../gated-port.ts";
import type { PortClient } from "../port-client.ts";
import { Status } from "../wire/legacy/protocol.ts";
import { everything, type ScanRequest } from "./scan/request.ts";
import { decodeOrder, type Redistributor } from "./redistribute.ts";
import type { LogStore } from "./store/log-store.ts";

export interface LogfilesPortOptions extends PortOptions {
  durable: LogStore;
  engine: LogfilesEngine;
  /** Content of one batch of an answer. */
  batchBytes: number;
  redistributor: Redistributor;
}

type Client = PortClient<LogfilesConnection>;

/** The bytes of a status. */
function statusBytes(status: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(status);
  return bytes;
}

/** What a request for records asks of the store. */
function scanOf({ code, mode, low, high, rest }: LogfilesTask): Omit<ScanRequest, "sources" | "batchBytes"> {
  const output = code === Command.GetAllKeys ? "keys" : "legacy";
  switch (code) {
    case Command.GetAllFilter:
    case Command.GetRangeFilter:
      return { low, high, output, filter: { mode: "substring", pattern: rest } };
    case Command.GetRangeRegex: {
      const modes = ["substring", "regex", "regexIgnoringCase"] as const;
      return { low, high, output, filter: { mode: modes[mode] ?? "all", pattern: rest } };
    }
    default:
      return { low, high, output, filter: everything.filter };
  }
}

export class LogfilesPort extends GatedPort<LogfilesConnection> {
  protected readonly engine: LogfilesEngine;
  protected readonly answerBytesMax = 4 * 1024 * 1024;
  readonly #options: LogfilesPortOptions;
  /** Clients whose request for records is being answered: called when everything of it has left. */
  readonly #answering = new Map<Client, () => void>();
  readonly #redistributing = new Map<Client, AbortController>();
  readonly #tasks = new Set<Promise<void>>();
  #removals = 0;

  constructor(options: LogfilesPortOptions) {
    // A client that does not read is suspended, which it may be for as long as it likes.
    super(options, true);
    this.#options = options;
    this.engine = options.engine;
  }

  // --- the engine ------------------------------------------------------------------------------------------------

  protected override onListening(port: number): void {
    this.engine.setAddress(this.#options.host, port);
  }

  protected connect(_socket: Socket): LogfilesConnection {
    return this.engine.connect();
  }

  protected disconnect(connection: LogfilesConnection): void {
    this.engine.disconnect(connection);
  }

  protected feed(connection: LogfilesConnection, chunk: Uint8Array): number {
    return this.engine.feed(connection, chunk);
  }

  protected resume(connection: LogfilesConnection): number {
    return this.engine.resume(connection);
  }

  protected obey(client: Client, flags: number): void {
    client.hasMore = (flags & LogfilesFlag.More) !== 0;
    if ((flags & LogfilesFlag.Close) !== 0) client.close();
    if ((flags & LogfilesFlag.Task) === 0) return;
    const done = this.#answer(client, this.engine.takeTask());
    this.#tasks.add(done);
    void done.finally(() => this.#tasks.delete(done));
  }

  protected afterCall(client: Client): void {
    if (this.engine.removalsTotal !== this.#removals) {
      this.#removals = this.engine.removalsTotal;
      this.#options.durable.onRemovals();
    }
    for (const text of this.engine.hasEvents ? this.engine.takeEvents() : [])
      this.#options.log.warn(text, { remote: client.socket.remoteAddress });
  }

  // --- requests for records --------------------------------------------------------------------------------------

  #send(client: Client, bytes: Uint8Array): void {
    this.bytesSent += bytes.byteLength;
    this.#options.gate.reply(client.held, bytes, false);
  }

  /** Resolves when everything has left, or the connection is gone. */
  #drained(client: Client): Promise<void> {
    if (client.unreadBytes === 0 || client.held.isClosed) return Promise.resolve();
    return new Promise((resolve) => this.#answering.set(client, resolve));
  }

  #wake(client: Client): void {
    const resolve = this.#answering.get(client) as () => void;
    this.#answering.set(client, () => {});
    resolve();
  }

  /** Everything of a paused client has left. */
  override goOnLater(client: Client): void {
    if (this.#answering.has(client)) this.#wake(client);
    else super.goOnLater(client);
  }

  protected override onGone(client: Client): void {
    this.#redistributing.get(client)?.abort();
    if (this.#answering.has(client)) this.#wake(client);
  }

  /** Answers a request for records, then lets the connection go on. Never rejects. */
  async #answer(client: Client, task: LogfilesTask): Promise<void> {
    // What a client sends behind a request that takes long would gather here.
    client.pause();
    this.#answering.set(client, () => {});
    let hasBegun = false;
    try {
      if (task.code === Command.Redistribute) await this.#redistribute(client, task);
      else
        await this.#sendRecords(client, task, () => {
          hasBegun = true;
        });
    } catch (error) {
      this.#refuse(client, task, error as Error, hasBegun);
    }
    this.#answering.delete(client);
    if (client.held.isClosed) return;
    this.settle(client, this.engine.resume(client.connection));
    if (client.unreadBytes === 0) super.goOnLater(client);
  }

  async #sendRecords(client: Client, task: LogfilesTask, onBegin: () => void): Promise<void> {
    const { durable, log, batchBytes } = this.#options;
    const request = { ...scanOf(task), batchBytes };
    const onAborted = () => client.socket.terminate();
    const pieces = durable.scan(task.channel, request, onAborted) ?? durable.scanNothing(request);
    try {
      for (let count = 0; ; count++) {
        const piece = await pieces.next();
        // A client that is closing is sent what it has asked for so far.
        if (client.held.isClosed || piece === undefined) break;
        if (count === 0) {
          onBegin();
          this.#send(client, statusBytes(Status.Ok));
        }
        if (piece.byteLength > 0) this.#send(client, piece);
        await this.#drained(client);
      }
      const { skipped } = pieces.figures;
      if (skipped > 0)
        log.warn(`left out ${skipped} records that no batch holds`, { channel: task.channel, batchBytes });
    } finally {
      await pieces.close();
    }
  }

  /** Ends when the client that asked for it leaves. */
  async #redistribute(client: Client, { rest }: LogfilesTask): Promise<void> {
    const order = decodeOrder(rest);
    const leaving = new AbortController();
    this.#redistributing.set(client, leaving);
    try {
      await this.#options.redistributor.run(order, leaving.signal);
      if (!client.held.isClosed) this.#send(client, statusBytes(Status.Ok));
    } finally {
      this.#redistributing.delete(client);
    }
  }

  /** An answer that has begun can only be cut off. */
  #refuse(client: Client, task: LogfilesTask, error: Error, hasBegun: boolean): void {
    const { channel } = task;
    const remote = client.socket.remoteAddress;
    const isClientsFault = error instanceof NxError && error.code === "NX_INPUT_INVALID";
    const what = task.code === Command.Redistribute ? "a redistribution" : "a request for records";
    if (isClientsFault) this.#options.log.warn(error.message, { channel, remote });
    else this.#options.log.error(`${what} failed: ${error.message}`, { channel, remote });
    if (client.held.isClosed) return;
    if (hasBegun) client.socket.terminate();
    else this.#send(client, statusBytes(Status.Error));
  }

  /** Resolves when no request for records is being answered; every connection must be closed. */
  async settled(): Promise<void> {
    await Promise.all(this.#tasks);
  }
}

/**
 * A client of the transactional store, for Bun, Node and browsers.
 *
 *   const client = await connect({ frontends: ["http://127.0.0.1:12355"] });
 *   const score = counter("game:score");
 *   await client.execute((transaction) => score.add(transaction, 5));                     // all of it or nothing, once
 *   client.executeReactive(async (transaction) => console.log(await score.value(transaction))); // now, and at each change
 *
 * Invariant: what `execute` resolved for is committed and durable; what it rejected for did not happen, unless the error is
 * `OutcomeUnknownError`. Reactive and read-only code sees one snapshot of the whole store per run, and the
 * timestamps of reactive runs rise, whichever frontends the client is connected to. Lost with the process, but for what `storage` keeps.
 */
import { realClock, type Clock } from "../core/seams/clock.ts";
import { realRandom, type Random } from "../core/seams/random.ts";
import type { Settlement } from "./client-wire/messages.ts";
import { ClientLog } from "./client/client-log.ts";
import { ClosedError, type OutcomeUnknownError } from "./client/errors.ts";
import { transactionNames } from "./client/names.ts";
import { type QueuedCode, type QueuedTransaction, TransactionQueue } from "./client/queue.ts";
import { Queues } from "./client/queues.ts";
import { follow, handleOf, type ReactiveHandle } from "./client/reactive-handle.ts";
import { listKeys, type Listed, type ListOptions } from "./client/listing.ts";
import { Session } from "./client/session.ts";
import { type OpenSocket, type WebSocketClass, webSockets } from "./client/socket.ts";
import { type LogStorage, memoryStorage } from "./client/storage.ts";
import { StoreView } from "./client/store-view.ts";
import type { SnapshotReader } from "./client/transaction-handle.ts";
import {
  type Committed,
  type ExecuteOptions,
  type ReadOnlyCode,
  type TransactionCode,
  Transactions,
} from "./client/transactions.ts";
import type { ReactiveCode, ReactiveOptions, RunInfo } from "./client/watch.ts";
import { Watches } from "./client/watches.ts";

export * from "./client/errors.ts";
export { type OriginalCalls, originalCalls } from "./client/original-names.ts";
export { browserStorage } from "./client/browser-storage.ts";
export { fileStorage, type LogStorage, memoryStorage } from "./client/storage.ts";
export {
  type Entry,
  type Reader,
  type SnapshotReader,
  TypeMismatchError,
  type Writer,
} from "./client/transaction-handle.ts";
export * from "./client/types/encodings.ts";
export * from "./client/types/list.ts";
export * from "./client/types/map.ts";
export * from "./client/types/object.ts";
export * from "./client/types/set.ts";
export * from "./client/types/single.ts";
export type { Variable } from "./client/types/variable.ts";
export type {
  Committed,
  ExecuteOptions,
  Isolation,
  ReadOnlyCode,
  TransactionCode,
  TransactionHandle,
} from "./client/transactions.ts";
export type { Listed, ListOptions } from "./client/listing.ts";
export type { QueuedCode, QueuedTransaction } from "./client/queue.ts";
export type { ReactiveHandle } from "./client/reactive-handle.ts";
export type { ReactiveCode, ReactiveOptions, RunInfo } from "./client/watch.ts";

export interface ClientOptions {
  /** Addresses of frontends, such as `http://host:12355`; another one is taken when one fails. Absent: the page's own origin. */
  frontends?: readonly string[];
  token?: string;
  /** Keeps queued transactions beyond the program's life. Absent: in memory. */
  storage?: LogStorage;
  /** For values that were read. 0 switches the cache off. */
  cacheBytesMax?: number;
  /** For one transaction with everything that it needs. */
  timeoutMs?: number;
  /** Where the runtime has none. */
  WebSocket?: WebSocketClass;
  /** A connection can be used, or none can; `reason` says why. */
  onConnection?(isConnected: boolean, reason: string): void;
  /**
   * What reactive code threw, queued transactions that were dropped in a later life, and a log that cannot be written. Absent: it is
   * told on the console, and the program goes on.
   */
  onError?(error: unknown): void;
  /** For tests. */
  seams?: { open?: OpenSocket; clock?: Clock; random?: Random };
}

const CACHE_BYTES_DEFAULT = 16 * 1024 * 1024;
const TIMEOUT_MS_DEFAULT = 30_000;

export class Client {
  readonly #session: Session;
  readonly #view: StoreView;
  readonly #transactions: Transactions;
  readonly #watches: Watches;
  readonly #queues: Queues;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  #isClosed = false;

  /** Use `connect`. */
  constructor(options: ClientOptions, log: ClientLog) {
    const { clock = realClock, random = realRandom, open } = options.seams ?? {};
    const report = options.onError ?? reportOnly;
    const uniqueName = () =>
      Array.from(random.bytes(16), (byte) => byte.toString(16).padStart(2, "0")).join("");
    this.#clock = clock;
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS_DEFAULT;
    this.#view = new StoreView(options.cacheBytesMax ?? CACHE_BYTES_DEFAULT);
    const view = this.#view;
    const transactionsOf = (named: ClientLog) =>
      new Transactions({
        ...{ view, clock, random, uniqueName, timeoutMs: this.#timeoutMs },
        request: (request, deadlineMs, onSend) => this.#session.request(request, deadlineMs, onSend),
        hasTurns: () => this.#session.hasTurns,
        leave: (line) => this.#session.tell({ type: "leave", line }),
        names: transactionNames(
          named.client,
          () => named.nextNumber(),
          () => named.oldestAttempt,
        ),
      });
    this.#transactions = transactionsOf(log);
    this.#queues = new Queues({
      ...{ log, clock, random, report },
      storage: options.storage,
      onChange: () => this.#watches.localChange(),
      queueOf: (each, onChange) =>
        new TransactionQueue({
          ...{ log: each, view, clock, uniqueName, onChange },
          transactions: each === log ? this.#transactions : transactionsOf(each),
          onDropped: report,
          onStuck: report,
        }),
    });
    this.#watches = new Watches({
      host: {
        ...{ view, uniqueName, report, pending: this.#queues },
        ask: (request) => this.#session.request(request, clock.monotonicMs() + WAIT_MS),
      },
      ask: (request) => this.#session.ask(request),
      acknowledge: (at) => this.#session.tell({ type: "ack", at }),
      clock,
    });
    this.#session = new Session({
      frontends: frontendsOf(options.frontends),
      client: log.client,
      token: options.token ?? "",
      open: open ?? webSockets(options.WebSocket ?? ownWebSocket()),
      ...{ clock, random },
      onConnected: ({ known }) => {
        view.see(known);
        this.#watches.connected();
        options.onConnection?.(true, "");
      },
      onDisconnected: (reason) => options.onConnection?.(false, reason),
      onRefused: (error) => this.#watches.failAll(error),
      onRuns: (message) => {
        view.see(message.at);
        this.#watches.push(message);
        this.#queues.seen(Math.min(message.at, this.#watches.oldestTimestamp));
      },
      onProgress: (timestamp) => {
        view.see(timestamp);
        this.#watches.progress(timestamp);
        this.#queues.seen(Math.min(timestamp, this.#watches.oldestTimestamp));
      },
    });
  }

  get isConnected(): boolean {
    return this.#session.isConnected;
  }

  /** The newest timestamp that this client knows of. */
  get seenTimestamp(): number {
    return this.#view.seen;
  }

  /** Transactions that are queued and not committed. */
  get queuedCount(): number {
    return this.#queues.length;
  }

  /** Resolves when a frontend is connected. Rejects with UnavailableError when none is in time. */
  connected(timeoutMs = this.#timeoutMs): Promise<void> {
    return this.#session.connected(this.#clock.monotonicMs() + timeoutMs);
  }

  /**
   * Runs code as one transaction and resolves with what it returned once that is committed. The code may be run several times:
   * it should change nothing but the store. Rejects with AbortedError, OutcomeUnknownError, UnavailableError, RequestError, or
   * what the code threw.
   */
  async execute<T>(code: TransactionCode<T>, options?: ExecuteOptions): Promise<T> {
    return (await this.executeTimed(code, options)).result;
  }

  /** `execute`, which also says when, in the order of all transactions. */
  async executeTimed<T>(code: TransactionCode<T>, options?: ExecuteOptions): Promise<Committed<T>> {
    this.#assertOpen();
    return this.#transactions.execute(code, options);
  }

  /** Runs code that only reads, against a snapshot with everything that was acknowledged to anybody before. */
  async readOnly<T>(code: ReadOnlyCode<T>, timeoutMs?: number): Promise<T> {
    return (await this.readOnlyTimed(code, timeoutMs)).result;
  }

  async readOnlyTimed<T>(code: ReadOnlyCode<T>, timeoutMs?: number): Promise<Committed<T>> {
    this.#assertOpen();
    return this.#transactions.readOnly(code, timeoutMs);
  }

  /** Runs code that only reads, now and whenever something that its last run read has changed. */
  executeReactive(code: ReactiveCode, options: ReactiveOptions = {}): ReactiveHandle {
    this.#assertOpen();
    return handleOf(this.#watches.add(code, options));
  }

  /** `executeReactive` as a loop: `for await (const score of client.follow((t) => total.value(t)))`. */
  follow<T>(
    code: (transaction: SnapshotReader, run: RunInfo) => Promise<T> | T,
    options: ReactiveOptions = {},
  ): AsyncGenerator<T, void, void> {
    return follow((each, settings) => this.executeReactive(each, settings), code, options);
  }

  /**
   * Gives a kind of transaction a name, so that it can be queued. The function that is returned resolves as soon as the
   * transaction is kept in `storage`; it is committed when a frontend can be reached, if need be by the next life of the
   * program that defines the name again. `Words` must survive JSON.
   */
  queued<Words = void>(name: string, code: QueuedCode<Words>): (words: Words) => Promise<QueuedTransaction> {
    this.#queues.define(name, code as QueuedCode<unknown>);
    return (words) => this.#queues.add(name, words);
  }

  /** Keys that begin with a prefix, ascending, with their values, all as of one timestamp. */
  list(prefix: string, options: ListOptions = {}): Promise<Listed> {
    this.#assertOpen();
    const deadlineMs = this.#clock.monotonicMs() + this.#timeoutMs;
    return listKeys((request) => this.#session.request(request, deadlineMs), prefix, options);
  }

  /** What became of a transaction whose outcome was unknown. If nothing did, nothing ever will. */
  resolve(error: OutcomeUnknownError, timeoutMs?: number): Promise<Settlement> {
    return this.#transactions.resolve(error, timeoutMs);
  }

  /** Stops everything. Queued transactions stay in `storage`. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#watches.stopAll();
    this.#session.close();
    await this.#queues.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new ClosedError();
  }
}

/** Reactive code waits for a connection as long as there is none: about the longest time that a timer can have. */
const WAIT_MS = 2 ** 31 - 60_000;

/** Opens what `storage` has kept. The client can be used at once: what needs a connection waits for one. */
export async function connect(options: ClientOptions = {}): Promise<Client> {
  const { storage, seams } = options;
  const random = seams?.random ?? realRandom;
  const log = await ClientLog.open(storage ?? memoryStorage(), random, storage !== undefined);
  return new Client(options, log);
}

function frontendsOf(given: readonly string[] | undefined): readonly string[] {
  if (given !== undefined && given.length > 0) return given;
  const { location } = globalThis as { location?: { origin: string } };
  if (given !== undefined || location === undefined)
    throw new TypeError('say where a frontend is: { frontends: ["http://host:12355"] }');
  return [location.origin];
}

function ownWebSocket(): WebSocketClass | undefined {
  return (globalThis as { WebSocket?: unknown }).WebSocket as WebSocketClass | undefined;
}

/** As an event handler's error is: a page can listen to it, and nothing ends. */
function reportOnly(error: unknown): void {
  const { document, reportError } = globalThis as {
    document?: unknown;
    reportError?(error: unknown): void;
  };
  if (document !== undefined && reportError !== undefined) reportError(error);
  else console.error(error);
}

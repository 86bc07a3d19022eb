/**
 * Types of the client library, as a frontend serves them at /client.d.ts beside /client.js: save both and TypeScript knows what it
 * gets. test/reactive/client-types.test.ts holds them against the library itself.
 */

// --- connecting ------------------------------------------------------------------------------------------------

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
  WebSocket?: new (url: string) => any;
  onConnection?(isConnected: boolean, reason: string): void;
  /** What reactive code threw, and queued transactions that were dropped in a later life. */
  onError?(error: unknown): void;
}

export function connect(options?: ClientOptions): Promise<Client>;

export declare class Client {
  private constructor();
  readonly isConnected: boolean;
  /** The newest timestamp that this client knows of. */
  readonly seenTimestamp: number;
  /** Transactions that are queued and not committed. */
  readonly queuedCount: number;
  connected(timeoutMs?: number): Promise<void>;
  execute<T>(code: TransactionCode<T>, options?: ExecuteOptions): Promise<T>;
  executeTimed<T>(code: TransactionCode<T>, options?: ExecuteOptions): Promise<Committed<T>>;
  readOnly<T>(code: ReadOnlyCode<T>, timeoutMs?: number): Promise<T>;
  readOnlyTimed<T>(code: ReadOnlyCode<T>, timeoutMs?: number): Promise<Committed<T>>;
  executeReactive(code: ReactiveCode, options?: ReactiveOptions): ReactiveHandle;
  follow<T>(
    code: (transaction: SnapshotReader, run: RunInfo) => Promise<T> | T,
    options?: ReactiveOptions,
  ): AsyncGenerator<T, void, void>;
  queued<Words = void>(name: string, code: QueuedCode<Words>): (words: Words) => Promise<QueuedTransaction>;
  list(prefix: string, options?: ListOptions): Promise<Listed>;
  resolve(error: OutcomeUnknownError, timeoutMs?: number): Promise<{ kind: string }>;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

// --- transactions ----------------------------------------------------------------------------------------------

/** What every code is given. */
export interface Reader {
  read(key: string, part: { kind: 0 | 1 | 2 | 3; data: Uint8Array }): Promise<Value>;
}

/** What code that only reads is given. */
export interface SnapshotReader extends Reader {
  /** All keys that begin with a prefix, ascending. Throws when there are more than `limit`, 10 000 when absent. */
  list(prefix: string, limit?: number): Promise<Entry[]>;
}

export interface Entry {
  key: string;
  version: number;
  value: Value;
}

/** What code that may write is given. */
export interface Writer extends Reader {
  apply(key: string, operation: Operation): void;
  /** A text that nobody else has or will have. */
  uniqueName(): string;
}

export interface TransactionHandle extends Writer {
  /** Ends the transaction without any effect: `execute` rejects with AbortedError. */
  abort(reason?: string): never;
}

export type TransactionCode<T> = (transaction: TransactionHandle) => Promise<T> | T;
export type ReadOnlyCode<T> = (transaction: SnapshotReader) => Promise<T> | T;
export type Isolation = "strict" | "snapshot" | "readCommitted";

export interface ExecuteOptions {
  isolation?: Isolation;
  retries?: number;
  timeoutMs?: number;
  signal?: AbortSignal;
}

export interface Committed<T> {
  result: T;
  timestamp: number;
}

export type ReactiveCode = (transaction: SnapshotReader, run: RunInfo) => Promise<void> | void;

export interface RunInfo {
  /** Of everything that this run sees. */
  readonly timestamp: number;
  cause: "first" | "changed" | "refetch" | "local";
  /** Commits that this run is about. */
  changes: number;
  /** Own transactions that are not committed yet and are seen all the same. */
  readonly pending: number;
}

export interface ReactiveOptions {
  delayMs?: number;
  optimistic?: boolean;
  onError?(error: unknown): void;
}

export interface ReactiveHandle {
  readonly id: number;
  readonly timestamp: number;
  stop(): Promise<void>;
  refetch(): void;
}

export type QueuedCode<Words> = (transaction: TransactionHandle, words: Words) => Promise<void> | void;

export interface QueuedTransaction {
  /** Resolves when it is committed; rejects when it was given up. */
  settled: Promise<Committed<void>>;
}

export interface ListOptions {
  after?: string;
  limit?: number;
  at?: number;
}

export interface Listed {
  timestamp: number;
  isMore: boolean;
  entries: Entry[];
}

export interface OriginalCalls {
  execute_txn(code: TransactionCode<void>, callback?: (isCommitted: boolean) => void): number;
  reactive_txn(code: (transaction: Reader) => Promise<void> | void): number;
  reactive_stop(reactive: number): Promise<void>;
  abort_txn(transaction: TransactionHandle): never;
}
export function originalCalls(client: Client): OriginalCalls;

// --- what is kept ----------------------------------------------------------------------------------------------

export interface LogStorage {
  load(): Promise<string[]>;
  append(line: string): Promise<void>;
  replace(lines: readonly string[]): Promise<void>;
  /** A log of the same name that its owner has left for good. Absent: there is one log only. */
  takeLeft?(isWanted: (lines: readonly string[]) => boolean): Promise<LogStorage | undefined>;
  close(): Promise<void>;
}
export function memoryStorage(): LogStorage;
/** For Bun and Node. */
export function fileStorage(path: string): LogStorage;
/** For browsers: every tab has a log of its own; what waits in that of a closed one, the others commit. */
export function browserStorage(name: string): LogStorage;

// --- variables -------------------------------------------------------------------------------------------------

export interface Variable {
  readonly key: string;
}

export declare class SingleVariable<T, Unset = T> implements Variable {
  readonly key: string;
  constructor(key: string, encoding: Encoding<T>, unset: Unset);
  value(transaction: Reader): Promise<T | Unset>;
  set(transaction: Writer, item: T): void;
  delete(transaction: Writer): void;
}

export declare class LongVariable extends SingleVariable<bigint> {
  constructor(key: string);
  add(transaction: Writer, amount: bigint): Promise<void>;
}

export declare class IdVariable extends SingleVariable<string> {
  constructor(key: string);
  generate(transaction: Writer): string;
}

export declare class CounterVariable implements Variable {
  readonly key: string;
  constructor(key: string);
  value(transaction: Reader): Promise<bigint>;
  add(transaction: Writer, amount: bigint | number): void;
  increment(transaction: Writer): void;
  decrement(transaction: Writer): void;
  set(transaction: Writer, count: bigint | number): void;
  delete(transaction: Writer): void;
}

export declare class ListVariable<T> implements Variable {
  readonly key: string;
  constructor(key: string, encoding: Encoding<T>);
  value(transaction: Reader): Promise<T[]>;
  size(transaction: Reader): Promise<number>;
  at(transaction: Reader, index: number): Promise<T | undefined>;
  indexOf(transaction: Reader, item: T): Promise<number>;
  append(transaction: Writer, ...items: T[]): void;
  set(transaction: Writer, index: number, item: T): Promise<void>;
  insert(transaction: Writer, index: number, item: T): Promise<void>;
  erase(transaction: Writer, index: number): Promise<void>;
  remove(transaction: Writer, item: T): Promise<boolean>;
  replace(transaction: Writer, items: readonly T[]): void;
  clear(transaction: Writer): void;
  delete(transaction: Writer): void;
}

export declare class SetVariable<T> implements Variable {
  readonly key: string;
  constructor(key: string, encoding: Encoding<T>);
  value(transaction: Reader): Promise<T[]>;
  size(transaction: Reader): Promise<number>;
  has(transaction: Reader, item: T): Promise<boolean>;
  add(transaction: Writer, ...items: T[]): void;
  remove(transaction: Writer, item: T): void;
  replace(transaction: Writer, items: Iterable<T>): void;
  clear(transaction: Writer): void;
  delete(transaction: Writer): void;
}

export declare class MapVariable<T> implements Variable {
  readonly key: string;
  constructor(key: string, encoding: Encoding<T>);
  value(transaction: Reader): Promise<Map<string, T>>;
  size(transaction: Reader): Promise<number>;
  get(transaction: Reader, field: string): Promise<T | undefined>;
  has(transaction: Reader, field: string): Promise<boolean>;
  set(transaction: Writer, field: string, item: T): void;
  remove(transaction: Writer, field: string): void;
  replace(transaction: Writer, entries: Iterable<readonly [string, T]>): void;
  clear(transaction: Writer): void;
  delete(transaction: Writer): void;
}

export function text(key: string): SingleVariable<string>;
export function long(key: string): LongVariable;
export function boolean(key: string): SingleVariable<boolean>;
export function counter(key: string): CounterVariable;
export function id(key: string): IdVariable;
export function bytes(key: string): SingleVariable<Uint8Array, undefined>;
export function document<T>(key: string, schema: Schema<T>): SingleVariable<T, undefined>;
export function list<T>(key: string, encoding: Encoding<T>): ListVariable<T>;
export function list(key: string): ListVariable<string>;
export function set<T>(key: string, encoding: Encoding<T>): SetVariable<T>;
export function set(key: string): SetVariable<string>;
export function map<T>(key: string, encoding: Encoding<T>): MapVariable<T>;
export function map(key: string): MapVariable<string>;

export type Shape = Record<string, (key: string) => Variable>;
export type Fields<Of extends Shape> = { readonly [Name in keyof Of]: ReturnType<Of[Name]> };
/** A variable for each field, under `key:field`. */
export function object<Of extends Shape>(key: string, shape: Of): Fields<Of>;

export interface Schema<T> {
  parse(value: unknown): T;
}
export interface Encoding<T> {
  readonly name: string;
  encode(item: T): Uint8Array;
  decode(bytes: Uint8Array): T;
}
export const asText: Encoding<string>;
export const asLong: Encoding<bigint>;
export const asBoolean: Encoding<boolean>;
export const asBytes: Encoding<Uint8Array>;
export function asJson<T>(schema: Schema<T>): Encoding<T>;
export function toUtf8(text: string): Uint8Array;
export function fromUtf8(bytes: Uint8Array): string;

/** What is stored. */
export type Value =
  | { type: "absent" }
  | { type: "bytes"; bytes: Uint8Array }
  | { type: "counter"; count: bigint }
  | { type: "list"; elements: Uint8Array[] }
  | { type: "set"; elements: Uint8Array[] }
  | { type: "map"; entries: [field: Uint8Array, value: Uint8Array][] };

export type Operation =
  | { kind: "put"; value: Exclude<Value, { type: "absent" }> }
  | { kind: "delete" }
  | { kind: "add"; amount: bigint }
  | { kind: "append"; element: Uint8Array }
  | { kind: "setIndex"; index: number; element: Uint8Array }
  | { kind: "insert"; element: Uint8Array }
  | { kind: "remove"; element: Uint8Array }
  | { kind: "mapSet"; field: Uint8Array; value: Uint8Array }
  | { kind: "mapDelete"; field: Uint8Array };

// --- errors ----------------------------------------------------------------------------------------------------

export declare class AbortedError extends Error {
  readonly reason: string;
}
export declare class OutcomeUnknownError extends Error {
  readonly transaction: { client: number; number: number };
  readonly keys: readonly string[];
}
export declare class UnavailableError extends Error {}
export declare class RequestError extends Error {
  readonly code: string;
}
/** `storage` did not keep what it was given. Nothing of that was sent. */
export declare class StorageError extends Error {}
export declare class ClosedError extends Error {}
export declare class TypeMismatchError extends Error {
  readonly key: string;
}

/**
 * What `import … from "node-x/stream"` offers: the whole of it, as types and words, and nothing else.
 *
 * `node-x stream init` writes this file beside an application, so that an editor knows the calls. The code behind it is
 * inside the executable (api/index.ts, which is checked against this file).
 *
 * Rules for steps: they are called for one record at a time, in the order of each key. What they do must follow from the
 * record and the state alone (no clock, no chance, no files), because after a crash the records since the last checkpoint
 * are processed again. They do not wait: async functions and generators are refused. A decoded record may be one object that
 * the decoder uses again and again, and other steps may get it too: copy what you keep, and change nothing of it.
 */

/** The bytes of one record as a decoder sees them. Only valid during the call. Numbers are big-endian. */
export interface Frame {
  readonly length: number;
  u8(at: number): number;
  u16(at: number): number;
  u32(at: number): number;
  u64(at: number): bigint;
  f64(at: number): number;
  /** `length` bytes as UTF-8 (all that follow when absent). Short texts come from a table, so they cost no garbage. */
  text(at: number, length?: number): string;
  /** A copy. */
  bytes(at?: number, length?: number): Uint8Array;
}

/** Where an encoder writes. Numbers are big-endian. */
export interface Writer {
  u8(value: number): void;
  u16(value: number): void;
  u32(value: number): void;
  u64(value: number): void;
  /** All 64 bits. */
  big(value: bigint): void;
  f64(value: number): void;
  /** The text alone, as UTF-8. */
  utf8(value: string): void;
  raw(value: Uint8Array): void;
}

/** How a byte stream is cut into records. */
export type Framing =
  | { readonly kind: "framed"; readonly headerBytes: 1 | 2 | 4; readonly recordBytesMax: number }
  | { readonly kind: "lines"; readonly recordBytesMax: number };

/** A value as bytes and back. */
export interface Codec<T> {
  encode(value: T, out: Writer): void;
  decode(frame: Frame): T;
}

/** Takes what a step emits, in order. */
export interface Out<T> {
  emit(value: T): void;
}

export interface SourceOptions<T> {
  framing: Framing;
  /** Returns undefined for a record to leave out. Throwing counts it and sends it to the dead letters. */
  decode(frame: Frame): T | undefined;
}

export interface SinkOptions<T> {
  framing: Framing;
  encode(value: T, out: Writer): void;
}

/** A made-up input: `next` makes each value out of the one before; undefined is the end. */
export interface GeneratorOptions<T> {
  first: T;
  next(previous: T): T | undefined;
}

export interface StateOptions<S> {
  /** The state of a key that was never seen: a new object each time. */
  init(key: string): S;
  /** JSON when absent: a state that JSON would change (a Map, a Date, NaN) is refused then. */
  codec?: Codec<S>;
}

/** `state` is changed in place: what else is assigned to it is not kept. */
export type StateStep<T, S, U> = (value: T, state: S, out: Out<U>, key: string) => void;

/** Folds many values into one. */
export interface Aggregate<T, A, U> {
  initial(): A;
  /** Returns the accumulator, the same or another: what JSON holds. */
  update(value: T, accumulator: A): A;
  /** What both amount to; sessions that turn out to be one need it. `initial()` changes nothing. */
  combine?(one: A, other: A): A;
  /** Undefined: nothing is emitted. */
  output(key: string, accumulator: A, window: WindowBounds | undefined): U | undefined;
}

/** [startMs, endMs) in event time; a count window has no bounds. */
export interface WindowBounds {
  startMs: number;
  endMs: number;
}

/**
 * What becomes of a record that comes after its window fired. drop: it is counted. fire: a window of just that record
 * fires at once. oldest: it goes into the oldest window that is still open (not for sessions and ephemeral windows). side:
 * it goes to the stream `late`.
 */
export type LatePolicy = "drop" | "fire" | "oldest" | "side";

export type WindowSpec = { flushMs?: number } & (
  | { kind: "tumbling"; rangeMs: number; delayMs: number; late: LatePolicy }
  | { kind: "sliding"; rangeMs: number; slideMs: number; delayMs: number; late: LatePolicy }
  | { kind: "session"; gapMs: number; delayMs: number; late: LatePolicy }
  | { kind: "ephemeral"; rangeMs: number; keptMs: number; delayMs: number; late: LatePolicy }
  | { kind: "count"; count: number }
);

export interface FlushOptions {
  /**
   * When no record came to the step for so long, by the clock, windows fire that are open, as they are. Time does not move
   * with it. Absent: they wait for the record that shows that their time is over.
   */
  flushMs?: number;
}

export interface WindowOptions extends FlushOptions {
  /** A window stays open for this long after its end. 0 when absent. */
  delayMs?: number;
  /** drop when absent. */
  late?: LatePolicy;
}

export interface EventTimeOptions {
  /** Records may be this much older than the newest one before them. 0 when absent. */
  latenessMs?: number;
  /** An input that is silent for this long holds nobody up. 10 s when absent. */
  idleMs?: number;
}

export interface Stream<T> {
  map<U>(step: (value: T) => U): Stream<U>;
  filter(isWanted: (value: T) => boolean): Stream<T>;
  flatMap<U>(step: (value: T, out: Out<U>) => void): Stream<U>;
  /** Every record goes to exactly one of the named streams. */
  split<Name extends string>(names: readonly Name[], which: (value: T) => Name): Record<Name, Stream<T>>;
  merge(other: Stream<T>): Stream<T>;
  /**
   * From here on records are placed by key: all of one key on one worker, in order. One that goes to another worker goes as
   * the bytes it came as, where steps before only chose, else by the codec, JSON when absent: what JSON would change (dates,
   * bytes, Maps, bigints) is refused.
   */
  keyBy(keyOf: (value: T) => string, codec?: Codec<T>): KeyedStream<T>;
  /** One key for all. */
  global(codec?: Codec<T>): KeyedStream<T>;
  /** By key, but every worker keeps to itself what its own sources bring. */
  localKeyBy(keyOf: (value: T) => string): KeyedStream<T>;
  /** The time of each record in milliseconds since 1970, as a Date can hold it. Without it, it is the time of its arrival. */
  eventTime(timeMsOf: (value: T) => number, options?: EventTimeOptions): Stream<T>;
  /** May be called for several sinks: each gets every record. */
  to(sink: Sink<T>): void;
}

export interface KeyedStream<T> {
  merge(other: KeyedStream<T>): KeyedStream<T>;
  /** `name` names the state in checkpoints: keep it when the program changes. */
  state<S extends object, U>(name: string, options: StateOptions<S>, step: StateStep<T, S, U>): Stream<U>;
  /** Emits after every record. */
  aggregate<A, U>(name: string, aggregate: Aggregate<T, A, U>): Stream<U>;
  window<A, U>(name: string, window: WindowSpec, aggregate: Aggregate<T, A, U>): WindowedStream<T, U>;
}

export interface WindowedStream<T, U> extends Stream<U> {
  /** Records that came too late, with the policy "side". */
  readonly late: Stream<T>;
}

export interface Sink<T> {
  readonly name: string;
  /** Only for the type: what it takes. */
  readonly takes?: (value: T) => void;
}

export interface Builder {
  /** The words behind `--` on the command line, or the key appArguments. */
  readonly args: readonly string[];
  /** The worker's clock, milliseconds since 1970: for encoders of sinks. A step that asks is not repeatable. */
  now(): number;
  /** A named input of bytes. Where it comes from (TCP, acknowledged senders, a file) is a matter of configuration. */
  source<T>(name: string, options: SourceOptions<T>): Stream<T>;
  generator<T>(name: string, options: GeneratorOptions<T>): Stream<T>;
  /** A named output of bytes. Where it goes is a matter of configuration. */
  sink<T>(name: string, options: SinkOptions<T>): Sink<T>;
}

export interface App {
  readonly name: string;
  readonly build: (builder: Builder) => void;
}

export interface TestRun {
  /** Values into a source, as if decoded. */
  feed(source: string, values: readonly unknown[]): TestRun;
  /** Bytes into a source, cut and decoded as they would be. */
  feedBytes(source: string, bytes: Uint8Array): TestRun;
  /** Moves the clock, which fires windows. */
  advance(ms: number): TestRun;
  /** Values that reached a sink since the last call, in order. */
  take(sink: string): unknown[];
  /** Throws, with both sides, when a sink did not get exactly these values since the last call. */
  expect(sink: string, values: readonly unknown[]): TestRun;
}

/** An application: the default export of its file. `name` names its files and figures. */
export declare function app(name: string, build: (builder: Builder) => void): App;
/** Records with their length before them, big-endian. 4 bytes and at most 16 KiB when absent. */
export declare function framed(headerBytes?: 1 | 2 | 4, recordBytesMax?: number): Framing;
/** Records that end with a line feed. At most 16 KiB when absent. */
export declare function lines(recordBytesMax?: number): Framing;
export declare function json<T>(): Codec<T>;
export declare function tumbling(rangeMs: number, options?: WindowOptions): WindowSpec;
export declare function sliding(rangeMs: number, slideMs: number, options?: WindowOptions): WindowSpec;
/** A window for each run of a key's records with less than `gapMs` between them. The aggregate needs `combine`. */
export declare function session(gapMs: number, options?: WindowOptions): WindowSpec;
/**
 * For keys that live for a short time: the first record of a key opens its window, which fires once, `rangeMs` later.
 * `keptMs` behind that the key is forgotten, and its next record opens a new one; records in between are late.
 */
export declare function ephemeral(rangeMs: number, keptMs: number, options?: WindowOptions): WindowSpec;
export declare function counting(count: number, options?: FlushOptions): WindowSpec;
export declare function seconds(count: number): number;
export declare function minutes(count: number): number;
/** Runs an application without network or files, for its author's own tests. */
export declare function testApp(app: App, args?: readonly string[]): TestRun;
